package client

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hubbub/internal/poller"
)

const (
	// dialsInFlight bounds the attempts under way in one process: more than a
	// listen queue holds would only be lost SYNs, each costing a second.
	dialsInFlight = 512
	// dialsPerTurn bounds how long dialling keeps a loop from its sockets.
	dialsPerTurn = 64
	maxAttempts  = 5
	dialTimeout  = 20 * time.Second       // of an attempt, through the handshake; the last one then
	firstBackoff = 100 * time.Millisecond // doubled with each attempt
)

// attempt is what a connection needs until it is open.
type attempt struct {
	began int64 // first attempt, CLOCK_MONOTONIC in nanoseconds
	tries int
	timer poller.Timer
	buf   []byte // a part of the server's answer
}

// dialMore starts as many attempts as may be under way.
func (l *lane) dialMore() {
	if l.dialling { // called by an attempt that failed at once: the caller goes on
		return
	}
	l.dialling = true
	defer func() { l.dialling = false }()
	if l.silent >= l.limit {
		l.despair()
	}
	// What has timed out isn't replaced before another opens.
	for n := 0; l.dialled < l.granted && l.inFlight < l.limit-l.silent && !l.closing; n++ {
		if n == dialsPerTurn {
			l.loop.Post(task(l.dialMore))
			return
		}
		c := &l.conns[l.dialled]
		l.dialled++
		now := l.clk.Now()
		if l.count.FirstDial == 0 {
			l.count.FirstDial = now
		}
		c.dial = &attempt{began: now}
		c.try()
	}
}

// try makes an attempt. The request is written at once: on loopback the
// connection is up by the time connect returns, which saves a wake-up.
func (c *conn) try() {
	l := c.lane
	l.inFlight++
	c.dial.tries++
	src := netip.AddrPortFrom(l.plan.Sources.At(c.number(), c.dial.tries-1), 0)
	fd, err := poller.Dial(src, l.plan.Addr)
	if err != nil {
		c.refused("connect", err)
		return
	}
	c.fd = int32(fd)
	c.st = connecting
	if l.secure != nil {
		l.secure.open(fd, c.event)
	}
	l.loop.SetTimer(&c.dial.timer, l.patience, c.timeout)
	switch sent, err := c.request(); {
	case err != nil:
		c.refused("connect", err)
	case sent:
		c.st = handshaking
		c.watch(toRead)
	default:
		c.watch(poller.Writable)
	}
}

func (c *conn) watch(ev poller.Events) {
	if err := c.lane.loop.Add(int(c.fd), ev, c.event); err != nil {
		c.refused("connect", err)
	}
}

// request sends the opening handshake and reports whether it left; it hasn't
// when the connection isn't up yet.
func (c *conn) request() (bool, error) {
	l := c.lane
	l.greet.Target = l.plan.Request(c.number())
	req := l.greet.AppendRequest(l.loop.WriteScratch()[:0])
	n, err := l.sys.Write(int(c.fd), req)
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENOTCONN):
		return false, nil
	case errors.Is(err, unix.EPIPE): // says less than the socket itself knows
		if cerr := poller.ConnectError(int(c.fd)); cerr != nil {
			return false, cerr
		}
		return false, err
	case err != nil:
		return false, err
	case n < len(req):
		return false, fmt.Errorf("a new socket took only %d of %d bytes", n, len(req))
	}
	return true, nil
}

// connected goes on when an attempt's socket has become writable.
func (c *conn) connected() {
	err := poller.ConnectError(int(c.fd))
	var sent bool
	if err == nil {
		sent, err = c.request()
	}
	if err == nil && sent {
		c.st = handshaking
		err = c.lane.loop.Mod(int(c.fd), toRead)
	}
	if err != nil {
		c.refused("connect", err)
	}
}

// answered looks for the whole answer to the handshake at the start of p. What
// follows it are frames.
func (c *conn) answered(p []byte) {
	l, d := c.lane, c.dial
	if d.buf != nil {
		d.buf = append(d.buf, p...)
		p = d.buf
	}
	n, err := l.greet.CheckResponse(p)
	if err != nil {
		c.giveUp(strings.TrimPrefix(err.Error(), "handshake: "))
		return
	}
	if n == 0 {
		if d.buf == nil {
			d.buf = append([]byte(nil), p...)
		}
		return
	}
	now := l.clk.Now()
	l.handshake.Record(now - d.began)
	l.count.LastOpen = now
	l.count.Opened++
	l.loop.ClearTimer(&d.timer)
	c.dial = nil
	c.st = open
	l.live++
	l.inFlight--
	l.silent = 0
	if id, ok := l.plan.Publisher(c.number()); ok {
		c.pub = &publisher{conn: c, id: id}
		l.pubs = append(l.pubs, c.pub)
	}
	if n < len(p) {
		c.receive(p[n:])
	}
	l.dialMore()
	l.checkSettled()
}

func (c *conn) timeout() {
	c.lane.silent++
	if c.st == connecting {
		c.giveUp("connect: no answer in time")
		return
	}
	c.giveUp("handshake: no answer in time")
}

// despair gives up what hasn't been tried yet: as many attempts as may be under
// way have timed out since a connection last opened, and at that rate the rest
// would take hours. A server that has as many connections as it wants leaves
// others in the kernel's queue.
func (l *lane) despair() {
	for ; l.dialled < len(l.conns); l.dialled++ {
		l.conns[l.dialled].st = failed
		l.count.Failed++
		l.fail("not tried: the server had stopped accepting")
	}
}

var errHungUp = errors.New("the server closed the connection before it answered")

// transient reports whether another attempt may go better: the server's queue
// was full for a moment, or the kernel found no free port at this address.
func transient(err error) bool {
	for _, e := range []error{
		unix.ECONNREFUSED, unix.ECONNRESET, unix.EADDRNOTAVAIL,
		unix.EAGAIN, unix.ENOBUFS, unix.EPIPE, errHungUp,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// refused ends an attempt. Another follows if that may help.
func (c *conn) refused(step string, err error) {
	l, d := c.lane, c.dial
	if !transient(err) || d.tries == maxAttempts || l.closing {
		var errno unix.Errno
		if errors.As(err, &errno) { // without addresses, which would make every reason different
			err = errno
		}
		c.giveUp(step + ": " + err.Error())
		return
	}
	c.end(waiting)
	d.buf = nil
	l.inFlight--
	l.retrying++
	l.loop.SetTimer(&d.timer, firstBackoff<<(d.tries-1), func() {
		l.retrying--
		l.count.Retries++
		c.try()
	})
	l.dialMore()
}

// giveUp ends the last attempt.
func (c *conn) giveUp(reason string) {
	l := c.lane
	l.loop.ClearTimer(&c.dial.timer)
	c.end(failed)
	c.dial = nil
	l.inFlight--
	l.count.Failed++
	l.fail(reason)
	l.dialMore()
	l.checkSettled()
}

// abandon ends what isn't open yet when the run is over.
func (l *lane) abandon(c *conn) {
	if c.dial != nil {
		l.loop.ClearTimer(&c.dial.timer)
		c.dial = nil
	}
	c.end(failed)
}

// checkSettled tells when every connection is open or has failed for good.
func (l *lane) checkSettled() {
	if l.onSettled != nil && l.dialled == len(l.conns) && l.inFlight == 0 && l.retrying == 0 {
		l.onSettled()
		l.onSettled = nil
	}
}
