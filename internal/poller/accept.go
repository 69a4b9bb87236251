package poller

import (
	"errors"
	"math/rand/v2"
	"time"

	"golang.org/x/sys/unix"
)

// acceptsPerWake bounds how long a storm of connections can keep a loop from
// its sockets.
const acceptsPerWake = 64

// While there is more urgent work, connections gather for at most so long:
// some 90,000 writes of two processors (bench/NOTES.md).
const maxGather = 500 * time.Millisecond

// How long an Acceptor waits before it looks whether the work is done. Of the loops
// that share a listening socket whoever finds it done first takes all that have
// gathered, so that is left to chance.
const (
	minLook = 10 * time.Millisecond
	maxLook = 30 * time.Millisecond
)

// retryAccept is how long an Acceptor waits before it looks again, by itself.
const retryAccept = 500 * time.Millisecond

// Taker is who gets the connections of an Acceptor. Its methods are called on
// the loop.
type Taker interface {
	// Busy reports whether the processors have something more urgent to do than to
	// greet somebody. Connections that come meanwhile are accepted a little later,
	// many at a time, which takes less of them.
	Busy() bool
	// Reserve asks for room for one more connection, before it is accepted.
	// Where there is none the Acceptor pauses, until Resume.
	Reserve() bool
	// Cancel gives back a reservation that has come to nothing.
	Cancel()
	// Take gets a connection's descriptor, non-blocking and its to close.
	Take(fd int)
	// Short is told that accepting fails, as for want of descriptors or memory
	// (EMFILE, ENFILE, ENOBUFS, ENOMEM): once, until a connection has been
	// accepted again. The Acceptor tries again by itself every half second;
	// what can't be accepted waits in the kernel's queue.
	Short(err error)
}

// Acceptor takes connections from a listening socket that several loops, and
// several processes, may share: where they have nothing else to do, in turn. All
// methods must be called on its loop.
type Acceptor struct {
	// Static after construction.
	loop *Loop
	fd   int
	to   Taker

	// Owned by the loop.
	on       bool
	said     bool
	gather   bool          // connections gather, until resumed
	gathered bool          // they have: all there are are accepted
	left     time.Duration // for which they may go on gathering
	timer    Timer         // to resume
	look     Timer         // to look for connections that nobody was told of
}

// NewAcceptor starts to accept from the listening descriptor fd on l.
func (l *Loop) NewAcceptor(fd int, to Taker) (*Acceptor, error) {
	a := &Acceptor{loop: l, fd: fd, to: to}
	return a, a.Resume()
}

// Resume accepts again after Pause. If that fails it returns why, and tries
// again by itself.
func (a *Acceptor) Resume() error {
	a.loop.ClearTimer(&a.timer)
	a.gather = false
	if a.on {
		return nil
	}
	// An exclusive registration can't be modified: it is removed and added again.
	if err := a.loop.Add(a.fd, Readable|exclusive, a.ready); err != nil {
		a.loop.SetTimer(&a.timer, retryAccept, a.retry)
		return err
	}
	a.on = true
	a.lookLater()
	return nil
}

// lookLater has the Acceptor look by itself for connections, every so often. An
// exclusive wake-up goes to one loop only, and one that has no room just then
// leaves the connection in the queue: nobody else is told of it, until the
// next one comes.
func (a *Acceptor) lookLater() {
	a.loop.SetTimer(&a.look, retryAccept, func() {
		a.ready(Readable)
		if a.on {
			a.lookLater()
		}
	})
}

func (a *Acceptor) retry() { _ = a.Resume() } // which tries again if it fails

// Pause leaves connections in the kernel's queue, for another loop or process
// that accepts from the same socket, or until Resume.
func (a *Acceptor) Pause() {
	a.loop.ClearTimer(&a.timer)
	a.gather, a.gathered = false, false
	if a.on {
		_ = a.loop.Del(a.fd) // fails where it isn't watched, which is what is wanted
		a.loop.ClearTimer(&a.look)
		a.on = false
	}
}

func (a *Acceptor) ready(ev Events) {
	if ev == Stopped {
		return
	}
	if a.on && !a.gathered && a.to.Busy() {
		a.letGather()
		return
	}
	for n := range acceptsPerWake {
		if !a.on { // paused in this round; fd may be closed already
			return
		}
		if !a.to.Reserve() {
			a.Pause()
			return
		}
		fd, err := a.loop.sys.Accept(a.fd)
		if err == nil {
			a.said = false
			a.to.Take(fd)
			continue
		}
		a.to.Cancel()
		if errors.Is(err, unix.EAGAIN) {
			a.gathered = false
			if n > 0 {
				a.stepBack()
			}
			return
		}
		if isPending(err) {
			continue
		}
		a.Pause()
		if !a.said {
			a.said = true
			a.to.Short(err)
		}
		a.loop.SetTimer(&a.timer, retryAccept, a.retry)
		return
	}
}

// letGather has connections gather.
func (a *Acceptor) letGather() {
	a.Pause()
	a.gather = true
	a.left = maxGather
	a.lookAgain()
}

// lookAgain takes what has gathered in a while. The timers of the loop are too coarse
// for it.
func (a *Acceptor) lookAgain() {
	wait := lookTime()
	a.left -= wait
	time.AfterFunc(wait, func() { a.loop.Post(Func(a.takeGathered)) })
}

func lookTime() time.Duration { return minLook + rand.N(maxLook-minLook) }

// takeGathered accepts what has gathered, unless it has time still.
func (a *Acceptor) takeGathered() {
	switch {
	case !a.gather: // resumed, or paused for another reason
	case a.left > 0 && a.to.Busy() && !crowded(a.fd):
		a.lookAgain()
	default:
		a.gathered = true
		a.retry()
		a.ready(Readable) // without waiting to be told
	}
}

// crowded reports whether the kernel's queue of connections to accept is half full, or
// may be: that of a listening TCP socket is told by TCP_INFO, where tcpi_unacked is how
// many there are and tcpi_sacked how many there may be.
func crowded(fd int) bool {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	return err != nil || info.Unacked >= info.Sacked/2
}

// stepBack has the others come before this loop the next time. The kernel wakes
// the first in the queue of those that watch the socket and aren't at work: when
// there is little to do, that would be the same one always, until it is full.
func (a *Acceptor) stepBack() {
	a.Pause()
	a.retry()
}

// isPending reports whether err is an error of the connection that was to be
// accepted, which is gone; not one of accepting (accept(2), "Error handling").
func isPending(err error) bool {
	for _, e := range []unix.Errno{
		unix.ECONNABORTED, unix.EPROTO, unix.EPERM, unix.ENETDOWN, unix.ENOPROTOOPT, unix.EHOSTDOWN,
		unix.ENONET, unix.EHOSTUNREACH, unix.EOPNOTSUPP, unix.ENETUNREACH, unix.ETIMEDOUT,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
