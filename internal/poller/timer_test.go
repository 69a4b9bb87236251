package poller

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// newWheel returns a wheel that nobody turns but the test.
func newWheel(t *testing.T) *wheel {
	t.Helper()
	w := &wheel{}
	if err := w.open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	return w
}

// armed reports whether the wheel's timerfd runs.
func (w *wheel) armed(t *testing.T) bool {
	t.Helper()
	var spec unix.ItimerSpec
	if err := unix.TimerfdGettime(w.fd, &spec); err != nil {
		t.Error(err)
	}
	return spec.Value != unix.Timespec{}
}

func (w *wheel) turn(ticks int) {
	for range ticks {
		w.advance()
	}
}

// A model of timers: a list, looked through at every tick. Time is in
// sixteenths of a tick, so that timers are also set in the middle of one.
type model struct {
	t      *testing.T
	w      *wheel
	rnd    *rand.Rand
	now    uint64 // sixteenths, a multiple of them at each tick
	firing bool
	timers []modelTimer
}

type modelTimer struct {
	Timer
	set bool
	due uint64 // sixteenths
}

func (m *model) set(i int) {
	t := &m.timers[i]
	after := time.Duration(m.rnd.Int64N(int64(10 * Tick)))
	switch m.rnd.IntN(10) {
	case 0:
		after = time.Duration(m.rnd.Int64N(int64(3 * slots * Tick))) // several turns
	case 1:
		after = Tick * time.Duration(m.rnd.Int64N(2*slots)) // whole ticks
	case 2:
		after = -after
	}
	alone := m.w.count == 0 || m.w.count == 1 && t.Pending()
	switch {
	case m.firing: // what is called at a tick takes no time
	case alone: // the wheel begins to turn, and its tick with it
		m.now += (16 - m.now%16) % 16
	default:
		m.now += m.rnd.Uint64N(16 - m.now%16)
	}
	whole := max(1, (after+Tick-1)/Tick)
	t.set, t.due = true, m.now+16*uint64(whole)
	m.w.set(&t.Timer, after, func() { m.fired(i) })
}

func (m *model) clear(i int) {
	m.timers[i].set = false
	m.w.clear(&m.timers[i].Timer)
}

func (m *model) fired(i int) {
	t := &m.timers[i]
	switch {
	case !t.set:
		m.t.Fatalf("timer %d fires though it isn't set", i)
	case m.now < t.due:
		m.t.Fatalf("timer %d fires at %d/16, before its time %d/16", i, m.now, t.due)
	case m.now > t.due+16:
		m.t.Fatalf("timer %d fires at %d/16, more than a tick behind its time %d/16", i, m.now, t.due)
	case t.Pending():
		m.t.Fatalf("timer %d is pending while it fires", i)
	}
	t.set = false
	for range m.rnd.IntN(3) { // it may set or clear itself, one that is due now, or others
		m.change(m.rnd.IntN(len(m.timers)))
	}
}

func (m *model) change(i int) {
	if m.rnd.IntN(3) == 0 {
		m.clear(i)
	} else {
		m.set(i)
	}
}

func (m *model) tick() {
	if m.w.count == 0 {
		return // it stands still
	}
	m.now += 16 - m.now%16
	m.firing = true
	m.w.advance()
	m.firing = false
	set := 0
	for i := range m.timers {
		t := &m.timers[i]
		if t.set != t.Pending() {
			m.t.Fatalf("timer %d is pending: %t, want %t", i, t.Pending(), t.set)
		}
		if t.set {
			set++
			if m.now > t.due+16 {
				m.t.Fatalf("at %d/16, timer %d, due at %d/16, has not fired", m.now, i, t.due)
			}
		}
	}
	if set != m.w.count || m.w.armed(m.t) != (set > 0) {
		m.t.Fatalf("%d timers are set, the wheel counts %d and runs: %t", set, m.w.count, m.w.armed(m.t))
	}
}

func TestWheelAgainstModel(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			m := &model{t: t, w: newWheel(t), rnd: rand.New(rand.NewPCG(seed, 0)), timers: make([]modelTimer, 30)}
			for range 5000 {
				if m.rnd.IntN(4) == 0 {
					m.change(m.rnd.IntN(len(m.timers)))
				}
				m.tick()
			}
		})
	}
}

func TestWheelTicks(t *testing.T) {
	tests := []struct {
		name  string
		after time.Duration
		ticks int
	}{
		{"less than no time", math.MinInt64, 1},
		{"no time", 0, 1},
		{"a nanosecond", 1, 1},
		{"a tick", Tick, 1},
		{"a little more than a tick", Tick + 1, 2},
		{"a turn less a tick", (slots - 1) * Tick, slots - 1},
		{"a turn", slots * Tick, slots},
		{"a turn and a tick", (slots + 1) * Tick, slots + 1},
		{"three turns and a bit", 3*slots*Tick + 1, 3*slots + 1},
	}
	for _, tt := range tests {
		for _, running := range []bool{false, true} {
			w := newWheel(t)
			var tm, other Timer
			ticks := tt.ticks
			if running { // of the tick that has begun, nobody knows how much is left
				w.set(&other, time.Hour, func() {})
				w.turn(700)
				ticks++
			}
			fired := 0
			w.set(&tm, tt.after, func() { fired++ })
			w.turn(ticks - 1)
			if fired != 0 || !tm.Pending() {
				t.Errorf("%s: it fires before tick %d", tt.name, ticks)
			}
			w.turn(1)
			if fired != 1 || tm.Pending() {
				t.Errorf("%s: at tick %d it has fired %d times", tt.name, ticks, fired)
			}
			if !running && w.armed(t) {
				t.Errorf("%s: the wheel runs though no timer is set", tt.name)
			}
			w.set(&other, time.Hour, func() {})
			if w.turn(2 * slots); fired != 1 {
				t.Errorf("%s: two turns later it has fired %d times", tt.name, fired)
			}
		}
	}
	w := newWheel(t)
	var tm Timer
	w.set(&tm, math.MaxInt64, func() { t.Error("a timer for ever fires") })
	w.turn(10 * slots)
}

// What fires may clear, move and set others that are due at the same tick, and
// itself.
func TestWheelChangedWhileFiring(t *testing.T) {
	w := newWheel(t)
	var running, a, b, moved, again Timer
	w.set(&running, time.Hour, func() {})
	var log string
	w.set(&a, Tick, func() {
		log += "a "
		w.clear(&b)
		w.set(&moved, 3*Tick, func() { log += "moved " })
	})
	w.set(&b, Tick, func() {
		log += "b "
		w.clear(&a)
		w.set(&moved, 3*Tick, func() { log += "moved " })
	})
	w.set(&moved, Tick, func() { log += "too early " })
	n := 0
	var fn func()
	fn = func() {
		if n++; n < 3 {
			w.set(&again, Tick, fn)
		}
	}
	w.set(&again, Tick, fn)
	w.turn(2)
	first := log
	if first != "a " && first != "b " {
		t.Errorf("first comes %q, want a or b, and nothing that it has cleared or moved", first)
	}
	if w.turn(2); log != first || n != 3 {
		t.Errorf("two ticks later: %q, and the timer that sets itself has fired %d times, want 3", log, n)
	}
	if w.turn(1); log != first+"moved " {
		t.Errorf("three ticks later: %q", log)
	}
	if w.count != 1 || a.Pending() || b.Pending() || moved.Pending() || again.Pending() {
		t.Errorf("the wheel counts %d timers, want 1", w.count)
	}
}

func TestWheelRunsOnlyWhileNeeded(t *testing.T) {
	w := newWheel(t)
	var a, b Timer
	expect := func(when string, want bool) {
		t.Helper()
		if got := w.armed(t); got != want {
			t.Errorf("%s it runs: %t", when, got)
		}
	}
	expect("at first", false)
	w.clear(&a)
	expect("after a timer was cleared that wasn't set", false)
	w.set(&a, time.Hour, func() {})
	expect("with a timer", true)
	w.set(&b, time.Hour, func() {})
	w.set(&b, time.Minute, func() {})
	w.clear(&b)
	w.clear(&b)
	expect("with one of two timers", true)
	w.clear(&a)
	expect("without any", false)
	w.set(&a, time.Hour, func() {})
	w.arm(0)
	w.set(&b, time.Hour, func() {})
	expect("stopped by hand, with a second timer, which must not put off the next tick,", false)
}

// The timers of a loop come by themselves, on the loop, one after the other.
func TestTimersOfALoop(t *testing.T) {
	l := newLoop(t, nil)
	var first, second, replaced, cleared Timer
	log := make(chan string, 10)
	say := func(what string) func() { return func() { log <- what } }
	on(t, l, func() {
		if l.wheel.armed(t) {
			t.Error("without a timer, the loop's clock runs")
		}
		l.SetTimer(&first, Tick, func() {
			log <- "first"
			l.SetTimer(&first, Tick, func() {
				log <- "first again"
				l.ClearTimer(&cleared)
				l.SetTimer(&replaced, Tick, say("replacement"))
			})
		})
		l.SetTimer(&second, 10*Tick, say("last"))
		l.SetTimer(&replaced, 9*Tick, say("replaced"))
		l.SetTimer(&cleared, 9*Tick, say("cleared"))
	})
	for _, want := range []string{"first", "first again", "replacement", "last"} {
		if got := receive(t, log); got != want {
			t.Errorf("%s comes, want %s", got, want)
		}
	}
	settle(t, l)
	on(t, l, func() {
		if l.wheel.armed(t) {
			t.Error("without a timer, the loop's clock runs on")
		}
	})
}

// Ticks that were missed, because the loop was held up, are one tick to its
// timers: what came in the meantime gets its turn before they run out.
func TestMissedTicksAreOne(t *testing.T) {
	l := &Loop{}
	if err := l.wheel.open(); err != nil {
		t.Fatal(err)
	}
	defer l.wheel.close()
	ticks, err := unix.Eventfd(5, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC) // read like a timerfd
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(ticks)
	if err := unix.Dup3(ticks, l.wheel.fd, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	expect := func(what string, now uint64) {
		t.Helper()
		if l.wheel.now != now {
			t.Errorf("%s: the clock is at %d, want %d", what, l.wheel.now, now)
		}
	}
	l.onTick(Readable)
	expect("five ticks were missed", 1)
	l.onTick(Readable)
	expect("there was none", 1)
	unix.Write(ticks, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	l.onTick(Stopped)
	expect("the loop is closed", 1)
	l.onTick(Readable)
	expect("there was one", 2)
}

// Many timers that are due together leave sockets their turns, and none is forgotten:
// neither those that are due with the next tick already nor those that are cleared
// meanwhile.
func TestManyTimersAtOnce(t *testing.T) {
	l := newLoop(t, nil)
	stopClock(t, l)
	const many = 10 * timersPerTurn
	var timers [many]Timer
	fired, between, turns := 0, 0, 0
	done := make(chan struct{})
	var look func()
	look = func() { // a task is served as a socket is
		if fired > 0 && fired < many-1 {
			between++
		}
		if turns++; fired < many-1 && turns < many {
			l.Post(Func(look))
		} else {
			close(done)
		}
	}
	on(t, l, func() {
		for i := range timers {
			after := Tick
			if i >= many/2 {
				after = 2 * Tick
			}
			l.SetTimer(&timers[i], after, func() { fired++ })
		}
		l.wheel.advance() // timers that are set in the middle of a tick are a tick late
		if l.wheel.advance() {
			l.Post(Func(l.fireMore))
		}
		l.ClearTimer(&timers[many/2-1])
		if first := fired; first != timersPerTurn {
			t.Errorf("%d timers are called in a row, want %d", first, timersPerTurn)
		}
		if l.wheel.advance() {
			t.Error("whoever turns the wheel is to go on, though somebody does already")
		}
		l.Post(Func(look))
	})
	<-done
	on(t, l, func() {
		if fired != many-1 {
			t.Errorf("%d timers were called, want %d", fired, many-1)
		}
		if between < many/timersPerTurn-2 {
			t.Errorf("a socket got %d turns meanwhile", between)
		}
		if l.wheel.count != 1 { // stopClock's
			t.Errorf("%d timers are said to be set still, want 1", l.wheel.count)
		}
	})
}
