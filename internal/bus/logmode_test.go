package bus

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
)

// logMode is a way to keep a log. All have to pass the same tests.
type logMode struct {
	name string
	// join returns n buses of the same log.
	join func(t *testing.T, n int) []*NATS
}

var logModes = []logMode{
	{"one process", func(t *testing.T, n int) []*NATS {
		e := embeddedIn(t, t.TempDir())
		buses := make([]*NATS, n)
		for i := range buses {
			buses[i] = dial(t, NATSConfig{In: e, Prefix: "test.logs"})
		}
		return buses
	}},
	{"workers", func(t *testing.T, n int) []*NATS {
		return dialLogs(t, embeddedIn(t, t.TempDir()).URL(), n)
	}},
	{"external", func(t *testing.T, n int) []*NATS {
		return dialLogs(t, startNATSIn(t, t.TempDir()).url(), n)
	}},
}

func dialLogs(t *testing.T, url string, n int) (buses []*NATS) {
	t.Helper()
	for _, b := range dialAll(t, url, n) {
		buses = append(buses, b.(*NATS))
	}
	return buses
}

func embeddedIn(t *testing.T, dir string) *Embedded {
	t.Helper()
	d, err := OpenDataDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	e, err := StartEmbedded(EmbeddedConfig{Dir: d, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// createLog creates a log on the first bus, and opens it on the others.
func createLog(t *testing.T, buses []*NATS, cfg LogConfig) []*Log {
	t.Helper()
	logs := make([]*Log, len(buses))
	for i, b := range buses {
		var err error
		if i == 0 {
			logs[i], err = b.CreateLog(within(t), cfg, false)
		} else {
			logs[i], err = b.OpenLog(within(t), cfg)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return logs
}

// add appends an entry and returns its offset.
func add(t *testing.T, l *Log, channel, data string) uint64 {
	t.Helper()
	offset, err := tryAdd(t, l, channel, "", data)
	if err != nil {
		t.Fatal(err)
	}
	return offset
}

func tryAdd(t *testing.T, l *Log, channel, key, data string) (offset uint64, err error) {
	t.Helper()
	done := make(chan struct{})
	l.Append(channel, key, []byte(data), func(o uint64, e error) {
		offset, err = o, e
		close(done)
	})
	<-done
	return offset, err
}

func read(t *testing.T, l *Log, channel string) Past {
	t.Helper()
	p, err := l.Read(within(t), channel)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// data is what entries hold.
func data(entries []Entry) (all []string) {
	for _, e := range entries {
		all = append(all, string(e.Data))
	}
	return all
}

// follower keeps what it is told.
type follower struct {
	mu     sync.Mutex
	got    []Entry
	missed []string
}

func (f *follower) Follow(e Entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.got = append(f.got, e)
}

func (f *follower) Missed(channel string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.missed = append(f.missed, channel)
}

// told returns the data of a channel's entries so far, and for which channels some were missed.
func (f *follower) told(channel string) (all, missed []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.got {
		if e.Channel == channel {
			all = append(all, string(e.Data))
		}
	}
	return all, slices.Clone(f.missed)
}

func follow(t *testing.T, l *Log) *follower {
	t.Helper()
	f := &follower{}
	if err := l.Follow(within(t), f); err != nil {
		t.Fatal(err)
	}
	return f
}

func inEveryLogMode(t *testing.T, n int, test func(t *testing.T, buses []*NATS)) {
	for _, m := range logModes {
		t.Run(m.name, func(t *testing.T) { test(t, m.join(t, n)) })
	}
}
