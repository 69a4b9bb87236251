package hubbub

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"hubbub/internal/broadcast"
	"hubbub/internal/poller"
	"hubbub/internal/wire"
)

// MessageType tells text from binary messages.
type MessageType = wire.MessageType

// The types of messages.
const (
	Text   = wire.Text   // UTF-8
	Binary = wire.Binary // any bytes
)

// connState is how far a connection has got. It only ever grows. It is changed
// with the connection's lock held, and may be read without.
type connState = uint32

const (
	stateHandshake connState = iota // no frames yet
	stateOpening                    // in OnOpen: what is sent has to wait for the 101
	stateOpen
	stateClosing  // a close frame is sent or queued: nothing may follow it
	stateDraining // both close frames are exchanged, FIN is sent: input is thrown away
	stateClosed   // the descriptor is given back
)

// Conn is a WebSocket connection. Its methods may be called from any
// goroutine unless they say otherwise. They never block, and do nothing once
// the connection is closing.
//
// An idle connection is this struct and what the kernel and the poller keep of
// its descriptor: whatever else it needs at times (a Decoder in the middle of a
// message, a Backlog, a phase while it opens or closes) it has only then.
type Conn struct {
	// What workers need to deliver fills a cache line of its own, the second: when a fan-out begins, little of the
	// connections is in the caches.

	// Static after construction.
	shard *shard
	id    uint64

	// Owned by the loop.
	session any
	in      *wire.Decoder
	slot    int32   // where it is in its list of the shard
	seen    uint32  // when the peer was last heard or, if pinged (or bitSteady), was pinged; on the shard's clock
	phase   *phase  // while it opens or closes, nil otherwise; guarded by mu until it is closing
	ext     *extras // nil while there is nothing in it; guarded by mu

	mu      sync.Mutex // guards what says so, writing to the socket, and changes of state
	fd      int32      // static after construction
	state   atomic.Uint32
	bit     connBits  // guarded by mu
	quiet   quietBits // owned by the loop
	ep      uint16    // index of its endpoint, plus one; static once it is opening, 0 before
	kind    connKind  // static once it is opening
	floodAt uint8     // owned by the loop, as the next; see chatter
	flood   uint16
	out     *broadcast.Backlog // guarded by mu
	// The first subscription lies here: most connections have one. Guarded by mu.
	sub broadcast.Subscription
}

// extras are what most connections don't need.
type extras struct {
	more    map[string]*broadcast.Subscription // beyond the first; guarded by the connection's lock
	awaited map[string]struct{}                // topics whose past is asked for; likewise
	secure  *secure                            // TLS; static after accepting
	peer    netip.AddrPort                     // the client's address, if it is known; static once it is opening
	booked  bool                               // counted in perIP under peer; owned by the loop
	rate    rate                               // owned by the loop
}

// extrasLocked returns the connection's extras, made if there are none. On the
// loop, before the connection is opening, the lock isn't needed.
func (c *Conn) extrasLocked() *extras {
	if c.ext == nil {
		c.ext = new(extras)
	}
	return c.ext
}

// connKind says how the connection's bytes look.
type connKind uint8

const (
	kindEncoding connKind = 3      // these bits are the broadcast.Encoding of its messages
	kindFaked    connKind = 1 << 6 // its system calls are a test's
	kindSecure   connKind = 1 << 7 // TLS; ext.secure is set
)

func (c *Conn) encoding() broadcast.Encoding { return broadcast.Encoding(c.kind & kindEncoding) }

// secure returns the connection's TLS layer, nil if it has none.
func (c *Conn) secure() *secure {
	if c.kind&kindSecure == 0 {
		return nil
	}
	return c.ext.secure
}

// connBits are flags that are guarded by the connection's lock.
type connBits uint8

const (
	bitPosted  connBits = 1 << iota // the loop has a task for it waiting
	bitBroken                       // writing has failed: the loop is to end it
	bitWriting                      // watched for Writable
	bitSubUsed                      // sub was used: it serves once
)

// quietBits are flags that belong to the loop.
type quietBits uint8

const (
	bitPinged  quietBits = 1 << iota // a ping is out, unanswered
	bitPaused                        // not watched for Readable
	bitSteady                        // pinged at fixed intervals, by Endpoint.Ping
	bitWatched                       // the poller knows its descriptor
)

// endpoint returns what is served at the connection's path.
func (c *Conn) endpoint() *Endpoint { return &c.shard.server.endpoints[c.ep-1] }

// ID returns the connection's number. It is unique among all connections of
// all servers of a bus, as far as 24 random bits keep servers apart.
func (c *Conn) ID() uint64 { return c.id }

// Session returns what SetSession has set. Only for use in handlers.
func (c *Conn) Session() any { return c.session }

// SetSession attaches a value to the connection, for later handlers. Only for
// use in handlers.
func (c *Conn) SetSession(v any) { c.session = v }

// RemoteAddr returns the peer's address; the zero value once it is gone. Only
// for use in handlers.
func (c *Conn) RemoteAddr() netip.AddrPort {
	if c.state.Load() == stateClosed {
		return netip.AddrPort{}
	}
	return c.peer()
}

// peer returns the client's address: what a trusted proxy says, or where the
// connection comes from.
func (c *Conn) peer() netip.AddrPort {
	c.mu.Lock()
	ext := c.ext
	c.mu.Unlock()
	if ext != nil && ext.peer.IsValid() {
		return ext.peer
	}
	return poller.PeerAddr(int(c.fd))
}

// Send sends a message to this peer alone. What the socket doesn't take at
// once waits in the backlog. Text has to be valid UTF-8.
func (c *Conn) Send(t MessageType, payload []byte) {
	f := newFrame(t, payload)
	form := f.In(c.encoding(), c.shard.server.encode)
	c.mu.Lock()
	c.sendLocked(form)
	c.mu.Unlock()
	f.Release()
}

// Publish sends a message to everyone who is subscribed to topic, on all
// servers of the bus. The connection itself needn't be. Text has to be valid
// UTF-8. A Bus whose own connection is congested may hold the caller up.
func (c *Conn) Publish(topic string, t MessageType, payload []byte) {
	c.shard.server.Publish(topic, t, payload)
}

// PublishKept is Publish, and has all servers keep the message for those who come by SubscribeLast: see
// Server.PublishKept.
func (c *Conn) PublishKept(topic string, t MessageType, payload []byte) {
	c.shard.server.PublishKept(topic, t, payload)
}

// Closing reports whether nothing is sent to the peer any more.
func (c *Conn) Closing() bool { return c.state.Load() >= stateClosing }

// Do has f run on the connection's loop, soon, as handlers do; not if the connection is closing by then.
func (c *Conn) Do(f func()) {
	c.shard.loop.Post(poller.Func(func() {
		if c.state.Load() == stateOpen {
			f()
		}
	}))
}

// Subscribe has the connection receive what is published to topic from now on.
// To be subscribed already is no error.
func (c *Conn) Subscribe(topic string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.subscribeLocked(topic)
}

// SubscribeWith is Subscribe, and sends a message before anything of the topic: who has
// received that misses nothing that is published from then on.
func (c *Conn) SubscribeWith(topic string, t MessageType, payload []byte) {
	f := newFrame(t, payload)
	form := f.In(c.encoding(), c.shard.server.encode)
	c.mu.Lock()
	c.subscribeLocked(topic)
	c.sendLocked(form)
	c.mu.Unlock()
	f.Release()
}

// SubscribeLast is Subscribe, and sends before anything of the topic the last n messages that PublishKept has sent to
// it, oldest first: between them and what comes there is no gap, and nothing twice. There may be fewer: as many as the
// server keeps (Config.KeepMessages, KeepBytes), and as fit into half of Config.MaxBacklog.
//
// then, if it isn't nil, is called when the subscription has taken effect: as a rule at once, by the caller. Where
// several servers are joined and this one may have been started later than the others, they are asked first what they
// have, which takes half a second at most; then is called on the connection's loop. For a connection that is subscribed
// already, or about to be, SubscribeLast does nothing.
func (c *Conn) SubscribeLast(topic string, n int, then func()) {
	c.mu.Lock()
	if c.state.Load() >= stateClosing || c.subscriptionLocked(topic) != nil || c.awaitsLocked(topic) {
		c.mu.Unlock()
		return
	}
	ready := func() { c.Do(func() { c.subscribeAwaited(topic, n, then) }) }
	if c.shard.server.kept.ask(topic, ready) {
		ext := c.extrasLocked()
		if ext.awaited == nil {
			ext.awaited = map[string]struct{}{}
		}
		ext.awaited[topic] = struct{}{}
		c.mu.Unlock()
		return
	}
	c.subscribeLastLocked(topic, n)
	c.mu.Unlock()
	if then != nil {
		then()
	}
}

// subscribeAwaited does what SubscribeLast couldn't do at once, unless there was an Unsubscribe since.
func (c *Conn) subscribeAwaited(topic string, n int, then func()) {
	c.mu.Lock()
	wanted := c.awaitsLocked(topic) && c.subscriptionLocked(topic) == nil
	if wanted {
		c.subscribeLastLocked(topic, n)
	}
	if c.ext != nil {
		delete(c.ext.awaited, topic)
	}
	c.mu.Unlock()
	if wanted && then != nil {
		defer c.recovered()
		then()
	}
}

// awaitsLocked reports whether the connection will be subscribed when a topic's past is known.
func (c *Conn) awaitsLocked(topic string) bool {
	if c.ext == nil {
		return false
	}
	_, ok := c.ext.awaited[topic]
	return ok
}

func (c *Conn) subscribeLastLocked(topic string, n int) {
	s := c.shard.server
	s.kept.mu.Lock()
	last := s.kept.lastLocked(topic, n, s.cfg.MaxBacklog/2)
	c.subscribeLocked(topic)
	s.kept.mu.Unlock()
	// A worker that has more of the topic waits for the connection's lock.
	for _, f := range last {
		c.queueLocked(f.In(c.encoding(), s.encode), 0)
		f.Release()
	}
}

func (c *Conn) subscribeLocked(topic string) {
	if c.state.Load() >= stateClosing || c.subscriptionLocked(topic) != nil {
		return
	}
	sub := &c.sub
	if c.bit&bitSubUsed != 0 {
		sub = new(broadcast.Subscription)
		ext := c.extrasLocked()
		if ext.more == nil {
			ext.more = map[string]*broadcast.Subscription{}
		}
		ext.more[topic] = sub
	}
	c.bit |= bitSubUsed
	c.shard.server.hub.Subscribe(topic, sub, (*sink)(c))
}

// Unsubscribe ends a subscription: nothing of the topic is sent any more, not
// even what was published before and is still under way. Not to be subscribed
// is no error.
func (c *Conn) Unsubscribe(topic string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ext != nil {
		delete(c.ext.awaited, topic)
	}
	sub := c.subscriptionLocked(topic)
	if sub == nil {
		return
	}
	c.shard.server.hub.Unsubscribe(sub)
	if sub != &c.sub {
		delete(c.ext.more, topic)
	}
}

func (c *Conn) subscriptionLocked(topic string) *broadcast.Subscription {
	if name, ok := c.sub.Topic(); ok && name == topic {
		return &c.sub
	}
	if c.ext != nil {
		return c.ext.more[topic]
	}
	return nil
}

func (c *Conn) unsubscribeAllLocked() {
	c.shard.server.hub.Unsubscribe(&c.sub)
	if c.ext != nil {
		for _, sub := range c.ext.more {
			c.shard.server.hub.Unsubscribe(sub)
		}
		c.ext.more = nil
	}
}

// Close ends the connection: what was sent before goes out first, then a close
// frame with this code and reason (RFC 6455 section 7.4; at most 123 bytes of
// reason). A code that must not be sent, such as 0, leaves both out. The peer
// has a few seconds to answer.
func (c *Conn) Close(code uint16, reason string) { c.closeFor(endServer, code, reason) }

// newFrame encodes a message once, for one connection or a million.
func newFrame(t MessageType, payload []byte) *broadcast.Frame {
	var head [10]byte
	return broadcast.NewFrame(wire.AppendHeader(head[:0], wire.OpCode(t), len(payload)), payload)
}

// newLastingFrame is newFrame for a message that is kept.
func newLastingFrame(t MessageType, payload []byte) *broadcast.Frame {
	var head [10]byte
	return broadcast.NewLastingFrame(wire.AppendHeader(head[:0], wire.OpCode(t), len(payload)), payload)
}

// The encodings of messages, and the windows they are compressed with.
const (
	encodingPlain broadcast.Encoding = iota
	encodingDeflate
	encodingSmall
)

var windows = [broadcast.Encodings]wire.Window{encodingDeflate: wire.FullWindow, encodingSmall: wire.SmallWindow}

// encodingFor returns the encoding for a window that was agreed on.
func encodingFor(w wire.Window) broadcast.Encoding {
	return broadcast.Encoding(slices.Index(windows[:], w))
}

// encode is the broadcast.Encoder: it compresses messages, once for everybody
// who takes them in that form.
func (s *Server) encode(frame []byte, e broadcast.Encoding) (f *broadcast.Frame) {
	wire.DeflateFrame(frame, windows[e], s.cfg.CompressMin, func(head, payload []byte) {
		f = broadcast.NewFrame(head, payload)
	})
	return f
}
