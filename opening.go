package hubbub

import (
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"

	"github.com/valyala/bytebufferpool"

	"hubbub/internal/broadcast"
	"hubbub/internal/poller"
	"hubbub/internal/wire"
)

// phase is what a connection needs only while it opens or closes.
type phase struct {
	timer poller.Timer // owned by the loop
	// Opening, owned by the loop: the bytes of a head that didn't come in one
	// piece; whether the peer is one of our proxies, and whether its header is
	// still to come; the neighbours in the shard's queue.
	head             *bytebufferpool.ByteBuffer
	trusted, proxied bool
	older, newer     *Conn

	// Closing: the loop's, once the state says so.
	why      ending
	code     uint16 // for OnClose
	reason   string
	answered bool // nothing more is expected from the peer
	parted   bool // it has sent its close frame
	told     bool // OnClose has been called
}

var headBuffers bytebufferpool.Pool

// keepHead is the capacity in bytes above which a head's buffer isn't kept for
// reuse. The pool makes new buffers as large as those it gets back: a few big
// heads must not set what every half-open handshake holds.
const keepHead = 4 << 10

// adopt is a Task that hands a new connection's descriptor to its shard.
type adopt struct {
	shard *shard
	fd    int
	from  *listener
}

func (a adopt) Run() { a.shard.take(a.fd, a.from) }

// take makes a connection of an accepted descriptor. It is counted already.
func (sh *shard) take(fd int, from *listener) {
	s := sh.server
	c := &Conn{shard: sh, id: s.idBase | s.lastID.Add(1)&idMask, fd: int32(fd)}
	if s.stopping.Load() {
		sh.loop.Sys().Close(fd)
		s.gone(sh)
		return
	}
	c.phase = sh.newPhase()
	sh.add(c)
	if s.sys != nil {
		c.kind |= kindFaked
	}
	if from.tls != nil {
		c.extrasLocked().secure = newSecure(c, from.tls)
		c.kind |= kindSecure
	}
	c.greet(from)
	if c.state.Load() == stateHandshake { // often the request is there already
		c.readHandshake()
	}
	if c.state.Load() == stateHandshake {
		sh.loop.SetTimer(&c.phase.timer, s.cfg.HandshakeTimeout, func() { c.giveUp(refusedTimeout) })
	}
	// Only now: a socket that is watched with the request in it is reported, and looked at again, for nothing.
	if c.state.Load() < stateDraining && c.quiet&bitWatched == 0 {
		c.watch()
	}
	if sh.young.len > max(1, s.cfg.MaxHandshakes/s.cfg.Loops) {
		sh.young.oldest.giveWay()
	}
}

// giveWay ends the oldest handshake for another to take its place, unless what it
// waits for has come by now: many may be accepted before the loop looks again.
func (c *Conn) giveWay() {
	sh := c.shard
	if c.state.Load() == stateHandshake && c.quiet&bitPaused == 0 {
		c.readHandshake()
	}
	switch {
	case sh.young.oldest != c:
	case c.state.Load() == stateHandshake:
		c.giveUp(refusedCrowded)
	default: // refused, and counted
		c.destroy(endHandshake)
	}
}

// giveUp ends a connection that hasn't got through its handshake.
func (c *Conn) giveUp(why refusal) {
	c.shard.stats.refused[why].Add(1)
	c.destroy(endHandshake)
}

// readHandshake reads what comes before frames: the header of a proxy, the
// handshake of TLS, the request's head.
func (c *Conn) readHandshake() {
	sh := c.shard
	p := sh.loop.Scratch()
	if s := c.secure(); c.phase.proxied || s != nil && s.waiting() {
		if s != nil {
			p = p[:max(1, maxHello-s.shake.fed)]
		}
		n, err := sh.loop.Sys().Read(int(c.fd), p)
		switch {
		case n == 0 && (err == nil || !wouldBlock(err)):
			c.giveUp(refusedGone)
		case c.phase.proxied:
			c.readProxyHeader(p[:n])
		case n > 0:
			s.feed(p[:n])
		}
		return
	}
	if s := c.secure(); s != nil {
		s.refill(readsPerWake * poller.ScratchSize)
	}
	for c.state.Load() == stateHandshake {
		n, err := c.receive(p)
		if n == 0 {
			if err == nil || !wouldBlock(err) {
				c.giveUp(refusedGone)
			}
			return
		}
		c.readHead(p[:n])
		if c.secure() == nil {
			return // what else there is will be reported
		}
	}
	if c.state.Load() == stateOpen {
		c.read()
	}
}

// collect puts p behind what has come before and returns it all.
func (c *Conn) collect(p []byte) []byte {
	if c.phase.head == nil {
		c.phase.head = headBuffers.Get()
		c.phase.head.B = c.phase.head.B[:0]
	}
	c.phase.head.B = append(c.phase.head.B, p...)
	return c.phase.head.B
}

// readHead collects the request's head, which may come in pieces, and decides
// what the connection is to be.
func (c *Conn) readHead(p []byte) {
	sh := c.shard
	seen := 0
	if c.phase.head != nil {
		seen = len(c.phase.head.B)
		p = c.collect(p)
	}
	size, err := sh.head.Parse(p, seen)
	switch {
	case err != nil:
		c.refuse(wire.AsRefusal(err))
	case size > 0 && sh.head.IsUpgrade():
		c.upgrade(p[size:])
	case size > 0:
		if err := c.placeClient(); err != nil {
			c.refuse(wire.AsRefusal(err))
			return
		}
		c.handOver(p)
	case c.phase.head == nil:
		c.collect(p)
	}
}

// upgrade answers the handshake whose head the shard has just parsed. rest are
// the bytes that came behind it.
func (c *Conn) upgrade(rest []byte) {
	sh := c.shard
	sh.opening = c
	var err error
	sh.answer, err = sh.upgrader.Upgrade(sh.answer[:0], &sh.head, sh.protocolsFor(&sh.head), sh.decide)
	sh.opening = nil
	if err != nil {
		c.refuse(wire.AsRefusal(err))
		return
	}
	sh.stats.handshakes.Add(1)
	sh.loop.ClearTimer(&c.phase.timer)
	head := c.phase.head
	c.phase.head = nil
	c.seen = sh.clock

	c.mu.Lock()
	if c.state.Load() == stateOpening {
		c.state.Store(stateOpen)
		*c.phase = phase{}
		sh.keepPhase(c.phase)
		c.phase = nil
	} // else OnOpen has closed it again
	c.answerLocked(sh.answer)
	c.mu.Unlock()
	if len(rest) > 0 {
		c.feed(rest)
	}
	if head != nil {
		putHead(head)
	}
}

// protocolsFor returns the subprotocols of the endpoint that is asked for.
func (sh *shard) protocolsFor(h *wire.Head) []string {
	if i, ok := sh.server.paths[string(h.Path())]; ok {
		return sh.server.endpoints[i].Subprotocols
	}
	return nil
}

// onUpgrade decides about a handshake that is valid in itself.
func (sh *shard) onUpgrade(agreed wire.Agreement) error {
	c, s := sh.opening, sh.server
	i, ok := s.paths[string(sh.head.Path())]
	if !ok {
		return errNoEndpoint
	}
	if !wire.OriginAllowed(string(sh.head.Get("Origin")), string(sh.head.Get("Host")), s.cfg.Origins) {
		return errOrigin
	}
	if s.short.Load() {
		return errMemory
	}
	if err := c.placeClient(); err != nil {
		return err
	}
	if agreed.Window != 0 {
		c.kind |= connKind(encodingFor(agreed.Window))
	}
	sh.remove(c)
	c.ep = uint16(i + 1)
	sh.add(c)
	c.mu.Lock()
	c.state.Store(stateOpening)
	c.mu.Unlock()
	ep := c.endpoint()
	if ep.Ping != nil {
		c.quiet |= bitSteady
	}
	if ep.OnOpen == nil {
		return nil
	}
	return c.callOnOpen(ep, agreed.Protocol)
}

func (c *Conn) callOnOpen(ep *Endpoint, protocol string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			c.logPanic(p)
			err = fmt.Errorf("OnOpen panicked")
		}
	}()
	r := &c.shard.request
	*r = Request{head: &c.shard.head, protocol: protocol, conn: c}
	defer func() { *r = Request{} }() // nothing of it is held on to
	err = ep.OnOpen(c, r)
	if _, refused := errors.AsType[*wire.Refusal](err); err != nil && !refused {
		c.shard.server.log.Error("OnOpen failed", "path", string(c.shard.head.Path()), "error", err)
	}
	return err
}

// recovered, deferred around calls of handlers, ends the connection if one has
// panicked.
func (c *Conn) recovered() {
	if p := recover(); p != nil {
		c.logPanic(p)
		c.fail(endPanic, wire.CloseInternalError, "internal error")
	}
}

func (c *Conn) logPanic(p any) {
	c.shard.server.log.Error("a handler panicked", "panic", p, "stack", string(debug.Stack()))
}

var (
	errNoEndpoint = &wire.Refusal{Status: http.StatusNotFound, Reason: "there is no WebSocket endpoint at this path"}
	errOrigin     = &wire.Refusal{Status: http.StatusForbidden, Reason: "pages from this origin may not connect (see -origins)"}
	errMemory     = &wire.Refusal{Status: http.StatusServiceUnavailable, Reason: "the server is short of memory: come back later", Header: "Retry-After: 10\r\n"}
	errPerIP      = &wire.Refusal{Status: http.StatusTooManyRequests, Reason: "there are too many connections from your address", Header: "Retry-After: 60\r\n"}
)

// refuse answers the handshake with r and ends the connection.
func (c *Conn) refuse(r *wire.Refusal) {
	sh := c.shard
	sh.stats.refused[refusalKind(r, c.ep)].Add(1)
	sh.answer = wire.AppendRefusal(sh.answer[:0], r)
	sh.loop.ClearTimer(&c.phase.timer)
	c.mu.Lock()
	c.unsubscribeAllLocked()
	c.dropOutputLocked((*broadcast.Backlog).DropAll)
	c.state.Store(stateClosing)
	c.phase.why, c.phase.answered, c.phase.told = endHandshake, true, true
	c.answerLocked(sh.answer)
	done := !c.unsentLocked()
	c.mu.Unlock()
	if c.phase.head != nil {
		putHead(c.phase.head)
		c.phase.head = nil
	}
	if done {
		c.drain()
	} else {
		c.closeSoon()
	}
}

// refusalKind says under which reason a refusal is counted.
func refusalKind(r *wire.Refusal, ep uint16) refusal {
	switch {
	case ep != 0:
		return refusedEndpoint
	case r == errMemory:
		return refusedMemory
	case r == errPerIP:
		return refusedPerIP
	case r == errPlainHTTP:
		return refusedTLS
	case r == errOrigin:
		return refusedOrigin
	case r == errNoEndpoint:
		return refusedPath
	case r.Status == http.StatusUpgradeRequired:
		return refusedVersion
	case r.Status == http.StatusRequestHeaderFieldsTooLarge:
		return refusedTooLarge
	}
	return refusedMalformed
}

func putHead(b *bytebufferpool.ByteBuffer) {
	if cap(b.B) <= keepHead {
		headBuffers.Put(b)
	}
}
