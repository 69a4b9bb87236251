package poller

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/mailru/easygo/netpoll"
	"golang.org/x/sys/unix"
)

// Events is a set of readiness events. They are hints: what a later read or
// write returns is what counts, since the descriptor's callback is looked up
// after the kernel has reported the event.
type Events = netpoll.EpollEvent

// The events a descriptor can be watched for. Level-triggered: an event that
// isn't used up is reported again.
const (
	Readable Events = netpoll.EPOLLIN
	Writable Events = netpoll.EPOLLOUT
	// HalfClosed is reported when the peer has shut down its side, also to a
	// descriptor that isn't watched for Readable.
	HalfClosed Events = netpoll.EPOLLRDHUP
	// Broken is always reported, asked for or not.
	Broken Events = netpoll.EPOLLERR | netpoll.EPOLLHUP
	// Stopped comes alone and last, when the loop is closed with the descriptor
	// still added, and on the goroutine that closes it.
	Stopped Events = 0x20
)

// exclusive wakes one of the loops that share a listening socket instead of all.
const exclusive Events = unix.EPOLLEXCLUSIVE

// ScratchSize is the size in bytes of a loop's buffers.
const ScratchSize = 64 << 10

// Task is work for a loop. A pointer type makes posting it free of allocation.
type Task interface{ Run() }

// Func is a Task made of a function.
type Func func()

// Run implements Task.
func (f Func) Run() { f() }

// Loop is an event loop: one epoll instance and the one goroutine that waits
// on it and runs callbacks, timers and tasks, one after the other. None of
// them may block.
//
// Post may be called from any goroutine. All other methods may only be called
// on the loop, from a callback, a timer or a task.
type Loop struct {
	// Static after construction.
	ep     Epoll
	wakeFD int
	sys    Sys

	// Owned by the loop's goroutine.
	read  []byte
	write []byte
	wheel wheel
	spare []Task

	mu    sync.Mutex // orders posting against taking tasks and stopping
	tasks []Task
	over  bool

	done chan struct{}
	fail atomic.Pointer[error]
}

// New starts a loop. A nil sys means the real one. The caller has to Close it.
func New(sys Sys) (*Loop, error) {
	if sys == nil {
		sys = OS{}
	}
	l := &Loop{
		sys:   sys,
		read:  make([]byte, ScratchSize),
		write: make([]byte, ScratchSize),
		done:  make(chan struct{}),
	}
	var err error
	if l.wakeFD, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		return nil, fmt.Errorf("poller: eventfd: %w", err)
	}
	if err = l.wheel.open(); err != nil {
		unix.Close(l.wakeFD)
		return nil, err
	}
	if l.ep, err = sys.NewEpoll(func(err error) { l.fail.Store(&err) }); err != nil {
		unix.Close(l.wakeFD)
		l.wheel.close()
		return nil, fmt.Errorf("poller: epoll: %w", err)
	}
	err = l.ep.Add(l.wakeFD, Readable, l.onWake)
	if err == nil {
		err = l.ep.Add(l.wheel.fd, Readable, l.onTick)
	}
	if err != nil {
		l.ep.Close()
		unix.Close(l.wakeFD)
		l.wheel.close()
		return nil, fmt.Errorf("poller: watching own descriptors: %w", err)
	}
	return l, nil
}

// Scratch is the loop's read buffer of ScratchSize bytes. What it holds is
// gone when the callback returns.
func (l *Loop) Scratch() []byte { return l.read }

// WriteScratch is a second buffer of the same size, for gathering output while
// Scratch holds input.
func (l *Loop) WriteScratch() []byte { return l.write }

// Sys returns the system calls the loop was made with.
func (l *Loop) Sys() Sys { return l.sys }

// Post has t run on the loop, after what was posted before, unless the loop is
// closed first. It may be called from any goroutine and never blocks. It
// reports false if the loop is closed already.
func (l *Loop) Post(t Task) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return false
	}
	l.tasks = append(l.tasks, t)
	if len(l.tasks) == 1 { // the loop takes all that has gathered at one wake-up
		l.wakeLocked()
	}
	return true
}

// wakeLocked holds the lock because Close closes wakeFD: without it the write
// could reach whatever has got the number by then.
func (l *Loop) wakeLocked() {
	one := [8]byte{1}
	_, _ = unix.Write(l.wakeFD, one[:]) // can only fail if the counter is full, and then it is awake
}

func (l *Loop) onWake(ev Events) {
	if ev == Stopped {
		return
	}
	var buf [8]byte
	_, _ = unix.Read(l.wakeFD, buf[:]) // EAGAIN would only mean a wake-up too many
	l.mu.Lock()
	tasks := l.tasks
	l.tasks = l.spare[:0]
	l.mu.Unlock()
	for i, t := range tasks {
		t.Run()
		tasks[i] = nil
	}
	if cap(tasks) > 4096 { // a burst must not be held for ever
		tasks = nil
	}
	l.spare = tasks
}

// Add watches fd, which must be non-blocking, and calls fn on the loop when
// one of events occurs. An event may still come in the round in which fd was
// deleted, so fn has to know by itself whether it still owns fd.
func (l *Loop) Add(fd int, events Events, fn func(Events)) error {
	if err := l.ep.Add(fd, events, fn); err != nil {
		if !errors.Is(err, netpoll.ErrRegistered) { // then the callback is that of the first Add
			_ = l.ep.Del(fd) // the failed Add has left its callback behind
		}
		return fmt.Errorf("poller: watching descriptor %d: %w", fd, err)
	}
	return nil
}

// Mod changes what fd is watched for.
func (l *Loop) Mod(fd int, events Events) error { return l.ep.Mod(fd, events) }

// Del stops watching fd. It has to come before closing fd.
func (l *Loop) Del(fd int) error { return l.ep.Del(fd) }

// Close stops the loop and waits until its goroutine has ended; it must not be
// called on the loop. Tasks and timers that wait are dropped. Descriptors that
// are still added stay open, they are their owners'; their callbacks are called
// a last time with Stopped. It returns the error that ended the loop early, if
// one did.
func (l *Loop) Close() error {
	l.mu.Lock()
	over := l.over
	l.over = true
	l.tasks = nil
	l.mu.Unlock()
	if over {
		<-l.done
		return nil
	}
	err := l.ep.Close()
	unix.Close(l.wakeFD)
	l.wheel.close()
	close(l.done)
	if p := l.fail.Load(); p != nil {
		return fmt.Errorf("poller: waiting for events: %w", *p)
	}
	return err
}
