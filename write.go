package hubbub

import (
	"hubbub/internal/broadcast"
	"hubbub/internal/poller"
	"hubbub/internal/wire"
)

// sink is a Conn as the broadcast workers see it.
type sink Conn

// Deliver implements broadcast.Sink: one write for the whole batch, and what
// the socket doesn't take is kept by reference.
func (s *sink) Deliver(b *broadcast.Batch, sub *broadcast.Subscription) (written int) {
	c := (*Conn)(s)
	b = b.In(c.encoding())
	c.mu.Lock()
	defer c.mu.Unlock()
	if !sub.Active() {
		return 0
	}
	switch c.state.Load() {
	case stateOpening:
	case stateOpen:
		if c.out == nil {
			var ok bool
			written, ok = c.writeLocked(b.Bytes())
			if !ok || written == len(b.Bytes()) {
				return written
			}
		}
	default:
		return 0
	}
	skip := written
	for _, f := range b.Frames() {
		if skip >= f.Len() {
			skip -= f.Len()
			continue
		}
		c.queueLocked(f, skip)
		skip = 0
	}
	return written
}

// sendLocked sends a message that is this connection's alone.
func (c *Conn) sendLocked(f *broadcast.Frame) {
	switch c.state.Load() {
	case stateOpening:
		c.queueLocked(f, 0)
	case stateOpen:
		n := 0
		if c.out == nil {
			var ok bool
			n, ok = c.writeLocked(f.Bytes())
			c.shard.server.stats.bytesOut.Add(uint64(n))
			if !ok || n == f.Len() {
				return
			}
		}
		c.queueLocked(f, n)
	}
}

// writeLocked writes what the socket takes. ok is false when the connection is
// broken; the loop will end it.
func (c *Conn) writeLocked(p []byte) (n int, ok bool) {
	if s := c.secure(); s != nil {
		return s.writeLocked(p)
	}
	return c.writeRawLocked(p)
}

// writeRawLocked is writeLocked for bytes that are encrypted, if they have to be.
func (c *Conn) writeRawLocked(p []byte) (n int, ok bool) {
	if c.bit&bitBroken != 0 { // what wasn't written is lost: nothing may follow it
		return 0, false
	}
	p = p[:min(len(p), maxWrite)]
	var err error
	if c.kind&kindFaked == 0 { // for the shard to be looked at costs a miss of the cache
		n, err = poller.OS{}.Write(int(c.fd), p)
	} else {
		n, err = c.shard.loop.Sys().Write(int(c.fd), p)
	}
	return n, c.wroteLocked(err)
}

// writeLastLocked is writeLocked for what drain follows at once: on a socket without TLS
// it leaves together with FIN.
func (c *Conn) writeLastLocked(p []byte) (n int, ok bool) {
	if c.secure() != nil || c.bit&bitBroken != 0 {
		return c.writeLocked(p)
	}
	n, err := c.shard.loop.Sys().WriteMore(int(c.fd), p)
	return n, c.wroteLocked(err)
}

// wroteLocked takes note of what came of a write, and reports whether the socket is still good.
func (c *Conn) wroteLocked(err error) bool {
	if err == nil || wouldBlock(err) {
		return true
	}
	c.breakLocked()
	return false
}

// maxWrite bounds what is written to one socket before the others get their
// turn: a write of megabytes takes a millisecond.
const maxWrite = 64 << 10

// breakLocked has the loop end a connection that can't be written to.
func (c *Conn) breakLocked() {
	c.bit |= bitBroken
	c.postLocked()
}

// queueLocked keeps f, of which so many bytes are written, until the socket is
// writable; or does what the endpoint's policy says if too much waits already.
func (c *Conn) queueLocked(f *broadcast.Frame, written int) {
	s := c.shard.server
	if c.state.Load() > stateOpen {
		return // the frame before was one too many
	}
	if c.out == nil {
		c.out = getBacklog()
	}
	before := c.out.Size()
	limit := s.cfg.MaxBacklog - f.Len() - broadcast.FrameCost
	if before > 0 && c.out.Cost() > limit {
		policy := c.endpoint().SlowPolicy
		if f.Lossy {
			policy = DropNewest
		}
		switch policy {
		case Disconnect:
			c.closeLocked(wire.ClosePolicyViolation, "slow consumer", endSlow)
			return
		case DropNewest:
			s.stats.droppedNewest.Add(1)
			return
		case DropOldest:
			n := c.out.DropOldest(limit)
			s.stats.droppedOldest.Add(uint64(n))
		}
	}
	c.out.Push(f, written)
	c.outputChangedLocked(before)
}

// control sends a ping or pong, between messages and ahead of those that wait.
func (c *Conn) control(op wire.OpCode, payload []byte) {
	f := newFrame(MessageType(op), payload)
	c.mu.Lock()
	if c.state.Load() == stateOpen {
		c.firstLocked(f, false)
	}
	c.mu.Unlock()
	f.Release()
}

// answerLocked sends the answer to the handshake, ahead of what OnOpen has sent.
func (c *Conn) answerLocked(answer []byte) {
	f := broadcast.NewFrame(nil, answer)
	if c.out != nil {
		before := c.out.Size()
		c.out.PushControl(f)
		c.outputChangedLocked(before)
	} else {
		c.firstLocked(f, false)
	}
	f.Release()
}

// firstLocked sends f ahead of everything that isn't begun. If it is the last, drain
// follows at once.
func (c *Conn) firstLocked(f *broadcast.Frame, last bool) {
	n := 0
	if c.out == nil {
		var ok bool
		if last {
			n, ok = c.writeLastLocked(f.Bytes())
		} else {
			n, ok = c.writeLocked(f.Bytes())
		}
		c.shard.server.stats.bytesOut.Add(uint64(n))
		if !ok || n == f.Len() {
			return
		}
		c.out = getBacklog()
	}
	before := c.out.Size()
	if n > 0 {
		c.out.Push(f, n)
	} else {
		c.out.PushControl(f)
	}
	c.outputChangedLocked(before)
}

// outputChangedLocked keeps the total of backlogs, and sees to it that what
// waits is written once the socket is writable. before is the backlog's size
// in bytes before the change.
func (c *Conn) outputChangedLocked(before int) {
	c.shard.server.stats.backlog.Add(int64(c.out.Size() - before))
	if c.out.Len() > 0 && c.bit&bitWriting == 0 && c.state.Load() != stateOpening {
		c.postLocked()
	}
}

// dropOutputLocked throws away, by means of drop, what isn't begun.
func (c *Conn) dropOutputLocked(drop func(*broadcast.Backlog) int) {
	if c.out == nil {
		return
	}
	before := c.out.Size()
	drop(c.out)
	c.outputChangedLocked(before)
	if c.out.Len() == 0 {
		putBacklog(c.out)
		c.out = nil
	}
}

// flush writes some of the backlog. It is called on the loop when the socket is
// writable, and again as long as it is.
func (c *Conn) flush() {
	c.mu.Lock()
	s := c.secure()
	if (s == nil || s.flushLocked()) && c.out != nil {
		before := c.out.Size()
		n, _ := c.writeLocked(c.out.Next(c.shard.loop.WriteScratch()))
		c.out.Advance(n)
		c.shard.server.stats.bytesOut.Add(uint64(before - c.out.Size()))
		c.outputChangedLocked(before)
		if c.out.Len() == 0 {
			putBacklog(c.out)
			c.out = nil
		}
	}
	idle := !c.unsentLocked()
	stop := idle && c.bit&bitWriting != 0
	if stop {
		c.bit &^= bitWriting
	}
	done := idle && c.state.Load() == stateClosing && c.phase.answered
	c.mu.Unlock()
	if done {
		c.drain()
	} else if stop {
		c.watch()
	}
}

// unsentLocked reports whether something waits for the socket.
func (c *Conn) unsentLocked() bool {
	s := c.secure()
	return c.out != nil || s != nil && s.out != nil
}

// postLocked has the loop look after the connection.
func (c *Conn) postLocked() {
	if c.bit&bitPosted == 0 {
		c.bit |= bitPosted
		c.shard.loop.Post((*chore)(c))
	}
}

// chore is the Task that postLocked posts.
type chore Conn

func (t *chore) Run() {
	c := (*Conn)(t)
	c.mu.Lock()
	c.bit &^= bitPosted
	state := c.state.Load()
	broken := c.bit&bitBroken != 0
	write := state < stateClosed && c.unsentLocked() && c.bit&bitWriting == 0
	if write {
		c.bit |= bitWriting
	}
	c.mu.Unlock()
	switch {
	case state == stateClosed:
		return
	case broken:
		c.breakOff()
		return
	case state == stateClosing:
		c.closeSoon()
	}
	if write && c.state.Load() < stateClosed {
		c.watch()
	}
}

// watch tells the poller what the connection waits for.
func (c *Conn) watch() {
	var ev poller.Events
	if c.quiet&bitPaused == 0 {
		ev |= poller.Readable
	}
	c.mu.Lock()
	if c.bit&bitWriting != 0 {
		ev |= poller.Writable
	}
	c.mu.Unlock()
	var err error
	if c.quiet&bitWatched != 0 {
		err = c.shard.loop.Mod(int(c.fd), ev)
	} else {
		c.quiet |= bitWatched
		err = c.shard.loop.Add(int(c.fd), ev, c.ready)
	}
	if err != nil {
		c.shard.server.log.Warn("a connection could not be watched", "error", err)
		c.destroy(endReset)
	}
}

// unwatch has the poller forget the connection.
func (c *Conn) unwatch() {
	if c.quiet&bitWatched != 0 {
		c.quiet &^= bitWatched
		_ = c.shard.loop.Del(int(c.fd)) // fails where watching has failed
	}
}
