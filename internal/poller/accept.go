package poller

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// acceptsPerWake bounds how long a storm of connections can keep a loop from
// its sockets.
const acceptsPerWake = 64

// retryAccept is how long an Acceptor waits after the descriptors ran out.
const retryAccept = 500 * time.Millisecond

// Acceptor takes connections from a listening socket that several loops, and
// several processes, may share. All methods must be called on its loop.
type Acceptor struct {
	// Static after construction.
	loop  *Loop
	fd    int
	take  func(fd int) bool
	short func(err error)

	// Owned by the loop.
	on    bool
	said  bool
	timer Timer
}

// NewAcceptor starts to accept from the listening descriptor fd on l.
//
// take gets each connection's descriptor, non-blocking and its to close; it
// returns false when there is no room for another, and the Acceptor pauses
// until Resume. short is told once when accepting fails for want of
// descriptors or memory (EMFILE, ENFILE, ENOBUFS, ENOMEM); the Acceptor tries
// again by itself every half second, and what can't be accepted waits in the
// kernel's queue.
func (l *Loop) NewAcceptor(fd int, take func(fd int) bool, short func(err error)) (*Acceptor, error) {
	a := &Acceptor{loop: l, fd: fd, take: take, short: short}
	return a, a.Resume()
}

// Resume accepts again after Pause.
func (a *Acceptor) Resume() error {
	a.loop.ClearTimer(&a.timer)
	if a.on {
		return nil
	}
	// An exclusive registration can't be modified: it is removed and added again.
	if err := a.loop.Add(a.fd, Readable|exclusive, a.ready); err != nil {
		return err
	}
	a.on = true
	return nil
}

// Pause leaves connections in the kernel's queue, for another loop or process
// that accepts from the same socket, or until Resume.
func (a *Acceptor) Pause() {
	a.loop.ClearTimer(&a.timer)
	if a.on {
		a.loop.Del(a.fd)
		a.on = false
	}
}

func (a *Acceptor) ready(ev Events) {
	if ev == Stopped {
		return
	}
	for range acceptsPerWake {
		if !a.on {
			return
		}
		fd, err := a.loop.sys.Accept(a.fd)
		switch {
		case err == nil:
			a.said = false
			if !a.take(fd) {
				a.Pause()
			}
		case errors.Is(err, unix.EAGAIN):
			return
		case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE),
			errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ENOMEM):
			a.Pause()
			if !a.said {
				a.said = true
				a.short(err)
			}
			a.loop.SetTimer(&a.timer, retryAccept, func() { a.Resume() })
			return
		default:
			// The connection is gone before it was taken (ECONNABORTED and the
			// network errors that accept(2) lists): on to the next.
		}
	}
}
