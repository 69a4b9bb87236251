package poller

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Tick is the resolution of timers.
const Tick = 100 * time.Millisecond

// timersPerTurn bounds how long timers that are due together keep a loop from its
// sockets.
const timersPerTurn = 256

const slots = 512 // one turn of the wheel: 51.2 s; longer timers stay for several turns

// Timer is a coarse deadline, to be embedded in what it is for. It costs
// nothing while it isn't set, two pointers and a tick number while it is. The
// zero value is ready to use. A Timer belongs to one loop.
type Timer struct {
	prev, next *Timer // nil when not set
	at         uint64 // tick at which it is due
	fn         func()
}

// Pending reports whether the timer is set.
func (t *Timer) Pending() bool { return t.next != nil }

// wheel is a hashed timing wheel (Varghese and Lauck, 1987): setting and
// clearing a timer take constant time, and a tick touches only one slot. Its
// timerfd runs only while a timer is set, so an idle process sleeps.
type wheel struct {
	fd     int
	now    uint64 // ticks passed while running
	count  int
	firing bool         // a tick has just passed, and timers are called
	slot   [slots]Timer // heads of circular lists
	due    Timer        // head of the list of those whose time has come
}

func (w *wheel) open() error {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("poller: timerfd: %w", err)
	}
	w.fd = fd
	for i := range w.slot {
		h := &w.slot[i]
		h.prev, h.next = h, h
	}
	w.due.prev, w.due.next = &w.due, &w.due
	return nil
}

func (w *wheel) close() { unix.Close(w.fd) }

func (w *wheel) arm(every time.Duration) {
	ts := unix.NsecToTimespec(int64(every))
	_ = unix.TimerfdSettime(w.fd, 0, &unix.ItimerSpec{Interval: ts, Value: ts}, nil) // the arguments are right
}

func (w *wheel) set(t *Timer, after time.Duration, fn func()) {
	if t.Pending() {
		w.clear(t)
	}
	ticks := uint64((max(after, 1)-1)/Tick) + 1
	if w.count > 0 && !w.firing { // part of the current tick has passed
		ticks++
	}
	t.at, t.fn = w.now+ticks, fn
	h := &w.slot[t.at%slots]
	t.prev, t.next = h.prev, h
	h.prev.next, h.prev = t, t
	if w.count++; w.count == 1 {
		w.arm(Tick)
	}
}

func (w *wheel) clear(t *Timer) {
	if !t.Pending() {
		return
	}
	t.prev.next, t.next.prev = t.next, t.prev
	t.prev, t.next, t.fn = nil, nil, nil
	if w.count--; w.count == 0 {
		w.arm(0)
	}
}

// advance moves the wheel on by a tick and calls what becomes due, or a turn's worth
// of it. It reports whether more is left that nobody goes on with.
func (w *wheel) advance() (more bool) {
	behind := w.due.next != &w.due
	w.now++
	h := &w.slot[w.now%slots]
	// Due timers are taken out first: what they do may set or clear others.
	for t := h.next; t != h; {
		next := t.next
		if t.at <= w.now {
			t.prev.next, t.next.prev = t.next, t.prev
			t.prev, t.next = w.due.prev, &w.due
			w.due.prev.next, w.due.prev = t, t
		}
		t = next
	}
	if behind { // who goes on with the last ones goes on with these
		return false
	}
	w.firing = true
	more = w.fire()
	w.firing = false
	return more
}

// fire calls timers that are due, a turn's worth of them, and reports whether there
// are more.
func (w *wheel) fire() (more bool) {
	for range timersPerTurn {
		t := w.due.next
		if t == &w.due {
			return false
		}
		fn := t.fn
		w.clear(t)
		fn()
	}
	return w.due.next != &w.due
}

// SetTimer has fn called on the loop once, after the given time rounded up to
// whole ticks, and up to two ticks late. The clock of timers stands still while
// the loop is held up, by a handler or because the whole process was: what is
// due then comes after what has arrived in the meantime, not before. It
// replaces what t was set to.
func (l *Loop) SetTimer(t *Timer, after time.Duration, fn func()) { l.wheel.set(t, after, fn) }

// ClearTimer unsets t, if it is set.
func (l *Loop) ClearTimer(t *Timer) { l.wheel.clear(t) }

func (l *Loop) onTick(ev Events) {
	if ev == Stopped {
		return
	}
	var buf [8]byte
	if n, err := unix.Read(l.wheel.fd, buf[:]); n != 8 || err != nil {
		return
	}
	if l.wheel.advance() { // once, however many ticks were missed
		l.Post(Func(l.fireMore))
	}
}

// fireMore goes on with timers that are due, once sockets have had their turn.
func (l *Loop) fireMore() {
	if l.wheel.fire() {
		l.Post(Func(l.fireMore))
	}
}
