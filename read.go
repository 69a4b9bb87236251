package hubbub

import (
	"errors"
	"io"

	"golang.org/x/sys/unix"

	"hubbub/internal/poller"
	"hubbub/internal/wire"
)

// readsPerWake bounds how often one socket is read before the others get their
// turn; it is reported again if there is more.
const readsPerWake = 4

// inflatePerWake is how many bytes are read at a time of a peer that compresses:
// what comes out of them can be a thousand times as much.
const inflatePerWake = 4 << 10

func wouldBlock(err error) bool { return errors.Is(err, unix.EAGAIN) }

// ready is the loop's callback for the connection's descriptor.
func (c *Conn) ready(ev poller.Events) {
	if ev == poller.Stopped {
		return
	}
	// Another callback of the same round may have closed the connection: the
	// event is stale then, and the descriptor somebody else's.
	state := c.state.Load()
	if ev&poller.Writable != 0 && state < stateClosed {
		c.flush()
		state = c.state.Load()
	}
	if ev&^poller.Writable == 0 {
		return
	}
	if ev&poller.Broken != 0 && c.quiet&bitPaused != 0 && state < stateClosed {
		c.breakOff() // it would be reported again and again
		return
	}
	switch state {
	case stateHandshake:
		c.readHandshake()
	case stateOpen:
		c.read()
	case stateClosing:
		if c.phase.answered {
			c.discard()
		} else {
			c.read()
		}
	case stateDraining:
		c.discard()
	}
}

// read takes what the socket has and handles it.
func (c *Conn) read() {
	sh := c.shard
	if (sh.server.hub.Overloaded() || sh.server.choked.Load()) && c.state.Load() == stateOpen {
		sh.pause(c)
		return
	}
	p, turn := sh.loop.Scratch(), readsPerWake
	if c.encoding() != encodingPlain {
		p, turn = p[:inflatePerWake], 1
	}
	s := c.secure()
	if s != nil {
		s.refill(turn * len(p))
	}
	for reads := 0; ; reads++ {
		n, err := c.receive(p)
		if s != nil {
			s.charge()
		}
		if n == 0 {
			switch {
			case err == nil || errors.Is(err, io.EOF):
				c.onFIN()
			case !wouldBlock(err):
				c.destroy(endReset)
			}
			return
		}
		sh.stats.bytesIn.Add(uint64(n))
		if c.quiet&bitSteady == 0 {
			c.seen = sh.clock
		}
		c.quiet &^= bitPinged
		c.feed(p[:n])
		if !c.listening() {
			return
		}
		// A short read means that the socket is dry. If more comes it is
		// reported: no need for a read that returns EAGAIN. What crypto/tls
		// holds is not reported, so that is always emptied.
		if s == nil && (n < len(p) || reads == turn-1) {
			return
		}
	}
}

// receive reads, and decrypts, what the socket has.
func (c *Conn) receive(p []byte) (int, error) {
	if s := c.secure(); s != nil {
		return s.receive(p)
	}
	return c.shard.loop.Sys().Read(int(c.fd), p)
}

// listening reports whether frames of the peer are still of interest.
func (c *Conn) listening() bool {
	s := c.state.Load()
	return s < stateClosing || s == stateClosing && !c.phase.answered
}

// feed handles input: frames, whole or in part. It takes p apart in place.
func (c *Conn) feed(p []byte) {
	sh := c.shard
	d := c.in
	if d == nil {
		d = sh.clean
	}
	rules := &sh.rules[min(1, c.encoding())]
	sh.pings, sh.lastPing = 0, sh.lastPing[:0]
	for len(p) > 0 {
		m, n, err := d.Next(p, rules)
		p = p[n:]
		if empty := d.Empty(); empty > 0 {
			c.chatter(empty)
		}
		if err != nil {
			c.failProtocol(err)
			break
		}
		if m.Op != 0 && c.listening() {
			c.handle(m)
		}
		if !c.listening() {
			break
		}
	}
	if len(sh.lastPing) > 0 {
		c.control(wire.OpPong, sh.lastPing)
	}
	if c.state.Load() > stateClosing {
		d.Reset()
	}
	switch settled := d.Settle(); {
	case settled && c.in != nil:
		c.in = nil
		sh.keepDecoder(d)
	case !settled && c.in == nil:
		c.in = d
		sh.clean = sh.spareDecoder()
	}
}

// handle handles one message or control frame.
func (c *Conn) handle(m wire.Message) {
	if m.Op == wire.OpClose {
		c.onPeerClose(m.Payload)
		return
	}
	if c.state.Load() != stateOpen {
		return // we have sent our close frame: only the peer's is of interest
	}
	defer c.recovered()
	if m.Op == wire.OpText || m.Op == wire.OpBinary {
		c.charge(len(m.Payload))
	} else {
		c.chatter(1)
	}
	if c.state.Load() != stateOpen {
		return
	}
	switch m.Op {
	case wire.OpText:
		c.shard.stats.messagesIn[0].Add(1)
		if fn := c.endpoint().OnText; fn != nil {
			fn(c, m.Payload)
		}
	case wire.OpBinary:
		c.shard.stats.messagesIn[1].Add(1)
		if fn := c.endpoint().OnBinary; fn != nil {
			fn(c, m.Payload)
		}
	case wire.OpPing:
		c.onPing(m.Payload)
	}
}

// eachPing is how many pings that come at once are answered one by one. Of more, the
// last is answered for all (RFC 6455 section 5.5.3): each answer is a write.
const eachPing = 16

func (c *Conn) onPing(payload []byte) {
	sh := c.shard
	if sh.pings++; sh.pings <= eachPing {
		c.control(wire.OpPong, payload)
		return
	}
	sh.lastPing = append(sh.lastPing[:0], payload...)
}
