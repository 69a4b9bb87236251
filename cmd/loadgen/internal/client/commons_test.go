package client

import (
	"slices"
	"sync"
	"testing"

	"hubbub/cmd/loadgen/internal/plan"
)

// However lanes take turns, each connection that they share is taken once, and none
// before it may be.
func TestCommons(t *testing.T) {
	const conns, lanes = 40_000, 4
	s := newCommons(plan.Share{First: 500, Count: conns, Loops: lanes})
	if s.first != 35_000 || s.total != 5_000 {
		t.Fatalf("%d are shared from %d on, want 5,000 from 35,000 on", s.total, s.first)
	}
	var all []int
	for _, tt := range []struct{ granted, taken int }{{10, 0}, {35_000, 0}, {35_003, 3}, {35_003, 3}, {conns, 5_000}} {
		s.grant(tt.granted)
		if tt.taken == len(all) && s.ready() {
			t.Errorf("of the first %d, there are some to take", tt.granted)
		}
		var wg sync.WaitGroup
		var of [lanes][]int
		for i := range of {
			wg.Go(func() {
				for number, ok := s.take(); ok; number, ok = s.take() {
					of[i] = append(of[i], number)
				}
			})
		}
		wg.Wait()
		all = append(all, slices.Concat(of[:]...)...)
		if len(all) != tt.taken || s.ready() || s.gone() != (tt.granted == conns) {
			t.Errorf("of the first %d, %d are taken, want %d; there are more: %v; all are gone: %v", tt.granted, len(all), tt.taken, s.ready(), s.gone())
		}
	}
	slices.Sort(all)
	for i, number := range all {
		if number != 35_000+i {
			t.Fatalf("connection %d is taken in place of %d", number, 35_000+i)
		}
	}
}

// Nothing is shared where there is nobody to share with, or little to share.
func TestNothingInCommon(t *testing.T) {
	for _, share := range []plan.Share{{Count: 40_000, Loops: 1}, {Count: minToShare - 1, Loops: 2}} {
		if s := newCommons(share); s.first != share.Count || s.total != 0 || s.ready() || !s.gone() {
			t.Errorf("%d connections of %d lanes: %d are shared from %d on", share.Count, share.Loops, s.total, s.first)
		}
	}
}

// A lane opens its own connections, every other one, and then as many of those that it
// shares as it has time for.
func TestLanesShareTheEnd(t *testing.T) {
	p := &plan.Plan{Conns: 10_000, Topics: 1, Slow: 0.5}
	share := plan.Share{First: 2_000, Count: 8_000, Loops: 2, Index: 1, Of: 2}
	f, err := New(p, share)
	if err != nil {
		t.Fatal(err)
	}
	a, b, s := f.lanes[0], f.lanes[1], f.commons
	settled := 0
	for _, l := range f.lanes {
		defer l.loop.Close()
		l.onSettled = func() { settled++ }
	}
	take := func(l *lane, n int) (last *conn) {
		for range n {
			c := l.next()
			if c == nil {
				break
			}
			last = c
		}
		return last
	}
	s.grant(share.Count)
	a.granted, b.granted = len(a.conns), len(b.conns)
	if c := take(b, 1); c.number() != 2_001 {
		t.Errorf("the second lane's first own connection is number %d, want 2,001", c.number())
	}
	if c := take(b, 3_499); c.number() != 2_000+6_999 {
		t.Errorf("the second lane's last own connection is number %d, want 8,999", c.number())
	}
	if b.checkSettled(); settled != 0 {
		t.Error("a lane is through, and there are connections to open")
	}
	if c := take(b, 10); c.number() != 9_009 || c.lane != b || int(c.at) != 3_509 {
		t.Errorf("of the shared, the tenth is number %d, and at %d of its lane; want 9,009, at 3,509", c.number(), c.at)
	}
	if c := take(a, 1); c.number() != 2_000 {
		t.Errorf("the first lane's first own connection is number %d, want 2,000", c.number())
	}
	take(a, 5_000)
	if len(a.conns)+len(b.conns) != share.Count || len(b.conns) != 3_510 {
		t.Errorf("the lanes have %d and %d connections, want 4,490 and 3,510", len(a.conns), len(b.conns))
	}
	stalls := 0
	for _, l := range f.lanes {
		for i := range l.conns {
			if c := &l.conns[i]; p.Stalled(c.number()) != (c.kind == stalled) {
				t.Fatalf("connection %d stalls: %v", c.number(), c.kind == stalled)
			} else if c.kind == stalled {
				stalls++
			}
		}
	}
	if stalls == 0 {
		t.Error("none stalls")
	}
	b.dialMore() // finds that there is nothing left
	if settled != 1 {
		t.Error("a lane that finds nothing left doesn't say that it is through")
	}
	a.inFlight = 10
	if a.checkSettled(); settled != 1 {
		t.Error("a lane is through with attempts under way")
	}
}

// A lane that despairs takes what is shared with it, and the other is through without.
func TestDespairTakesWhatIsShared(t *testing.T) {
	share := plan.Share{Count: 8_000, Loops: 2, Of: 1}
	f, err := New(&plan.Plan{Conns: share.Count, Topics: 1}, share)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range f.lanes {
		defer l.loop.Close()
	}
	l, s := f.lanes[0], f.commons
	s.grant(7_005)
	s.take()
	l.despair()
	if l.count.Failed != 3_500+999 || !s.gone() || s.ready() {
		t.Errorf("%d have failed, want 4,499; all are gone: %v; there are some to take: %v", l.count.Failed, s.gone(), s.ready())
	}
	if s.grant(share.Count); s.ready() {
		t.Error("there are some to take, after all")
	}
	if c := l.next(); c != nil {
		t.Errorf("connection %d is to be opened", c.number())
	}
}
