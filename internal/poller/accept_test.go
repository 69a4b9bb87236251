package poller

import (
	"testing"

	"golang.org/x/sys/unix"
)

// taker has room for some connections and remembers what its Acceptor asks of
// it. It belongs to the loop, except for told and taken.
type taker struct {
	room     int // left
	reserved int // and neither taken nor cancelled
	fds      []int
	shorts   []error
	then     func() // called by Take, unless it is nil
	busy     func() bool
	taken    chan int
	told     chan error
}

func newTaker(t *testing.T, room int) *taker {
	k := &taker{room: room, taken: make(chan int, 1000), told: make(chan error, 1000)}
	t.Cleanup(func() {
		for _, fd := range k.fds {
			unix.Close(fd)
		}
	})
	return k
}

func (k *taker) Busy() bool { return k.busy != nil && k.busy() }

func (k *taker) Reserve() bool {
	if k.room == 0 {
		return false
	}
	k.room--
	k.reserved++
	return true
}

func (k *taker) Cancel() {
	k.room++
	k.reserved--
}

func (k *taker) Take(fd int) {
	k.reserved--
	k.fds = append(k.fds, fd)
	k.taken <- fd
	if k.then != nil {
		k.then()
	}
}

func (k *taker) Short(err error) {
	k.shorts = append(k.shorts, err)
	k.told <- err
}

// accept starts an Acceptor on l.
func accept(t *testing.T, l *Loop, fd int, k *taker) (a *Acceptor) {
	t.Helper()
	on(t, l, func() {
		var err error
		if a, err = l.NewAcceptor(fd, k); err != nil {
			t.Error(err)
		}
	})
	return a
}

// check settles the loop and compares what k has.
func (k *taker) check(t *testing.T, l *Loop, when string, taken int) {
	t.Helper()
	settle(t, l)
	on(t, l, func() {
		if len(k.fds) != taken || k.reserved != 0 {
			t.Errorf("%s, %d connections are taken and %d reserved, want %d and 0", when, len(k.fds), k.reserved, taken)
		}
	})
}

func TestAcceptorTakesAll(t *testing.T) {
	l := newLoop(t, nil)
	_, fd, addr := listen(t)
	const before, after = 100, 50 // more than it takes at one wake-up
	connect(t, addr, before)
	k := newTaker(t, 1000)
	accept(t, l, fd, k)
	for range before {
		receive(t, k.taken)
	}
	connect(t, addr, after)
	for range after {
		receive(t, k.taken)
	}
	k.check(t, l, "in the end", before+after)
}

func TestAcceptedSocketsAreReady(t *testing.T) {
	l := newLoop(t, nil)
	_, fd, addr := listen(t)
	k := newTaker(t, 1)
	accept(t, l, fd, k)
	connect(t, addr, 1)
	c := receive(t, k.taken)
	if !isNonblocking(t, c) || !isCloseOnExec(t, c) {
		t.Error("an accepted socket blocks or outlives exec")
	}
	if on, err := unix.GetsockoptInt(c, unix.IPPROTO_TCP, unix.TCP_NODELAY); err != nil || on == 0 {
		t.Errorf("an accepted socket has no TCP_NODELAY (%d, %v)", on, err)
	}
}

// Where there is no room, connections wait in the kernel's queue, and the
// Acceptor doesn't look for them.
func TestAcceptorPausesWithoutRoom(t *testing.T) {
	sys := &fakeSys{}
	l := newLoop(t, sys)
	_, fd, addr := listen(t)
	k := newTaker(t, 2)
	a := accept(t, l, fd, k)
	connect(t, addr, 5)
	receive(t, k.taken)
	receive(t, k.taken)
	k.check(t, l, "with room for two", 2)
	calls := sys.calls()
	for range 20 {
		settle(t, l)
	}
	if n := sys.calls() - calls; n != 0 {
		t.Errorf("without room, Accept is called %d times", n)
	}
	on(t, l, func() {
		if a.on || a.timer.Pending() {
			t.Error("the Acceptor isn't paused until Resume")
		}
		k.room++
		if err := a.Resume(); err != nil {
			t.Error(err)
		}
	})
	receive(t, k.taken)
	k.check(t, l, "with room for one more", 3)
	on(t, l, func() {
		k.room = 10
		if err := a.Resume(); err != nil {
			t.Error(err)
		}
		if err := a.Resume(); err != nil {
			t.Errorf("resumed though it isn't paused: %v", err)
		}
	})
	k.check(t, l, "with room for all", 5)
	on(t, l, func() {
		a.Pause()
		a.Pause()
	})
	connect(t, addr, 1)
	k.check(t, l, "paused", 5)
	on(t, l, func() { a.Resume() })
	k.check(t, l, "resumed", 6)
	if len(k.shorts) != 0 {
		t.Errorf("want of room is told as %v", k.shorts)
	}
}

// What a callback of the same round has paused doesn't accept, though its
// listening socket was ready: that may be closed already.
func TestAcceptorPausedInTheSameRound(t *testing.T) {
	sys := &fakeSys{}
	l := newLoop(t, sys)
	_, fd, addr := listen(t)
	connect(t, addr, 3)
	k := newTaker(t, 10)
	on(t, l, func() {
		a, err := l.NewAcceptor(fd, k)
		if err != nil {
			t.Error(err)
		}
		a.Pause()
		a.ready(Readable) // as the event comes that was on its way
		if sys.calls() != 0 {
			t.Error("a paused Acceptor has tried to accept")
		}
		if err := a.Resume(); err != nil {
			t.Error(err)
		}
		k.then = a.Pause
	})
	receive(t, k.taken)
	k.check(t, l, "paused by whom it gave a connection", 1)
	if sys.calls() != 1 {
		t.Errorf("Accept was called %d times, want once", sys.calls())
	}
}

// Two loops accept from one socket, and where one has no room the other still
// has.
func TestLoopsShareAListener(t *testing.T) {
	_, fd, addr := listen(t)
	var loops [2]*Loop
	var takers [2]*taker
	var acceptors [2]*Acceptor
	for i := range loops {
		loops[i] = newLoop(t, nil)
		takers[i] = newTaker(t, 0)
		acceptors[i] = accept(t, loops[i], fd, takers[i])
	}
	room := func(i, n int) {
		t.Helper()
		on(t, loops[i], func() {
			takers[i].room = n
			if err := acceptors[i].Resume(); err != nil {
				t.Error(err)
			}
		})
	}
	const n = 70
	connect(t, addr, n)
	room(0, 10)
	for range 10 {
		receive(t, takers[0].taken)
	}
	takers[0].check(t, loops[0], "with room for 10", 10)
	room(1, n)
	for range n - 10 {
		receive(t, takers[1].taken)
	}
	connect(t, addr, 5)
	for range 5 {
		receive(t, takers[1].taken)
	}
	on(t, loops[1], func() { acceptors[1].Pause() })
	room(0, n)
	connect(t, addr, 5)
	for range 5 {
		receive(t, takers[0].taken)
	}
	takers[0].check(t, loops[0], "in the end", 15)
	takers[1].check(t, loops[1], "in the end", n-10+5)
}

// Loops that have nothing else to do take connections in turn.
func TestLoopsTakeTurns(t *testing.T) {
	_, fd, addr := listen(t)
	taken := make(chan int, 1)
	var loops [3]*Loop
	var takers [3]*taker
	for i := range loops {
		loops[i] = newLoop(t, nil)
		takers[i] = newTaker(t, 100)
		takers[i].taken = taken
		accept(t, loops[i], fd, takers[i])
	}
	for range 10 * len(loops) {
		connect(t, addr, 1)
		receive(t, taken)
		for _, l := range loops {
			settle(t, l)
		}
	}
	for i, l := range loops { // one that isn't quite back to waiting may have lost a turn
		on(t, l, func() {
			if n := len(takers[i].fds); n == 0 {
				t.Errorf("loop %d has taken none of %d", i, 10*len(loops))
			}
		})
	}
}

// Closing the loop ends an Acceptor, which hears of it like everybody.
func TestAcceptorOnAClosedLoop(t *testing.T) {
	sys := &fakeSys{}
	l := newLoop(t, sys)
	stopClock(t, l) // it would look by itself
	_, fd, _ := listen(t)
	k := newTaker(t, 1)
	accept(t, l, fd, k)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if sys.calls() != 0 {
		t.Error("when its loop was closed, an Acceptor has tried to accept")
	}
}

// A connection of which only a loop without room was told isn't forgotten by
// one that has some, whichever the kernel wakes first.
func TestNoConnectionIsStranded(t *testing.T) {
	for _, rooms := range [][2]int{{0, 1}, {1, 0}} {
		_, fd, addr := listen(t)
		taken := make(chan int, 2)
		for _, room := range rooms {
			k := newTaker(t, room)
			k.taken = taken
			accept(t, newLoop(t, nil), fd, k)
		}
		connect(t, addr, 1)
		receive(t, taken)
	}
}

// An Acceptor looks for connections by itself too, again and again while it
// isn't paused.
func TestAcceptorLooksByItself(t *testing.T) {
	l := newLoop(t, nil)
	stopClock(t, l)
	_, fd, addr := listen(t)
	k := newTaker(t, 2)
	a := accept(t, l, fd, k)
	look := func(after string, taken int) {
		t.Helper()
		on(t, l, func() { l.Del(fd) }) // as if another loop were told
		connect(t, addr, 1)
		k.check(t, l, after+", told of nothing", taken-1)
		on(t, l, func() {
			for at := a.look.at; l.wheel.now < at; {
				l.wheel.advance()
			}
		})
		k.check(t, l, after+", once it has looked", taken)
	}
	look("at first", 1)
	look("later", 2)
	on(t, l, func() { // the next look finds no room
		for at := a.look.at; l.wheel.now < at; {
			l.wheel.advance()
		}
		if a.on || a.look.Pending() {
			t.Error("an Acceptor without room still looks")
		}
		a.Resume()
		a.Pause()
		if a.look.Pending() {
			t.Error("a paused Acceptor still looks")
		}
	})
}
