package client

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hubbub/cmd/loadgen/internal/ledger"
	"hubbub/internal/poller"
)

const (
	// dialsInFlight bounds the attempts under way in one process: more than a
	// listen queue holds would only be lost SYNs, each costing a second.
	dialsInFlight = 512
	// dialsPerTurn bounds how long dialing keeps a loop from its sockets.
	dialsPerTurn = 64
	maxAttempts  = 5
	dialTimeout  = 20 * time.Second       // of an attempt, through the handshake; the last one then
	firstBackoff = 100 * time.Millisecond // doubled with each attempt
)

// attempt is what a connection needs until it is open.
type attempt struct {
	conn    *conn
	errand  errand
	began   int64 // from when on it counts, CLOCK_MONOTONIC in nanoseconds
	tries   int
	timer   poller.Timer
	expire  func() // of the timer, made once
	buf     []byte // a part of the server's answer to the handshake
	answers uint32 // what it has answered of what the connection began with
}

// attempt gives c an attempt: one that another connection no longer needs, if there is
// one.
func (l *lane) attempt(c *conn, e errand, began int64) {
	var d *attempt
	if n := len(l.attempts); n > 0 {
		d, l.attempts = l.attempts[n-1], l.attempts[:n-1]
	} else {
		d = &attempt{}
		d.expire = func() { d.conn.timeout() }
	}
	d.conn, d.errand, d.began = c, e, began
	c.dial = d
}

// keep takes back the attempt of a connection that is open.
func (l *lane) keep(d *attempt) {
	if len(l.attempts) < dialsInFlight {
		*d = attempt{expire: d.expire}
		l.attempts = append(l.attempts, d)
	}
}

// errand is what a connection is opened for: what becomes of it is the errand's
// to say.
type errand interface {
	// opened is told that a connection is ready. rest are frames that have come
	// with the server's answer to its handshake.
	opened(c *conn, now int64, rest []byte)
	// refused is told that an attempt has failed. The connection is waiting: for
	// another one, or to be given up.
	refused(c *conn, r refusal)
}

// refusal is how an attempt failed.
type refusal struct {
	reason    string // in few words, without addresses
	transient bool   // another attempt may go better
	silent    bool   // there was no answer in time
}

// try makes an attempt for each of the connections, step by step: the kernel's code
// for a step stays in the processor's caches for all of them, which takes some 5 %
// less than one after the other.
func try(cs ...*conn) {
	for _, c := range cs {
		c.dial.tries++
		c.socket()
	}
	for _, c := range cs {
		if c.st == connecting {
			c.connect()
		}
	}
	for _, c := range cs {
		if c.st == connecting {
			c.greet()
		}
	}
}

func (c *conn) socket() {
	l := c.lane
	src := netip.AddrPortFrom(l.plan.Sources.At(c.number(), c.dial.tries-1), 0)
	fd, err := poller.Socket(src, l.plan.Addr)
	if err != nil {
		c.refused("connect", err)
		return
	}
	c.fd = int32(fd)
	c.st = connecting
}

func (c *conn) connect() {
	l := c.lane
	if err := poller.Connect(int(c.fd), l.plan.Addr); err != nil {
		c.refused("connect", err)
		return
	}
	if l.secure != nil { // whose handshake is written in several pieces
		poller.NoDelay(int(c.fd))
		l.secure.open(int(c.fd), c.event)
	}
	l.loop.SetTimer(&c.dial.timer, l.patience, c.dial.expire)
}

// greet writes the request at once: on loopback the connection is up by the time
// that connect returns, which saves a wake-up.
func (c *conn) greet() {
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
	if l.greet.Target == "" || l.plan.Topics > 1 {
		l.greet.Target = l.plan.Request(c.number())
	}
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
		c.over(refusal{reason: strings.TrimPrefix(err.Error(), "handshake: ")})
		return
	}
	if n == 0 {
		if d.buf == nil {
			d.buf = append([]byte(nil), p...)
		}
		return
	}
	hello := l.proto.hello(c.number())
	if hello == nil {
		c.ready(p[n:])
		return
	}
	c.st = joining
	c.say(hello)
	if c.st == joining {
		c.receive(p[n:])
	}
}

// ready ends an attempt that has gone well.
func (c *conn) ready(rest []byte) {
	l, d := c.lane, c.dial
	l.loop.ClearTimer(&d.timer)
	d.errand.opened(c, l.clk.Now(), rest)
}

func (c *conn) timeout() {
	step := map[state]string{connecting: "connect", handshaking: "handshake", joining: "join"}[c.st]
	c.over(refusal{reason: step + ": no answer in time", silent: true})
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

// refused ends an attempt that failed at a step.
func (c *conn) refused(step string, err error) {
	r := refusal{transient: transient(err)}
	var errno unix.Errno
	if errors.As(err, &errno) { // without addresses, which would make every reason different
		err = errno
	}
	r.reason = step + ": " + err.Error()
	c.over(r)
}

// over ends an attempt that has failed.
func (c *conn) over(r refusal) {
	d := c.dial
	c.lane.loop.ClearTimer(&d.timer)
	c.end(waiting)
	d.buf, d.answers = nil, 0
	d.errand.refused(c, r)
}

// up takes a connection into service. rest are frames that have come with the
// server's answer.
func (c *conn) up(rest []byte) {
	l := c.lane
	l.keep(c.dial)
	c.dial, c.st = nil, open
	l.live++
	if c.kind == stalled {
		c.stall()
		return
	}
	if id, ok := l.plan.Publisher(c.number()); ok {
		c.pub = &publisher{conn: c, id: id}
		poller.NoDelay(int(c.fd)) // others have nothing to say, or wait for an answer
		if l.plan.Protocol.Acknowledges() {
			c.pub.answers = ledger.New(1)
		}
		l.pubs = append(l.pubs, c.pub)
	}
	if len(rest) > 0 {
		c.receive(rest)
	}
}

// abandon ends what isn't open yet when the run is over.
func (l *lane) abandon(c *conn) {
	if c.dial != nil {
		l.loop.ClearTimer(&c.dial.timer)
		c.dial = nil
	}
	c.end(failed)
}
