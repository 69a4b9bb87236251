package poller

import (
	"encoding/binary"
	"math"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// All that is posted runs, on one goroutine, and in the order in which each
// goroutine posted it.
func TestPostFromManyGoroutines(t *testing.T) {
	l := newLoop(t, nil)
	const goroutines, each = 20, 500
	var next [goroutines]int // unsynchronised: the race detector watches
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for i := range each {
				if !l.Post(Func(func() {
					if next[g] != i {
						t.Errorf("goroutine %d: task %d runs, want %d", g, i, next[g])
					}
					next[g] = i + 1
				})) {
					t.Error("a task isn't taken")
				}
			}
		})
	}
	wg.Wait()
	on(t, l, func() {
		for g, n := range next {
			if n != each {
				t.Errorf("goroutine %d: %d tasks have run, want %d", g, n, each)
			}
		}
	})
}

// Tasks that wait cost the loop one wake-up, however many they are.
func TestPostCoalesces(t *testing.T) {
	l := newLoop(t, nil)
	blocked, release := make(chan struct{}), make(chan struct{})
	var wakes uint64
	ran := 0
	l.Post(Func(func() {
		close(blocked)
		<-release
		var buf [8]byte
		if _, err := unix.Read(l.wakeFD, buf[:]); err != nil {
			t.Error(err)
		}
		wakes = binary.NativeEndian.Uint64(buf[:])
		unix.Write(l.wakeFD, buf[:])
	}))
	receive(t, blocked)
	for range 1000 {
		l.Post(Func(func() { ran++ }))
	}
	close(release)
	on(t, l, func() {
		if wakes != 1 || ran != 1000 {
			t.Errorf("%d wake-ups for %d tasks, want 1 for 1000", wakes, ran)
		}
	})
}

// A task that posts doesn't keep the loop from its descriptors.
func TestPostFromATask(t *testing.T) {
	l := newLoop(t, nil)
	a, b := pair(t)
	stop := make(chan struct{})
	rounds := 0
	var again Func
	again = func() {
		select {
		case <-stop:
		default:
			rounds++
			l.Post(again)
		}
	}
	l.Post(again)
	on(t, l, func() {
		if err := l.Add(a.fd, Readable, func(Events) {
			l.Del(a.fd)
			close(stop)
		}); err != nil {
			t.Error(err)
		}
	})
	b.write("x")
	receive(t, stop)
	settle(t, l)
	on(t, l, func() {
		if rounds == 0 {
			t.Error("the task has not run")
		}
	})
}

func TestPostAfterClose(t *testing.T) {
	l := newLoop(t, nil)
	blocked, release := make(chan struct{}), make(chan struct{})
	l.Post(Func(func() { close(blocked); <-release }))
	receive(t, blocked)
	waiting := false
	l.Post(Func(func() { waiting = true }))
	closed := make(chan error)
	go func() { closed <- l.Close() }()
	for l.Post(Func(func() {})) { // until Close has begun
		continue
	}
	close(release)
	if err := receive(t, closed); err != nil {
		t.Error(err)
	}
	if waiting {
		t.Error("a task that waited has run though the loop is closed")
	}
	if l.Post(Func(func() { t.Error("a task runs after Close") })) {
		t.Error("a task is taken after Close")
	}
}

// While loops are closed, others post to them and yet others open descriptors,
// which get the numbers of the loops'. No wake-up reaches one of those.
func TestPostDuringCloseWritesToNobodyElse(t *testing.T) {
	nothing := Func(func() {})
	for range 100 {
		l, err := New(nil)
		if err != nil {
			t.Fatal(err)
		}
		var posting, done sync.WaitGroup
		for range 2 {
			posting.Add(1)
			done.Go(func() {
				posting.Done()
				for l.Post(nothing) {
					continue
				}
			})
		}
		posting.Wait()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		var others []int
		for range 8 {
			fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
			if err != nil {
				t.Fatal(err)
			}
			others = append(others, fd)
		}
		done.Wait()
		for _, fd := range others {
			var buf [8]byte
			if n, _ := unix.Read(fd, buf[:]); n > 0 {
				t.Errorf("somebody else's descriptor was written to")
			}
			unix.Close(fd)
		}
	}
}

// A burst of tasks isn't held in memory for ever.
func TestPostLetsGoOfABurst(t *testing.T) {
	l := newLoop(t, nil)
	blocked, release := make(chan struct{}), make(chan struct{})
	l.Post(Func(func() { close(blocked); <-release }))
	receive(t, blocked)
	for range 100000 {
		l.Post(Func(func() {}))
	}
	close(release)
	settle(t, l)
	on(t, l, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if cap(l.tasks) > 4096 || cap(l.spare) > 4096 {
			t.Errorf("there is still room for %d and %d tasks", cap(l.tasks), cap(l.spare))
		}
		for _, task := range l.spare[:cap(l.spare)] {
			if task != nil {
				t.Error("a task that has run is still held")
			}
		}
	})
}

type counter struct{ n int }

func (c *counter) Run() { c.n++ }

func TestPostAllocatesNothing(t *testing.T) {
	l := newLoop(t, nil)
	const n, rounds = 1000, 10
	c := &counter{}
	least := math.Inf(1) // of the rounds: something else may allocate in the meantime
	for round := range rounds {
		blocked, release := make(chan struct{}), make(chan struct{})
		l.Post(Func(func() { close(blocked); <-release }))
		receive(t, blocked)
		allocs := testing.AllocsPerRun(1, func() { // which calls it once before it counts
			for range n {
				l.Post(c)
			}
		})
		close(release)
		settle(t, l)
		if round >= 2 { // there is room for all in both of the loop's lists
			least = min(least, allocs)
		}
	}
	if least != 0 {
		t.Errorf("%v allocations for %d tasks, want none", least, n)
	}
	on(t, l, func() {
		if c.n != rounds*2*n {
			t.Errorf("%d tasks have run, want %d", c.n, rounds*2*n)
		}
	})
}
