package bus

import (
	"fmt"
	"slices"
	"sync"
	"testing"
)

// slowFollower waits in its first call until gate is closed.
type slowFollower struct {
	follower
	gate, entered chan struct{}
	once          sync.Once
}

func (f *slowFollower) Follow(e Entry) {
	f.once.Do(func() {
		close(f.entered)
		<-f.gate
	})
	f.follower.Follow(e)
}

// What newer entries have displaced before it could be read is missed, and that is said: though those newer ones come by themselves.
func TestLogSaysWhatWasDisplaced(t *testing.T) {
	buses := logModes[0].join(t, 2)
	logs := createLog(t, buses, LogConfig{Name: "chat", Keep: 2})
	l := logs[1]
	f := &slowFollower{gate: make(chan struct{}), entered: make(chan struct{})}
	if err := l.Follow(within(t), f); err != nil {
		t.Fatal(err)
	}
	add(t, logs[0], "chat:b", "first")
	<-f.entered
	// Three are lost on the way, and nobody says so.
	if err := l.live.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		add(t, logs[0], "chat:a", fmt.Sprint("lost ", i))
	}
	sub, err := l.bus.nc.Subscribe(l.republished(), l.onLive)
	if err != nil {
		t.Fatal(err)
	}
	l.live = sub
	if err := l.bus.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		add(t, logs[0], "chat:a", fmt.Sprint("came ", i))
	}
	close(f.gate)
	eventually(t, "hearing that something was missed", func() bool {
		_, missed := f.told("chat:a")
		return slices.Contains(missed, "chat:a") || slices.Contains(missed, "")
	})
	// And what comes then is told of.
	add(t, logs[0], "chat:a", "last")
	eventually(t, "hearing the last", func() bool { all, _ := f.told("chat:a"); return slices.Contains(all, "last") })
}

// A stream that was lost is made anew, and those who followed the old one follow the new one from its beginning.
func TestLogIsLost(t *testing.T) {
	buses := logModes[0].join(t, 2)
	logs := createLog(t, buses, LogConfig{Name: "chat", Keep: 5})
	f := follow(t, logs[1])
	for i := range 20 {
		add(t, logs[0], "chat:a", fmt.Sprint(i))
	}
	eventually(t, "hearing all", func() bool { all, _ := f.told("chat:a"); return len(all) == 20 })
	old := logs[1].Epoch()
	if err := logs[0].js.DeleteStream(within(t), logs[0].stream); err != nil {
		t.Fatal(err)
	}
	logs[1].lookBack() // as after the connection was lost
	if _, missed := f.told(""); !slices.Equal(missed, []string{""}) || logs[1].Epoch() == old {
		t.Errorf("missed %q, epoch %s, before %s", missed, logs[1].Epoch(), old)
	}
	for i := range 3 {
		add(t, logs[0], "chat:a", fmt.Sprint("new ", i))
	}
	eventually(t, "hearing the new ones", func() bool { all, _ := f.told("chat:a"); return len(all) == 23 })
	// The other one notices when it reads.
	if p := read(t, logs[0], "chat:a"); p.Epoch != logs[1].Epoch() || len(p.Entries) != 3 {
		t.Errorf("%+v", p)
	}
}

// Servers that start together make one log.
func TestLogIsMadeOnce(t *testing.T) {
	for range 10 {
		buses := logModes[0].join(t, 4)
		var wg sync.WaitGroup
		logs := make([]*Log, len(buses))
		for i, b := range buses {
			wg.Go(func() {
				var err error
				if logs[i], err = b.CreateLog(within(t), LogConfig{Name: "chat", Keep: 5}, false); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, l := range logs[1:] {
			if l != nil && l.Epoch() != logs[0].Epoch() {
				t.Errorf("epochs %s and %s", logs[0].Epoch(), l.Epoch())
			}
		}
	}
}

// A channel in which much is published is read without holes.
func TestLogIsReadWithoutHoles(t *testing.T) {
	buses := logModes[0].join(t, 2)
	logs := createLog(t, buses, LogConfig{Name: "chat", Keep: 2})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		under := make(chan struct{}, 256) // way
		for {
			select {
			case <-stop:
				return
			case under <- struct{}{}:
			}
			logs[0].Append("chat:a", "", []byte("x"), func(uint64, error) { <-under })
		}
	})
	for range 200 {
		p := read(t, logs[1], "chat:a")
		at := max(p.Whole, 1)         // which is the anchor's
		for i, e := range p.Entries { // it is the only channel: its offsets have no gaps
			if i == 0 && at < e.Offset-1 || i > 0 && e.Offset != at+1 {
				t.Fatalf("nothing is to be missing after %d, and entry %d is at %d", p.Whole, i, e.Offset)
			}
			at = e.Offset
		}
	}
	close(stop)
	wg.Wait()
}
