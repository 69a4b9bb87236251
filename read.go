package hubbub

import (
	"errors"

	"golang.org/x/sys/unix"

	"hubbub/internal/poller"
	"hubbub/internal/wire"
)

// readsPerWake bounds how often one socket is read before the others get their
// turn; it is reported again if there is more.
const readsPerWake = 4

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
		c.destroy(endReset) // it would be reported again and again
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
	if sh.server.hub.Overloaded() && c.state.Load() == stateOpen {
		sh.pause(c)
		return
	}
	for range readsPerWake {
		p := sh.loop.Scratch()
		n, err := sh.loop.Sys().Read(int(c.fd), p)
		if n == 0 {
			switch {
			case err == nil:
				c.onFIN()
			case !wouldBlock(err):
				c.destroy(endReset)
			}
			return
		}
		sh.stats.bytesIn.Add(uint64(n))
		c.seen = sh.clock
		c.quiet &^= bitPinged
		c.feed(p[:n])
		// A short read means that the socket is dry. If more comes it is
		// reported: no need for a read that returns EAGAIN.
		if n < len(p) || c.state.Load() != stateOpen {
			return
		}
	}
}

// feed handles input: frames, whole or in part. It takes p apart in place.
func (c *Conn) feed(p []byte) {
	sh := c.shard
	d := c.in
	if d == nil {
		d = sh.clean
	}
	for len(p) > 0 {
		m, n, err := d.Next(p, &sh.rules)
		if err != nil {
			c.failProtocol(err)
			break
		}
		p = p[n:]
		if m.Op == 0 {
			break
		}
		c.handle(m)
		if s := c.state.Load(); s > stateClosing || s == stateClosing && c.phase.answered {
			break
		}
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
		c.control(wire.OpPong, m.Payload)
	}
}
