package poller

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// While there is more urgent work connections aren't accepted as they come, but later, and then all of them: more
// than at one wake-up.
func TestConnectionsGather(t *testing.T) {
	sys := &fakeSys{}
	l := newLoop(t, sys)
	_, fd, addr := listen(t)
	k := newTaker(t, 1000)
	k.room = 0
	a := accept(t, l, fd, k)
	const conns = acceptsPerWake + 10
	connect(t, addr, conns)
	k.check(t, l, "without room", 0)
	asked := 0
	k.busy = func() bool {
		asked++
		if asked > 3 { // the work is done
			return false
		}
		l.Post(Func(func() { // before the Acceptor's own, which comes later
			if a.on || sys.calls() != 0 {
				t.Errorf("busy, the Acceptor is on (%v), and has called Accept %d times", a.on, sys.calls())
			}
		}))
		return true
	}
	on(t, l, func() {
		k.room = conns
		if err := a.Resume(); err != nil {
			t.Error(err)
		}
	})
	for range conns {
		receive(t, k.taken)
	}
	k.check(t, l, "in the end", conns)
	on(t, l, func() {
		if a.gathered {
			t.Error("the Acceptor still thinks that all there are have gathered")
		}
		if asked != 4 {
			t.Errorf("the Taker was asked %d times whether it is busy, want 4, and never between those that gathered", asked)
		}
	})
}

// However long the work takes, connections wait a bounded time, and less where the kernel's queue would be full.
func TestConnectionsGatherForABoundedTime(t *testing.T) {
	l := newLoop(t, nil)
	_, fd, addr := listen(t)
	k := newTaker(t, 10)
	k.busy = func() bool { return true }
	a := accept(t, l, fd, k)
	on(t, l, func() {
		a.letGather()
		looks := 0
		for ; a.left > 0; looks++ {
			a.takeGathered()
			if a.on || !a.gather {
				t.Error("busy, the Acceptor doesn't wait on")
				return
			}
		}
		if least, most := int(maxGather/maxLook), int(maxGather/minLook); looks < least || looks > most {
			t.Errorf("the Acceptor looked %d times, want %d to %d", looks, least, most)
		}
		a.takeGathered()
		if !a.on || a.gather {
			t.Error("the time is over, and the Acceptor waits on")
		}
	})
	connect(t, addr, 1)
	receive(t, k.taken)
	on(t, l, func() { a.Pause() })

	if err := unix.Listen(fd, 8); err != nil {
		t.Fatal(err)
	}
	connect(t, addr, 3)
	if crowded(fd) {
		t.Error("with 3 in a queue of 8, it is said to be half full")
	}
	connect(t, addr, 1)
	if !crowded(fd) {
		t.Error("with 4 in a queue of 8, it isn't said to be half full")
	}
	if !crowded(-1) {
		t.Error("a queue that can't be looked at is said to have room")
	}
	on(t, l, func() {
		a.letGather()
		if a.takeGathered(); a.gather {
			t.Error("the queue is half full, and the Acceptor waits on")
		}
	})
	for range 4 {
		receive(t, k.taken)
	}
}

// Who pauses an Acceptor while connections gather has it paused.
func TestAcceptorPausedWhileConnectionsGather(t *testing.T) {
	l := newLoop(t, nil)
	_, fd, addr := listen(t)
	k := newTaker(t, 10)
	k.busy = func() bool { return true }
	a := accept(t, l, fd, k)
	on(t, l, func() {
		a.ready(Readable)
		if a.on || !a.gather {
			t.Error("busy, the Acceptor doesn't have connections gather")
		}
		a.Pause()
		a.takeGathered()
		if a.on {
			t.Error("paused, the Acceptor goes on when connections have gathered")
		}
		k.busy = nil
		if err := a.Resume(); err != nil {
			t.Error(err)
		}
	})
	connect(t, addr, 1)
	receive(t, k.taken)
}

// When an Acceptor looks is left to chance: of loops that share a listening socket and begin one after the other,
// it would otherwise always be the first that takes what has gathered.
func TestLooksVary(t *testing.T) {
	least, most := maxLook, time.Duration(0)
	for range 200 {
		d := lookTime()
		least, most = min(least, d), max(most, d)
	}
	if least < minLook || most >= maxLook || most-least < (maxLook-minLook)/2 {
		t.Errorf("it looks after %v to %v, want all of %v to %v", least, most, minLook, maxLook)
	}
}
