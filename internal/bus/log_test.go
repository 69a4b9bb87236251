package bus

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

// All processes get the same entries in the same order, with the offsets that those who appended were told.
func TestLogHasOneOrder(t *testing.T) {
	inEveryLogMode(t, 3, func(t *testing.T, buses []*NATS) {
		logs := createLog(t, buses, LogConfig{Name: "chat", Keep: 1000})
		var followers []*follower
		for _, l := range logs {
			followers = append(followers, follow(t, l))
		}
		odd := "chat:" + everyByte()[1:]
		const n = 100
		offsets := make([]map[string]uint64, len(logs))
		var wg sync.WaitGroup
		for i, l := range logs {
			offsets[i] = map[string]uint64{}
			wg.Go(func() {
				for k := range n {
					data := fmt.Sprint(i, "/", k)
					offset, err := tryAdd(t, l, odd, "", data)
					if err != nil {
						t.Error(err)
					}
					offsets[i][data] = offset
				}
			})
		}
		wg.Wait()
		past := read(t, logs[1], odd)
		if len(past.Entries) != len(logs)*n {
			t.Fatalf("%d entries, want %d", len(past.Entries), len(logs)*n)
		}
		for _, e := range past.Entries {
			var by int
			fmt.Sscan(string(e.Data), &by)
			if offsets[by][string(e.Data)] != e.Offset {
				t.Fatalf("%s is at %d, and who appended it was told %d", e.Data, e.Offset, offsets[by][string(e.Data)])
			}
		}
		for i, f := range followers {
			eventually(t, "following", func() bool { got, _ := f.told(odd); return len(got) >= len(past.Entries) })
			if got, missed := f.told(odd); !slices.Equal(got, data(past.Entries)) || missed != nil {
				t.Errorf("process %d: what it was told isn't what the log has, or it missed something (%q)", i, missed)
			}
			if last := f.got[len(f.got)-1]; last.Offset != past.Entries[len(past.Entries)-1].Offset || last.Time.IsZero() {
				t.Errorf("process %d: the last one is %+v", i, last)
			}
		}
	})
}

// Whole tells from where on nothing is missing: the truth for each case in which something can have gone.
func TestLogKnowsWhatIsGone(t *testing.T) {
	inEveryLogMode(t, 1, func(t *testing.T, buses []*NATS) {
		l := createLog(t, buses, LogConfig{Name: "chat", Keep: 3})[0]
		if p := read(t, l, "chat:empty"); p.Whole != 0 || p.Gone != 0 || len(p.Entries) != 0 || p.End == 0 || p.Epoch == "" {
			t.Errorf("a channel without entries: %+v", p)
		}
		var offsets []uint64
		for i := range 3 {
			offsets = append(offsets, add(t, l, "chat:a", fmt.Sprint(i)))
		}
		if p := read(t, l, "chat:a"); p.Whole != 0 || !slices.Equal(data(p.Entries), []string{"0", "1", "2"}) || p.End != offsets[2] {
			t.Errorf("with as many as are kept: %+v, want all, and nothing gone", p)
		}
		for i := 3; i < 100; i++ {
			offsets = append(offsets, add(t, l, "chat:a", fmt.Sprint(i)))
		}
		if p := read(t, l, "chat:a"); p.Whole != offsets[96] || p.Gone != offsets[96] || !slices.Equal(data(p.Entries), []string{"97", "98", "99"}) {
			t.Errorf("with more than are kept: %+v, want three, and all up to %d gone", p, offsets[96])
		}
		// That others have lost entries says nothing of a channel that never had any.
		if p := read(t, l, "chat:empty"); p.Whole != 0 || p.End != offsets[99] {
			t.Errorf("a channel without entries: %+v, want that nothing is gone", p)
		}
		if _, err := l.Remove(within(t), "chat:a"); err != nil {
			t.Fatal(err)
		}
		if p := read(t, l, "chat:a"); p.Whole <= offsets[99] || p.Gone != p.Whole || len(p.Entries) != 0 {
			t.Errorf("removed: %+v, want nothing, and all up to %d gone", p, offsets[99])
		}
		last := add(t, l, "chat:a", "new")
		if p := read(t, l, "chat:a"); p.Whole != last-1 || !slices.Equal(data(p.Entries), []string{"new"}) {
			t.Errorf("removed, and one added at %d: %+v", last, p)
		}
	})
}

// Old entries go to make room for new ones, and that is known.
func TestLogOfLimitedSize(t *testing.T) {
	inEveryLogMode(t, 1, func(t *testing.T, buses []*NATS) {
		l := createLog(t, buses, LogConfig{Name: "chat", Keep: 3, MaxBytes: 64 << 10})[0]
		first := add(t, l, "chat:a", "first")
		for i := range 100 {
			add(t, l, fmt.Sprint("chat:", i), strings.Repeat("x", 1<<10))
		}
		if p := read(t, l, "chat:a"); len(p.Entries) != 0 || p.Whole < first || p.Gone != 0 {
			t.Errorf("%+v, want nothing, and that %d may be gone", p, first)
		}
	})
}

func TestLogTakesAKeyOnce(t *testing.T) {
	inEveryLogMode(t, 2, func(t *testing.T, buses []*NATS) {
		logs := createLog(t, buses, LogConfig{Name: "chat", Keep: 10})
		a, err := tryAdd(t, logs[0], "chat:a", "key", "1")
		b, err2 := tryAdd(t, logs[1], "chat:a", "key", "2")
		if err != nil || err2 != nil || a != b {
			t.Errorf("%d %v and %d %v, want the same twice", a, err, b, err2)
		}
		if _, err := tryAdd(t, logs[1], "chat:b", "key", "3"); err != nil {
			t.Error(err)
		}
		if p := read(t, logs[0], "chat:a"); !slices.Equal(data(p.Entries), []string{"1"}) {
			t.Errorf("%q, want the first alone", data(p.Entries))
		}
		if p := read(t, logs[0], "chat:b"); !slices.Equal(data(p.Entries), []string{"3"}) {
			t.Errorf("%q: a key of another channel counts", data(p.Entries))
		}
	})
}

// Logs with other names, and other prefixes, have nothing to do with each other.
func TestLogsAreApart(t *testing.T) {
	e := embeddedIn(t, t.TempDir())
	a := dial(t, NATSConfig{In: e, Prefix: "a"})
	b := dial(t, NATSConfig{In: e, Prefix: "a.b"})
	logs := []*Log{
		createLog(t, []*NATS{a}, LogConfig{Name: "", Keep: 3})[0],
		createLog(t, []*NATS{a}, LogConfig{Name: "b", Keep: 3})[0],
		createLog(t, []*NATS{b}, LogConfig{Name: "", Keep: 3})[0],
	}
	for i, l := range logs {
		add(t, l, "x", fmt.Sprint(i))
	}
	for i, l := range logs {
		if p := read(t, l, "x"); !slices.Equal(data(p.Entries), []string{fmt.Sprint(i)}) {
			t.Errorf("log %d has %q", i, data(p.Entries))
		}
	}
}

// What wasn't heard while NATS was away, or the connection to it, is told of in order, once; and what was acknowledged is there
// though NATS was killed.
func TestLogOverRestart(t *testing.T) {
	p := startNATSIn(t, t.TempDir())
	var said problems
	deaf := dial(t, NATSConfig{URL: p.url(), Prefix: "test", OnError: said.add})
	l := createLog(t, []*NATS{deaf}, LogConfig{Name: "chat", Keep: 10})[0]
	f := follow(t, l)
	epoch := l.Epoch()
	add(t, l, "chat:a", "before")
	p.kill()
	if _, err := tryAdd(t, l, "chat:a", "", "nobody takes it"); err == nil {
		t.Error("an entry was taken while NATS was down")
	}
	// The deaf one comes back later than another one that writes: its wait is random, so the writer goes straight.
	p.start(natsToken)
	other := dial(t, NATSConfig{URL: p.url(), Prefix: "test", OnError: said.add})
	o, err := other.OpenLog(within(t), LogConfig{Name: "chat"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		add(t, o, "chat:a", fmt.Sprint(i))
	}
	for i := range 50 {
		add(t, o, "chat:many", fmt.Sprint(i))
	}
	eventually(t, "being back", func() bool { return deaf.Check() == nil })
	add(t, o, "chat:a", "after")
	eventually(t, "hearing the last", func() bool { all, _ := f.told("chat:a"); return slices.Contains(all, "after") })
	all, missed := f.told("chat:a")
	all = slices.DeleteFunc(all, func(s string) bool { return s == "nobody takes it" }) // it may have been sent on coming back
	if want := []string{"before", "0", "1", "2", "3", "after"}; !slices.Equal(all, want) || slices.Contains(missed, "chat:a") {
		t.Errorf("it was told of %q, and that it missed some of %q, want %q", all, missed, want)
	}
	if many, _ := f.told("chat:many"); len(many) < 50 && !slices.Contains(missed, "chat:many") && !slices.Contains(missed, "") {
		t.Errorf("%d of 50 in a channel that keeps 10, and no word of the others", len(many))
	}
	if past := read(t, l, "chat:a"); l.Epoch() != epoch || !slices.Contains(data(past.Entries), "3") {
		t.Errorf("epoch %s, before %s, with %q", l.Epoch(), epoch, data(past.Entries))
	}
}

// What was missed is told of though nothing comes after it.
func TestLogLooksBack(t *testing.T) {
	p := startNATSIn(t, t.TempDir())
	var said problems
	deaf := dial(t, NATSConfig{URL: p.url(), Prefix: "test", OnError: said.add})
	l := createLog(t, []*NATS{deaf}, LogConfig{Name: "chat", Keep: 5})[0]
	f := follow(t, l)
	p.kill()
	p.start(natsToken)
	other := dial(t, NATSConfig{URL: p.url(), Prefix: "test", OnError: said.add}) // the deaf one waits before it tries again
	o, err := other.OpenLog(within(t), LogConfig{Name: "chat"})
	if err != nil {
		t.Fatal(err)
	}
	add(t, o, "chat:a", "missed")
	eventually(t, "hearing of it", func() bool { all, missed := f.told("chat:a"); return len(all) == 1 || len(missed) > 0 })
}

// A process whose messages NATS has thrown away reads what it has missed.
func TestLogFillsGaps(t *testing.T) {
	e := embeddedIn(t, t.TempDir())
	b := dial(t, NATSConfig{In: e, Prefix: "test"})
	l := createLog(t, []*NATS{b}, LogConfig{Name: "chat", Keep: 6})[0]
	f := follow(t, l)
	add(t, l, "chat:a", "heard")
	eventually(t, "hearing the first", func() bool { all, _ := f.told("chat:a"); return len(all) == 1 })
	if err := l.live.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		add(t, l, "chat:a", fmt.Sprint(i))
	}
	for i := range 7 {
		add(t, l, "chat:b", fmt.Sprint(i))
	}
	sub, err := b.nc.Subscribe(l.republished(), l.onLive)
	if err != nil {
		t.Fatal(err)
	}
	l.live = sub
	add(t, l, "chat:a", "heard again")
	eventually(t, "hearing the last", func() bool { all, _ := f.told("chat:a"); return slices.Contains(all, "heard again") })
	all, missed := f.told("chat:a")
	if want := []string{"heard", "0", "1", "2", "3", "4", "heard again"}; !slices.Equal(all, want) {
		t.Errorf("it was told of %q, want %q", all, want)
	}
	if !slices.Contains(missed, "chat:b") {
		t.Errorf("one of b is gone, and it was told of %q", missed)
	}
	if b, _ := f.told("chat:b"); len(b) != 0 {
		t.Errorf("b has a gap, and %q of it were told", b)
	}
}

func TestLogOfAnotherSizeIsAnotherEpoch(t *testing.T) {
	e := embeddedIn(t, t.TempDir())
	b := dial(t, NATSConfig{In: e, Prefix: "test"})
	epoch := func(keep int, lost bool) string {
		l, err := b.CreateLog(within(t), LogConfig{Name: "chat", Keep: keep}, lost)
		if err != nil {
			t.Fatal(err)
		}
		return l.Epoch()
	}
	first, again := epoch(5, false), epoch(5, false)
	larger, lost := epoch(6, false), epoch(6, true)
	if first != again || first == larger || larger == lost {
		t.Errorf("epochs %s, again %s, larger %s, with something lost %s", first, again, larger, lost)
	}
	// One that has it open notices, and whoever follows it starts anew.
	l := createLog(t, []*NATS{b}, LogConfig{Name: "chat", Keep: 6})[0]
	f := follow(t, l)
	next := epoch(7, false)
	if p := read(t, l, "chat:a"); p.Epoch != next {
		t.Errorf("epoch %s was read, want %s", p.Epoch, next)
	}
	if _, missed := f.told(""); !slices.Equal(missed, []string{""}) {
		t.Errorf("it was told of %q", missed)
	}
}

func TestLogWithoutJetStream(t *testing.T) {
	b := dial(t, NATSConfig{URL: startNATS(t).url(), Prefix: "test"})
	if _, err := b.CreateLog(within(t), LogConfig{Name: "chat", Keep: 1}, false); err == nil || !strings.Contains(err.Error(), "has no JetStream") {
		t.Errorf("%v, want that there is no JetStream", err)
	}
}

func TestLogWithoutRoom(t *testing.T) {
	full := errors.New("full")
	var room error
	e := embeddedIn(t, t.TempDir())
	b := dial(t, NATSConfig{In: e, Prefix: "test", Room: func() error { return room }})
	l := createLog(t, []*NATS{b}, LogConfig{Name: "chat", Keep: 3})[0]
	add(t, l, "chat:a", "old")
	room = full
	if _, err := tryAdd(t, l, "chat:a", "", "new"); !errors.Is(err, full) {
		t.Errorf("%v, want that the disk is full", err)
	}
	if p := read(t, l, "chat:a"); !slices.Equal(data(p.Entries), []string{"old"}) {
		t.Errorf("%q, want the old one", data(p.Entries))
	}
}
