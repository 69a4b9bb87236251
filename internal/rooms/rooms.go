package rooms

import (
	"context"
	"crypto/rand"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/centrifugal/protocol"

	"hubbub"
)

// Peers joins the Rooms of several processes. *bus.NATS is one.
type Peers interface {
	// Listen has f called, one at a time, with what any process has sent by that name, this one included,
	// in the order in which that process has.
	Listen(name string, f func(data []byte)) error
	// Send sends to all processes, without waiting for them.
	Send(name string, data []byte) error
	// Answer has f answer what is asked by that name.
	Answer(name string, f func(question []byte) []byte) error
	// Ask returns the answers of all processes, or an error if some are missing.
	Ask(ctx context.Context, name string, question []byte) ([][]byte, error)
}

// What Peers carry.
const (
	namePush     = "rooms"          // a protocol.Push in Protobuf
	namePresence = "rooms.presence" // a channel's name, and a protocol.PresenceResult
	nameStats    = "rooms.stats"    // a channel's name, and a crowd in JSON
	nameChannels = "rooms.channels" // a pattern, and a map of channels in JSON
	nameInfo     = "rooms.info"     // nothing, and an Info in JSON
	nameOrder    = "rooms.order"    // an order in JSON
)

// Config describes Rooms. Zero values have defaults, but for Rules, which are nobody's then.
type Config struct {
	Rules       Rules
	Anonymous   bool           // whether clients may connect that don't say who they are
	Verifier    Verifier       // of tokens, by which clients say who they are and what they may; nil for none
	Version     string         // what clients are told of the server
	Name        string         // of this process, for backends
	Ping        time.Duration  // between pings to a client, whole seconds; default 25 s
	MaxChannels int            // for each client; default 128
	MaxName     int            // of a channel, bytes; default 255
	MaxCommands int            // in one message; default 1,000: clients that come back subscribe to all their channels in one
	MaxPresence int            // members up to which a channel has a list of them, and notices of who comes and goes; default 1,000
	Peers       Peers          // nil where there is one process
	Logs        map[string]Log // of the namespaces that have a HistorySize
	Logger      *slog.Logger
}

// Rooms are the channels of a Server.
type Rooms struct {
	cfg     Config
	server  *hubbub.Server
	path    string
	uid     string
	began   time.Time
	seed    maphash.Seed
	shards  [64]shard
	readers readers
	asking  chan struct{} // a place for each question to the other processes that is under way
	failed  atomic.Uint64
	stats   stats
}

// maxAsking is how many there may be at a time.
const maxAsking = 256

type shard struct {
	mu       sync.Mutex // guards all that follows
	channels map[string]*channel
	bytes    int // about as many are kept of publications
	swept    time.Time
}

// channel is who of this process is subscribed to a channel, and what is known of its past. It exists while there is
// somebody, or something was asked of its past lately. Guarded by the shard's lock.
type channel struct {
	name    string
	members []*subscription
	past    *past // nil if nobody has asked for it
}

// New returns Rooms whose Endpoint is still to be served, by a Server that Attach gets.
func New(cfg Config) *Rooms {
	setDefault(&cfg.Ping, 25*time.Second)
	setDefault(&cfg.MaxChannels, 128)
	setDefault(&cfg.MaxName, 255)
	setDefault(&cfg.MaxCommands, 1000)
	setDefault(&cfg.MaxPresence, 1000)
	setDefault(&cfg.Logger, slog.Default())
	r := &Rooms{cfg: cfg, uid: rand.Text(), began: time.Now(), seed: maphash.MakeSeed(), asking: make(chan struct{}, maxAsking)}
	for i := range r.shards {
		r.shards[i].channels = make(map[string]*channel)
	}
	return r
}

func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// Attach tells the Rooms which Server serves their Endpoint, and at which path. It has to be called once, before that serves.
func (r *Rooms) Attach(ctx context.Context, s *hubbub.Server, path string) error {
	r.server, r.path = s, path
	for name, log := range r.cfg.Logs {
		if err := log.Follow(ctx, follower{r, name}); err != nil {
			return fmt.Errorf("rooms: %w", err)
		}
	}
	if r.cfg.Peers == nil {
		return nil
	}
	for name, answer := range map[string]func([]byte) []byte{
		namePresence: r.answerPresence, nameStats: r.answerStats, nameChannels: r.answerChannels, nameInfo: r.answerInfo,
	} {
		if err := r.cfg.Peers.Answer(name, answer); err != nil {
			return fmt.Errorf("rooms: %w", err)
		}
	}
	for name, hear := range map[string]func([]byte){namePush: r.deliverData, nameOrder: r.obeyData} {
		if err := r.cfg.Peers.Listen(name, hear); err != nil {
			return fmt.Errorf("rooms: %w", err)
		}
	}
	return nil
}

// deliverData is deliver for what another process has sent.
func (r *Rooms) deliverData(data []byte) {
	var p protocol.Push
	if err := p.UnmarshalVT(data); err != nil {
		r.complain("another process has sent what can't be read", err)
		return
	}
	r.server.Await()
	r.deliver(&p)
}

// Endpoint is what is to be served at /connection/websocket.
func (r *Rooms) Endpoint() hubbub.Endpoint {
	session := func(c *hubbub.Conn) *client { return c.Session().(*client) }
	receive := func(as hubbub.MessageType) func(*hubbub.Conn, []byte) {
		return func(c *hubbub.Conn, message []byte) { session(c).receive(as, message) }
	}
	return hubbub.Endpoint{
		OnOpen: func(c *hubbub.Conn, req *hubbub.Request) error {
			c.SetSession(&client{rooms: r, conn: c, format: formatOf(req)})
			return nil
		},
		OnText:       receive(hubbub.Text),
		OnBinary:     receive(hubbub.Binary),
		OnClose:      func(c *hubbub.Conn, _ uint16, _ string) { session(c).gone() },
		Ping:         func(c *hubbub.Conn) { session(c).ping() },
		Keepalive:    r.cfg.Ping,
		Subprotocols: []string{subprotocolJSON, subprotocolProtobuf},
	}
}

// complain logs an error, the 1st, 2nd, 4th, 8th and so on.
func (r *Rooms) complain(what string, err error) {
	if n := r.failed.Add(1); n&(n-1) == 0 {
		r.cfg.Logger.Error(what, "error", err, "errors", n)
	}
}

// publish publishes in a channel that has no log.
func (r *Rooms) publish(channel string, pub *protocol.Publication) *protocol.Error {
	if !r.push(&protocol.Push{Channel: channel, Pub: pub}) {
		return errInternal
	}
	r.stats.published.Add(1)
	return nil
}

// push sends p to the subscribers of its channel in all processes, and reports whether it is on its way.
func (r *Rooms) push(p *protocol.Push) bool {
	if r.cfg.Peers == nil {
		r.deliver(p)
		return true
	}
	data, err := p.MarshalVT()
	if err == nil {
		err = r.cfg.Peers.Send(namePush, data)
	}
	if err != nil {
		r.complain("a channel's message could not be sent", err)
	}
	return err == nil
}

// deliver sends p to the subscribers of this process.
func (r *Rooms) deliver(p *protocol.Push) {
	k := publications
	if p.Pub == nil {
		k = comings
	}
	for f := range formats {
		r.send(f, k, p)
	}
}

// send encodes p for a format, and publishes it, if there are subscribers.
func (r *Rooms) send(f format, k kind, p *protocol.Push) {
	topic := f.topic(p.Channel, k)
	if r.server.SubscribersHere(topic) == 0 {
		return
	}
	message, err := f.append(nil, &protocol.Reply{Push: p})
	if err != nil {
		r.complain("a channel's message could not be encoded", err)
		return
	}
	ns, _ := r.cfg.Rules.of(p.Channel)
	r.server.PublishHere(topic, f.message(), message, ns.Lossy)
}

func (r *Rooms) shardOf(channel string) *shard {
	return &r.shards[maphash.String(r.seed, channel)%uint64(len(r.shards))]
}

// open returns a channel, made if there is none.
func (sh *shard) open(name string) *channel {
	ch := sh.channels[name]
	if ch == nil {
		ch = &channel{name: name}
		sh.channels[name] = ch
	}
	return ch
}

// enter makes s a member of a channel.
func (r *Rooms) enter(s *subscription, name string) {
	sh := r.shardOf(name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	s.channel = sh.open(name)
	s.slot = int32(len(s.channel.members))
	s.channel.members = append(s.channel.members, s)
}

// leave ends a membership, and tells those who want to know.
func (r *Rooms) leave(s *subscription) {
	members, settled := r.remove(s)
	if settled && r.tells(s.channel.name, members) {
		r.push(&protocol.Push{Channel: s.channel.name, Leave: &protocol.Leave{Info: s.info()}})
	}
}

// remove takes s out of its channel. It returns how many members that had, and whether s was told that it is one.
func (r *Rooms) remove(s *subscription) (members int, settled bool) {
	sh := r.shardOf(s.channel.name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	ch := s.channel
	last := len(ch.members) - 1
	ch.members[s.slot] = ch.members[last]
	ch.members[s.slot].slot = s.slot
	ch.members[last] = nil
	ch.members = ch.members[:last]
	s.slot = gone
	if last == 0 && ch.past == nil {
		delete(sh.channels, ch.name)
	}
	return last + 1, s.state != waitingSub
}

// tells reports whether there are notices of who comes to a channel with so many members, and goes.
func (r *Rooms) tells(name string, members int) bool {
	ns, _ := r.cfg.Rules.of(name)
	return ns.JoinLeave && members <= r.cfg.MaxPresence
}
