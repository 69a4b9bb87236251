package client

import (
	"slices"
	"sync"
	"testing"

	"hubbub/cmd/loadgen/internal/plan"
)

// However lanes take turns, each connection is taken once, and none before it may be.
func TestPool(t *testing.T) {
	const conns, lanes = 50_000, 4
	share := plan.Share{First: 500, Count: conns, Loops: lanes, Of: 2}
	pl := newPool(&plan.Plan{Conns: 2 * conns}, share)
	if pl.ready() || len(pl.take(1)) != 0 {
		t.Error("a connection may be taken before any is granted")
	}
	var all []int
	for _, granted := range []int{10, 10, conns} {
		pl.grant(granted)
		var wg sync.WaitGroup
		var of [lanes][]int
		for i := range of {
			wg.Go(func() {
				for pl.ready() {
					for _, c := range pl.take(2) {
						of[i] = append(of[i], int(c.at))
					}
				}
			})
		}
		wg.Wait()
		all = append(all, slices.Concat(of[:]...)...)
		if len(all) != granted || pl.empty() != (granted == conns) {
			t.Errorf("%d granted: %d are taken; empty: %v", granted, len(all), pl.empty())
		}
	}
	slices.Sort(all)
	for i, at := range all {
		if i != at {
			t.Fatalf("connection %d is taken in place of %d", at, i)
		}
	}
	if n := len(pl.take(-1)); n != 0 {
		t.Errorf("less than none were asked for, %d taken", n)
	}
}

// A lane that gets on faster opens more, and all count as the lanes' together.
func TestLanesShareWhatThereIsToOpen(t *testing.T) {
	l, other := testLane(t, 0), testLane(t, 0)
	p := &plan.Plan{Conns: 100}
	share := plan.Share{First: 40, Count: 60, Loops: 2, Index: 1, Of: 2}
	l.pool = newPool(p, share)
	other.pool, l.first, other.first = l.pool, share.First, share.First
	l.pool.grant(share.Count)
	settled := 0
	for _, ln := range []*lane{l, other} {
		ln.onSettled = func() { settled++ }
	}
	if n := len(l.take(50)); n != 50 {
		t.Errorf("the first lane has %d, want 50", n)
	}
	if l.checkSettled(); settled != 0 {
		t.Error("a lane is through, and there are connections to open")
	}
	if n := len(other.take(50)); n != 10 {
		t.Errorf("the second lane has %d, want 10", n)
	}
	if c := other.conns[9]; c.lane != other || c.number() != 99 {
		t.Errorf("the last connection is number %d of the first lane: %v; want 99, of the other", c.number(), c.lane == l)
	}
	l.dialMore() // finds that there is nothing left
	if settled != 1 {
		t.Error("a lane that finds nothing left doesn't say that it is through")
	}
	other.inFlight = 10
	if other.checkSettled(); settled != 1 {
		t.Error("a lane is through with attempts under way")
	}
}
