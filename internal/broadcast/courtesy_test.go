package broadcast

import (
	"reflect"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A worker gives way after so many members of a segment, each time that its turn comes.
func TestCourtesyWithinSegment(t *testing.T) {
	for _, tt := range []struct{ every, members, want int }{{16, 15, 0}, {16, 16, 1}, {16, 64, 4}, {0, 64, 0}} {
		h := New(Config{Workers: 1})
		var rs recorder
		for range tt.members {
			h.Subscribe("t", new(Subscription), &rs)
		}
		h.Close() // its own workers are gone
		n := 0
		w := worker{hub: h, others: courtesy{every: tt.every, yield: func() { n++ }}, batch: Batch{encode: h.encode}}
		s := h.shardOf("t").topics["t"].segments[0]
		s.publish(NewFrame(nil, []byte("m")))
		w.serve(s)
		if n != tt.want {
			t.Errorf("gave way %d times in a segment of %d, every %d: want %d", n, tt.members, tt.every, tt.want)
		}
	}
}

// A worker gives way where it is wanted, but not in a small topic. Where others take their time, with patience 2 it
// doesn't do so again for half as long as it has waited.
func TestCourtesyHasABound(t *testing.T) {
	for _, tt := range []struct {
		wanted   []int // the members after which it is wanted
		patience int
		waits    time.Duration
		want     []int // those after which it gave way; each takes a millisecond
	}{
		{nil, 0, 6 * time.Millisecond, []int{1, 2, 3, 4, 5, 6}},
		{[]int{}, 2, 0, nil},
		{[]int{2, 3, 5}, 2, 0, []int{2, 3, 5}},
		{[]int{1, 2, 3, 4, 5, 6}, 2, 2 * time.Millisecond, []int{1, 2, 3, 4, 5, 6}},
		{[]int{1, 2, 3, 4, 5, 6}, 2, 6 * time.Millisecond, []int{1, 4}},
		{[]int{1, 3, 4, 5, 6}, 1, 2 * time.Millisecond, []int{1, 3, 5}},
	} {
		synctest.Test(t, func(t *testing.T) {
			var got []int
			member := 0
			c := courtesy{every: 1, patience: tt.patience, yield: func() {
				got = append(got, member)
				time.Sleep(tt.waits) // by the bubble's clock: nobody waits
			}}
			if tt.wanted != nil {
				c.wanted = func() bool { return slices.Contains(tt.wanted, member) }
			}
			for member = 1; member <= 6; member++ {
				time.Sleep(time.Millisecond) // likewise
				c.after(member, false)
				if tt.wanted != nil {
					c.after(member, true)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("patience %d, waiting %v, wanted %v: gave way after %v, want %v", tt.patience, tt.waits, tt.wanted, got, tt.want)
			}
		})
	}
}

// asked counts how often it was asked whether there is a hurry.
type asked struct {
	nobody
	times atomic.Int64
}

func (a *asked) Hurried() bool { a.times.Add(1); return true }

// Where there is a hurry, a worker gives way in large topics: small ones are what it does so for.
func TestCourtesyIsForSmallTopics(t *testing.T) {
	const segment = 16
	var neighbours asked
	h := New(Config{Workers: 1, Threads: true, Segment: segment, Neighbours: &neighbours})
	subscribe := func(topic string, members int) *gate {
		g := newGate()
		for range members {
			h.Subscribe(topic, new(Subscription), g)
		}
		h.send(topic, "m")
		return g
	}
	large := subscribe("large", 2*segment) // the worker's
	<-large.entered
	held := subscribe("held", segment) // the express worker's
	<-held.entered
	small := subscribe("small", segment) // the worker's, as the other is held
	close(large.open)
	<-small.entered
	close(small.open)
	close(held.open)
	h.Close()
	if got := neighbours.times.Load(); got != 2 {
		t.Errorf("the worker has asked %d times whether there is a hurry, want once in each of the large topic's segments", got)
	}
}

// The kernel is asked only where processes share processors, and where a worker has a thread.
func TestCourtesyOf(t *testing.T) {
	for _, tt := range []struct {
		threads         bool
		neighbours      Neighbours
		every, patience int
		wanted          bool
		yield           func()
	}{
		{false, nobody{}, 64, 0, false, runtime.Gosched},
		{false, &listener{}, 64, 0, false, runtime.Gosched},
		{true, nobody{}, 0, 0, false, nil},
		{true, &listener{}, 16, 2, true, schedYield},
	} {
		c := courtesyOf(Config{Threads: tt.threads, Neighbours: tt.neighbours})
		if c.every != tt.every || c.patience != tt.patience || (c.wanted != nil) != tt.wanted {
			t.Errorf("threads %v, neighbours %T: every %d writes with patience %d, if wanted: %v; want %d, %d, %v", tt.threads, tt.neighbours, c.every, c.patience, c.wanted != nil, tt.every, tt.patience, tt.wanted)
		}
		if got, want := reflect.ValueOf(c.yield).Pointer(), reflect.ValueOf(tt.yield).Pointer(); got != want {
			t.Errorf("threads %v, neighbours %T: it yields by another function", tt.threads, tt.neighbours)
		}
	}
}
