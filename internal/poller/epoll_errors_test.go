package poller

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// refusing is a kernel whose epolls take so many descriptors, and no more; with
// a negative number there are no epolls.
type refusing struct {
	OS
	left int
}

func (r *refusing) NewEpoll(onWaitError func(error)) (Epoll, error) {
	if r.left < 0 {
		return nil, unix.EMFILE
	}
	ep, err := r.OS.NewEpoll(onWaitError)
	return &refusingEpoll{ep, r}, err
}

type refusingEpoll struct {
	Epoll
	sys *refusing
}

// Add leaves its callback behind when it fails, as netpoll's does.
func (e *refusingEpoll) Add(fd int, events Events, fn func(Events)) error {
	err := e.Epoll.Add(fd, events, fn)
	if e.sys.left--; e.sys.left < 0 && err == nil {
		err = unix.ENOSPC
	}
	return err
}

// A loop that can't be started leaves nothing behind, as TestMain sees.
func TestNewFails(t *testing.T) {
	for left, want := range map[int]error{-1: unix.EMFILE, 0: unix.ENOSPC, 1: unix.ENOSPC} {
		l, err := New(&refusing{left: left})
		if !errors.Is(err, want) || l != nil {
			t.Errorf("with room for %d descriptors: %v, want %v", left, err, want)
		}
	}
}

// When the kernel takes no more descriptors, what couldn't be added isn't
// called back, and can be added later.
func TestAddFails(t *testing.T) {
	sys := &refusing{left: 2}
	l := newLoop(t, sys)
	a, b := pair(t)
	b.write("x")
	calls := make(chan Events, 100)
	on(t, l, func() {
		if err := l.Add(a.fd, Readable, func(ev Events) { t.Errorf("called back with %v", ev) }); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("added: %v", err)
		}
	})
	settle(t, l)
	on(t, l, func() {
		sys.left = 1
		if err := l.Add(a.fd, Readable, func(ev Events) {
			unix.Read(a.fd, make([]byte, 1))
			calls <- ev
		}); err != nil {
			t.Error(err)
		}
	})
	if ev := receive(t, calls); ev != Readable {
		t.Errorf("called back with %v", ev)
	}
	on(t, l, func() { l.Del(a.fd) })
}
