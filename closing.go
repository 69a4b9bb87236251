package hubbub

import (
	"errors"
	"time"

	"hubbub/internal/broadcast"
	"hubbub/internal/poller"
	"hubbub/internal/wire"
)

// A connection ends in steps, so that its close frame arrives (RFC 6455 section
// 7.1.1): closing a socket that has unread input makes the kernel send RST,
// which can overtake what was written.
//
//  1. stateClosing: our close frame goes out behind what was sent before, and
//     the peer has closeTimeout to answer with its own.
//  2. stateDraining: FIN is sent, and input is thrown away for drainTimeout or
//     until the peer's FIN. One that has sent its close frame sends nothing else
//     any more, so the loop isn't woken for it: it looks after a tick of its clock.
//  3. stateClosed: the loop gives the descriptor back.

const (
	closeTimeout = 5 * time.Second
	drainTimeout = 5 * time.Second
)

// closeFor begins to close the connection; see Close.
func (c *Conn) closeFor(why ending, code uint16, reason string) {
	c.mu.Lock()
	c.closeLocked(code, reason, why)
	c.mu.Unlock()
}

func (c *Conn) closeLocked(code uint16, reason string, why ending) {
	state := c.state.Load()
	if state != stateOpen && state != stateOpening {
		return
	}
	if c.phase == nil {
		c.phase = &phase{}
	}
	if !wire.ValidCloseCode(code) {
		code = wire.CloseNoStatus
	}
	c.phase.why, c.phase.code, c.phase.reason = why, code, reason
	c.state.Store(stateClosing) // from here on the phase is the loop's
	c.unsubscribeAllLocked()
	if why == endSlow || why == endMemory { // what waits would keep the close frame from going out
		c.dropOutputLocked((*broadcast.Backlog).DropMessages)
	}
	f := broadcast.NewFrame(wire.AppendCloseFrame(nil, code, reason), nil)
	last := why == endPeer // onPeerClose goes on with it by itself
	if c.out == nil && state == stateOpen {
		c.firstLocked(f, last)
	} else {
		if c.out == nil {
			c.out = getBacklog()
		}
		before := c.out.Size()
		c.out.Push(f, 0)
		c.outputChangedLocked(before)
	}
	f.Release()
	if !last {
		c.postLocked()
	}
}

// fail ends the connection for something the peer did, without waiting for it
// to answer (RFC 6455 section 7.1.7).
func (c *Conn) fail(why ending, code uint16, reason string) {
	c.closeFor(why, code, reason)
	if c.state.Load() == stateClosing {
		c.phase.answered = true
		c.closeSoon()
	}
}

// onPeerClose handles the peer's close frame: it is answered with the same
// code, unless it is the answer to ours.
func (c *Conn) onPeerClose(payload []byte) {
	code, reason, err := wire.ParseClose(payload)
	if err != nil {
		c.failProtocol(err)
		return
	}
	c.closeFor(endPeer, code, "")
	c.phase.answered, c.phase.parted = true, true
	c.phase.code, c.phase.reason = code, reason
	c.closeSoon()
	c.tellClosed()
}

// failProtocol ends the connection for an error that wire has found.
func (c *Conn) failProtocol(err error) {
	var pe *wire.ProtocolError
	if !errors.As(err, &pe) {
		pe = &wire.ProtocolError{Code: wire.CloseProtocolError, Reason: "protocol error"}
	}
	c.fail(endProtocol, pe.Code, pe.Reason)
}

// closeSoon sees to it, on the loop, that a closing connection gets on.
func (c *Conn) closeSoon() {
	if c.quiet&bitPaused != 0 && !c.phase.answered { // its answer is waited for
		c.quiet &^= bitPaused
		if c.watch(); c.state.Load() == stateClosed {
			return
		}
	}
	c.mu.Lock()
	ready := !c.unsentLocked() && c.phase.answered
	c.mu.Unlock()
	if ready {
		c.drain()
	} else if !c.phase.timer.Pending() {
		c.shard.loop.SetTimer(&c.phase.timer, closeTimeout, func() { c.destroy(endTimeout) })
	}
}

// drain sends FIN and waits for the peer's.
func (c *Conn) drain() {
	c.mu.Lock()
	if c.state.Load() != stateClosing {
		c.mu.Unlock()
		return
	}
	if s := c.secure(); s != nil {
		s.sayGoodbyeLocked()
	}
	c.state.Store(stateDraining)
	c.bit &^= bitWriting
	later := c.phase.parted && (c.ext == nil || !c.ext.booked) // who is counted may not come back before it is gone
	c.mu.Unlock()
	c.quiet &^= bitPaused
	_ = c.shard.loop.Sys().ShutdownWrite(int(c.fd)) // fails where the peer is gone, which the next read tells
	if !later {
		c.awaitFIN()
		return
	}
	c.unwatch()
	c.shard.loop.SetTimer(&c.phase.timer, poller.Tick, func() {
		if c.discard(); c.state.Load() != stateClosed {
			c.awaitFIN()
		}
	})
}

// awaitFIN waits, for a bounded time, for the peer's FIN.
func (c *Conn) awaitFIN() {
	c.shard.loop.SetTimer(&c.phase.timer, drainTimeout, func() { c.destroy(endTimeout) })
	c.watch()
}

// discard reads and forgets.
func (c *Conn) discard() {
	n, err := c.shard.loop.Sys().Read(int(c.fd), c.shard.loop.Scratch())
	switch {
	case n > 0 || err != nil && wouldBlock(err):
	case err != nil:
		c.destroy(endReset)
	default:
		c.onFIN()
	}
}

// onFIN handles the end of the peer's stream. It may still be reading: what
// waits for it before our close frame is still sent.
func (c *Conn) onFIN() {
	c.mu.Lock()
	broken := c.bit&bitBroken != 0
	unsent := c.state.Load() == stateClosing && c.unsentLocked()
	c.mu.Unlock()
	switch {
	case broken: // the error went to the write that met it first
		c.destroy(endReset)
		return
	case !unsent:
		c.destroy(endEOF)
		return
	}
	c.phase.answered = true
	c.quiet |= bitPaused
	c.watch()
}

// onDead ends a connection whose peer hasn't answered a ping.
func (c *Conn) onDead() {
	defer c.destroy(endDead)
	defer c.recovered()
	if fn := c.endpoint().OnDead; fn != nil {
		fn(c)
	}
}

// breakOff ends a connection whose socket is broken.
func (c *Conn) breakOff() {
	if c.state.Load() == stateHandshake {
		c.giveUp(refusedGone)
		return
	}
	c.destroy(endReset)
}

// destroy gives everything back. Only the loop may call it. why is the reason
// if nothing has been said about it before.
func (c *Conn) destroy(why ending) {
	sh := c.shard
	c.mu.Lock()
	if c.state.Load() == stateClosed {
		c.mu.Unlock()
		return
	}
	c.unsubscribeAllLocked()
	c.state.Store(stateClosed)
	if c.out != nil {
		sh.server.stats.backlog.Add(int64(-c.out.Size()))
		c.out.Abandon()
		putBacklog(c.out)
		c.out = nil
	}
	if s := c.secure(); s != nil {
		s.endLocked()
	}
	if c.phase == nil {
		c.phase = &phase{why: why, code: wire.CloseAbnormal}
	} else if c.phase.why == endNone {
		c.phase.why, c.phase.code = why, wire.CloseAbnormal
	}
	ph := c.phase
	c.mu.Unlock()

	sh.loop.ClearTimer(&ph.timer)
	c.unwatch() // closing would do it too
	sh.loop.Sys().Close(int(c.fd))
	sh.remove(c)
	if ph.head != nil {
		putHead(ph.head)
		ph.head = nil
	}
	if c.in != nil {
		c.in.Reset()
		sh.keepDecoder(c.in)
		c.in = nil
	}
	if c.ep != 0 && ph.why != endHandshake {
		sh.stats.ended[ph.why].Add(1)
	}
	c.tellClosed()
	c.ext.unbook(&sh.server.perIP)
	sh.server.gone(sh)
}

// tellClosed calls OnClose, once, for a connection that was open.
func (c *Conn) tellClosed() {
	ph := c.phase
	if ph.told || c.ep == 0 || ph.why == endHandshake {
		return
	}
	ph.told = true
	if fn := c.endpoint().OnClose; fn != nil {
		defer c.recovered()
		fn(c, ph.code, ph.reason)
	}
}

// forget takes the descriptor off the loop, for net/http to have it.
func (c *Conn) forget() {
	c.mu.Lock()
	c.state.Store(stateClosed)
	c.mu.Unlock()
	c.shard.loop.ClearTimer(&c.phase.timer)
	_ = c.shard.loop.Del(int(c.fd)) // closing will do it too
	c.shard.remove(c)
}
