package poller

import (
	"errors"
	"net"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// A connection that is gone before it was accepted is no reason to wait: what
// is behind it in the queue is taken at the same wake-up.
func TestAcceptorSkipsWhatIsGone(t *testing.T) {
	gone := []error{
		unix.ECONNABORTED, unix.EPROTO, unix.EPERM, unix.ENETDOWN, unix.ENOPROTOOPT, unix.EHOSTDOWN,
		unix.ENONET, unix.EHOSTUNREACH, unix.EOPNOTSUPP, unix.ENETUNREACH, unix.ETIMEDOUT,
	}
	sys := &fakeSys{accept: slices.Clone(gone)}
	l := newLoop(t, sys)
	_, fd, addr := listen(t)
	connect(t, addr, 1)
	k := newTaker(t, 1)
	accept(t, l, fd, k)
	receive(t, k.taken)
	k.check(t, l, "behind connections that are gone", 1)
	if want := len(gone) + 1; sys.calls() != want { // without room it doesn't ask for the end of the queue
		t.Errorf("Accept was called %d times, want %d", sys.calls(), want)
	}
	if len(k.shorts) != 0 {
		t.Errorf("that connections are gone is told as %v", k.shorts)
	}
}

// However many connections come, or are gone, the loop gets to its other work.
func TestAcceptorIsBounded(t *testing.T) {
	sys := &fakeSys{always: unix.ECONNABORTED}
	l := newLoop(t, sys)
	_, fd, addr := listen(t)
	connect(t, addr, 1)
	k := newTaker(t, 1)
	a := accept(t, l, fd, k)
	on(t, l, func() {})
	on(t, l, func() {
		before := sys.calls()
		a.ready(Readable)
		if n := sys.calls() - before; n != acceptsPerWake {
			t.Errorf("at one wake-up Accept is called %d times, want %d", n, acceptsPerWake)
		}
		a.Pause()
	})
	k.check(t, l, "when all are gone", 0)
}

// When descriptors or memory run out, that is said once, and the Acceptor waits
// for its timer: connections in the queue don't keep the loop busy.
func TestAcceptorWithoutDescriptors(t *testing.T) {
	for _, short := range []unix.Errno{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.EINVAL} {
		t.Run(unix.ErrnoName(short), func(t *testing.T) {
			sys := &fakeSys{accept: []error{short, short, short}}
			l := newLoop(t, sys)
			stopClock(t, l)
			_, fd, addr := listen(t)
			connect(t, addr, 3)
			k := newTaker(t, 10)
			a := accept(t, l, fd, k)
			if err := receive(t, k.told); !errors.Is(err, short) {
				t.Errorf("%v is told, want %v", err, short)
			}
			for want := 1; want <= 3; want++ {
				for range 20 {
					settle(t, l)
				}
				on(t, l, func() {
					if a.on || !a.timer.Pending() {
						t.Error("the Acceptor isn't paused for a while")
					}
				})
				if sys.calls() != want {
					t.Errorf("Accept was called %d times, want %d", sys.calls(), want)
				}
				on(t, l, func() {
					for a.timer.Pending() {
						l.wheel.advance()
					}
				})
			}
			for range 3 {
				receive(t, k.taken)
			}
			k.check(t, l, "when there is room again", 3)
			if sys.calls() != 3+3+1 { // the last finds the queue empty
				t.Errorf("Accept was called %d times, want 7", sys.calls())
			}
			if len(k.shorts) != 1 {
				t.Errorf("it was told %d times, want once", len(k.shorts))
			}
			sys.mu.Lock()
			sys.accept = []error{short}
			sys.mu.Unlock()
			connect(t, addr, 1)
			receive(t, k.told) // once more, since connections have been accepted
			on(t, l, func() { a.Resume() })
			receive(t, k.taken)
			k.check(t, l, "resumed before its time", 4)
			on(t, l, func() {
				if a.timer.Pending() {
					t.Error("the timer is still set")
				}
			})
		})
	}
}

// By the clock alone, an Acceptor goes on half a second later.
func TestAcceptorGoesOnByItself(t *testing.T) {
	sys := &fakeSys{accept: []error{unix.EMFILE}}
	l := newLoop(t, sys)
	_, fd, addr := listen(t)
	connect(t, addr, 1)
	k := newTaker(t, 1)
	accept(t, l, fd, k)
	receive(t, k.taken)
	k.check(t, l, "in the end", 1)
	if len(k.shorts) != 1 || sys.calls() != 2 {
		t.Errorf("it was told %d times, and Accept called %d times", len(k.shorts), sys.calls())
	}
}

// Pause is final until Resume, also for an Acceptor that waits for its timer.
func TestAcceptorPausedWhileWaiting(t *testing.T) {
	sys := &fakeSys{accept: []error{unix.EMFILE}}
	l := newLoop(t, sys)
	_, fd, addr := listen(t)
	connect(t, addr, 1)
	k := newTaker(t, 1)
	a := accept(t, l, fd, k)
	receive(t, k.told)
	on(t, l, func() {
		a.Pause()
		if a.timer.Pending() || a.on {
			t.Error("the Acceptor will go on by itself")
		}
	})
}

// An Acceptor that can't be resumed for now keeps trying.
func TestAcceptorResumeFails(t *testing.T) {
	l := newLoop(t, nil)
	ln, fd, addr := listen(t)
	k := newTaker(t, 1)
	a := accept(t, l, fd, k)
	file, err := ln.(*net.TCPListener).File() // keeps the socket while fd is something else
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	exe, err := unix.Open("/proc/self/exe", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(exe)
	on(t, l, func() {
		a.Pause()
		if err := unix.Dup3(exe, fd, unix.O_CLOEXEC); err != nil { // epoll takes no files
			t.Error(err)
		}
		if err := a.Resume(); !errors.Is(err, unix.EPERM) {
			t.Errorf("resumed: %v", err)
		}
		for range 3 {
			if a.on || !a.timer.Pending() {
				t.Error("the Acceptor gives up")
			}
			for at := a.timer.at; l.wheel.now < at; {
				l.wheel.advance()
			}
		}
		again, err := ListenerFD(ln)
		if err != nil {
			t.Error(err)
			return
		}
		defer unix.Close(again)
		if err := unix.Dup3(again, fd, unix.O_CLOEXEC); err != nil {
			t.Error(err)
		}
	})
	connect(t, addr, 1)
	receive(t, k.taken)
	k.check(t, l, "when it can be watched again", 1)
}
