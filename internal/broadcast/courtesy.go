package broadcast

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// courtesy is how a worker lets others run while it serves a segment. The zero courtesy
// never does.
type courtesy struct {
	every  int         // writes after which it gives way
	yield  func()      // returns when it is the worker's turn again
	wanted func() bool // whether large topics give way now; nil for all topics, always and without a bound

	patience int       // for the patience-th part of the time that it has waited, it doesn't give way again
	until    time.Time // which ends then
}

// courtesyOf returns that of a Hub's worker.
func courtesyOf(c Config) courtesy {
	switch {
	case !c.Threads:
		// The system calls hold Go's processor, and an event loop that has become runnable
		// may wait for it.
		return courtesy{every: 64, yield: runtime.Gosched}
	case c.Neighbours != nobody{}:
		// The workers of all processes use up the slices of time that the kernel gives them,
		// and it looks at those once in a tick, which is 4 ms on many machines: so long each
		// thread may have to wait that was woken for a message. But a large fan-out alone may take
		// longer for it; and who yields beside a program that never does gets little of the
		// processor, so there is a bound.
		return courtesy{every: 16, wanted: c.Neighbours.Hurried, yield: schedYield, patience: 2}
	}
	return courtesy{}
}

// after is told how many of a segment's members have been served, each time, and whether
// its topic is a small one.
func (c *courtesy) after(served int, small bool) {
	if c.every == 0 || served%c.every != 0 {
		return
	}
	if c.wanted == nil {
		c.yield()
		return
	}
	if small || !c.wanted() {
		return
	}
	begin := time.Now()
	if begin.Before(c.until) {
		return
	}
	c.yield()
	end := time.Now()
	c.until = end.Add(end.Sub(begin) / time.Duration(c.patience))
}

// schedYield has the kernel choose anew who runs (sched_yield(2)). The Go runtime isn't
// told: it would look for something else to run in the thread's place. To collect garbage
// it waits for the thread's turn, as it does for one whose slice is over.
func schedYield() { _, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }
