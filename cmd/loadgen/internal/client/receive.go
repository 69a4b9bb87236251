package client

import (
	"errors"
	"fmt"

	"github.com/mailru/easygo/netpoll"
	"golang.org/x/sys/unix"

	"hubbub/cmd/loadgen/internal/ledger"
	"hubbub/cmd/loadgen/internal/plan"
	"hubbub/internal/poller"
	"hubbub/internal/wire"
)

// readsPerWake bounds how long one connection can keep a loop from the others.
const readsPerWake = 4

// Edge-triggered, a readable socket costs the kernel one look instead of two:
// level-triggered it goes back into the ready list and is looked at again. In
// turn whatever is there has to be read, the end of the stream included, which
// HalfClosed announces.
const (
	toRead  = poller.Readable | poller.HalfClosed | netpoll.EPOLLET
	toWrite = toRead | poller.Writable
)

// event is the callback of a connection's descriptor. Events are hints: one
// may still come for a descriptor that was closed in the same round.
func (c *conn) event(ev poller.Events) {
	if ev == poller.Stopped || c.fd < 0 {
		return
	}
	if c.kind == stalled && c.st == open {
		if ev&(poller.HalfClosed|poller.Broken) != 0 {
			c.lose("ended by the server")
		}
		return
	}
	if c.st == connecting {
		if ev&(poller.Writable|poller.Broken) != 0 {
			c.connected()
		}
		return
	}
	if ev&poller.Writable != 0 && c.lane.rest[c] != nil {
		c.writable()
	}
	if ev&^poller.Writable != 0 {
		c.readable(ev&(poller.HalfClosed|poller.Broken) != 0)
	}
}

// readable takes what has arrived. A read that doesn't fill the buffer has
// emptied the socket, so there is mostly one; at the end of the stream there is
// another, which says how it ended.
func (c *conn) readable(end bool) {
	l := c.lane
	buf := l.loop.Scratch()
	for range readsPerWake {
		if c.fd < 0 || c.kind == stalled && c.st == open {
			return
		}
		n, err := l.sys.Read(int(c.fd), buf)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return
		case c.st == handshaking:
			if err == nil && n == 0 {
				err = errHungUp
			}
			if err != nil {
				c.refused("handshake", err)
				return
			}
			c.answered(buf[:n])
		case err != nil:
			c.lose(reason(err))
			return
		case n == 0:
			c.lose("the server closed the connection without a close frame")
			return
		default:
			c.receive(buf[:n])
		}
		if n < len(buf) && !end {
			return
		}
	}
	l.loop.Post(task(func() { // no new edge comes for what is there already
		if c.fd >= 0 {
			c.readable(end)
		}
	}))
}

// deaf reports whether a connection takes nothing more: it has ended, has
// stopped reading, or has said goodbye, after which only the end matters.
func (c *conn) deaf() bool {
	return c.fd < 0 || c.st == leaving || c.kind == stalled && c.st == open
}

// receive takes the messages in p.
func (c *conn) receive(p []byte) {
	l := c.lane
	if c.deaf() {
		return
	}
	now := l.clk.Now()
	dec := c.dec
	if dec == nil {
		dec = l.dec
	}
	for len(p) > 0 {
		m, n, err := dec.Next(p, &l.rules)
		if err != nil {
			c.broken(dec, err)
			return
		}
		p = p[n:]
		switch m.Op {
		case 0:
		case wire.OpBinary, wire.OpText:
			if m.Op == l.op {
				l.proto.received(c, m.Payload, now)
			} else {
				c.deliver(nil, now)
			}
		default:
			c.control(m)
		}
		if c.deaf() { // in the middle of something
			dec.Reset()
			c.dec = nil
			return
		}
	}
	// A decoder with nothing in it goes back to being the lane's.
	switch settled := dec.Settle(); {
	case settled && dec == c.dec:
		c.dec = nil
	case !settled && dec == l.dec:
		c.dec, l.dec = dec, &wire.Decoder{}
	}
	if c.pub != nil && !l.plan.Open() {
		l.pump(c.pub)
	}
}

// broken ends a connection on which the server broke the protocol.
func (c *conn) broken(dec *wire.Decoder, err error) {
	if dec == c.lane.dec {
		dec.Reset()
	}
	var pe *wire.ProtocolError
	if errors.As(err, &pe) {
		c.lose("the server broke the protocol: " + pe.Reason)
		return
	}
	c.lose(err.Error())
}

// deliver enters a payload that arrived; nil if what arrived can't be one.
func (c *conn) deliver(p []byte, now int64) {
	l := c.lane
	switch {
	case !l.plan.Mode.Sends(): // a server may greet; this run sends nothing to compare with
		return
	case l.closed, c.st == joining: // not in the account any more, or not yet
		return
	}
	h, err := l.codec.Parse(p)
	if err != nil {
		l.count.Corrupt++
		return
	}
	stream, ok := l.plan.Stream(c.number(), int(h.Publisher), int(h.Topic))
	if !ok {
		l.count.Corrupt++
		return
	}
	switch l.book.Record(int(c.at)*l.nstrm+stream, h.Seq) {
	case ledger.Duplicate:
		l.count.Duplicate++
		return
	case ledger.Reordered:
		l.count.Reordered++
	}
	l.count.Delivered++
	l.count.LastArrive = now
	l.pause.arrived()
	l.latency.Record(now - h.Intended)
	if l.plan.Mode == plan.Fanout {
		l.messages.Record(l.plan.Message(int(h.Publisher), h.Seq), h.Intended, now-h.Intended)
	}
	if c.pub != nil && int(h.Publisher) == c.pub.id {
		c.pub.back = max(c.pub.back, h.Seq+1)
	}
	if l.onComplete != nil {
		l.outstanding--
		l.checkComplete()
	}
}

// control answers a control frame.
func (c *conn) control(m wire.Message) {
	l := c.lane
	switch m.Op {
	case wire.OpPing:
		l.send(c, wire.AppendMaskedFrame(l.loop.WriteScratch()[:0], wire.OpPong, m.Payload, l.mask))
	case wire.OpClose:
		code, why, err := wire.ParseClose(m.Payload)
		if err != nil {
			c.broken(nil, err)
			return
		}
		if c.st != parting {
			l.send(c, wire.AppendMaskedFrame(l.loop.WriteScratch()[:0], wire.OpClose,
				wire.AppendClosePayload(nil, code, ""), l.mask))
		}
		if c.fd >= 0 {
			c.lose(fmt.Sprintf("closed by the server: %d %s", code, why))
		}
	}
}

// reason names an error on a connection in few words.
func reason(err error) string {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}
