package broadcast

import (
	"math"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// cond is a condition variable, as sync.Cond is one.
type cond interface {
	Wait()      // unlocks the lock, waits for a signal, and locks it again
	Signal()    // wakes one that waits, if any does
	Broadcast() // wakes all that wait
}

// newCond returns a condition variable for the lock mu. threads tells that each of those
// who wait has a thread and a Go processor to itself.
func newCond(mu *sync.Mutex, threads bool) cond {
	if threads {
		return &threadCond{mu: mu}
	}
	return sync.NewCond(mu)
}

// threadCond has the kernel wake threads (futex(2)). With sync.Cond, of two that were
// woken together the second often began milliseconds after the first, perhaps since Go's
// scheduler hands a goroutine that has its thread to itself over by way of others. Whoever
// waits keeps its Go processor until the runtime notices, as in any system call.
type threadCond struct {
	mu    *sync.Mutex
	turns uint32 // how often it was signalled: the word that the kernel compares
}

// Wait may return without a signal, too.
func (c *threadCond) Wait() {
	turn := atomic.LoadUint32(&c.turns)
	c.mu.Unlock()
	// It fails if a signal has come since (EAGAIN), or one of the process's own (EINTR).
	_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&c.turns)), futexWait, uintptr(turn), 0, 0, 0)
	c.mu.Lock()
}

func (c *threadCond) Signal() { c.wake(1) }

func (c *threadCond) Broadcast() { c.wake(math.MaxInt32) }

func (c *threadCond) wake(n uintptr) {
	atomic.AddUint32(&c.turns, 1)
	_, _, _ = unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&c.turns)), futexWake, n, 0, 0, 0)
}

// Operations of futex(2), between threads of one process (FUTEX_PRIVATE_FLAG).
const (
	futexWait = 0 | 128
	futexWake = 1 | 128
)
