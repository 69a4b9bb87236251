package rooms

import (
	"context"
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
)

// Config describes Rooms. Zero values have defaults, but for Rules, which are nobody's then.
type Config struct {
	Rules       Rules
	Anonymous   bool          // whether clients may connect that don't say who they are
	Version     string        // what clients are told of the server
	Ping        time.Duration // between pings to a client, whole seconds; default 25 s
	MaxChannels int           // for each client; default 128
	MaxName     int           // of a channel, bytes; default 255
	MaxCommands int           // in one message; default 1,000: clients that come back subscribe to all their channels in one
	MaxPresence int           // members up to which a channel has a list of them, and notices of who comes and goes; default 1,000
	Peers       Peers         // nil where there is one process
	Logger      *slog.Logger
}

// Rooms are the channels of a Server.
type Rooms struct {
	cfg    Config
	server *hubbub.Server
	node   hubbub.Node
	seed   maphash.Seed
	shards [64]shard
	asking chan struct{} // a place for each question to the other processes that is under way
	failed atomic.Uint64
}

// maxAsking is how many there may be at a time.
const maxAsking = 256

type shard struct {
	mu       sync.Mutex
	channels map[string]*channel
}

// channel is who of this process is subscribed to a channel. It exists while there is somebody.
type channel struct {
	name    string
	members []*subscription // guarded by the shard's lock
}

// New returns Rooms whose Endpoint is still to be served, by a Server that Attach gets.
func New(cfg Config) *Rooms {
	setDefault(&cfg.Ping, 25*time.Second)
	setDefault(&cfg.MaxChannels, 128)
	setDefault(&cfg.MaxName, 255)
	setDefault(&cfg.MaxCommands, 1000)
	setDefault(&cfg.MaxPresence, 1000)
	setDefault(&cfg.Logger, slog.Default())
	r := &Rooms{cfg: cfg, seed: maphash.MakeSeed(), asking: make(chan struct{}, maxAsking)}
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

// Attach tells the Rooms which Server serves their Endpoint. It has to be called once, before that serves.
func (r *Rooms) Attach(s *hubbub.Server) error {
	r.server, r.node = s, s.Node()
	if r.cfg.Peers == nil {
		return nil
	}
	if err := r.cfg.Peers.Answer(namePresence, r.answerPresence); err != nil {
		return fmt.Errorf("rooms: %w", err)
	}
	if err := r.cfg.Peers.Answer(nameStats, r.answerStats); err != nil {
		return fmt.Errorf("rooms: %w", err)
	}
	err := r.cfg.Peers.Listen(namePush, func(data []byte) {
		var p protocol.Push
		if err := p.UnmarshalVT(data); err != nil {
			r.complain("another process has sent what can't be read", err)
			return
		}
		r.deliver(&p, r.node.Deliver)
	})
	if err != nil {
		return fmt.Errorf("rooms: %w", err)
	}
	return nil
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

// push sends p to the subscribers of its channel in all processes, and reports whether it is on its way.
func (r *Rooms) push(p *protocol.Push) bool {
	if r.cfg.Peers == nil {
		r.deliver(p, r.server.Publish)
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

// deliver encodes p for each format that has subscribers here.
func (r *Rooms) deliver(p *protocol.Push, publish func(topic string, t hubbub.MessageType, message []byte)) {
	for f := range formats {
		topic := f.topic(p.Channel, p.Pub == nil)
		if r.node.Subscribers(topic) == 0 {
			continue
		}
		message, err := f.append(nil, &protocol.Reply{Push: p})
		if err != nil {
			r.complain("a channel's message could not be encoded", err)
			continue
		}
		publish(topic, f.message(), message)
	}
}

func (r *Rooms) shardOf(channel string) *shard {
	return &r.shards[maphash.String(r.seed, channel)%uint64(len(r.shards))]
}

// enter makes c a member of a channel, which has so many then.
func (r *Rooms) enter(c *client, name string, joins bool) (s *subscription, members int) {
	sh := r.shardOf(name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	ch := sh.channels[name]
	if ch == nil {
		ch = &channel{name: name}
		sh.channels[name] = ch
	}
	s = &subscription{client: c, channel: ch, slot: len(ch.members), joins: joins}
	ch.members = append(ch.members, s)
	return s, len(ch.members)
}

// leave ends a membership, and tells those who want to know.
func (r *Rooms) leave(s *subscription) {
	members := r.remove(s)
	if r.tells(s.channel.name, members) {
		r.push(&protocol.Push{Channel: s.channel.name, Leave: &protocol.Leave{Info: s.client.info()}})
	}
}

// remove takes s out of its channel, and returns how many members that had.
func (r *Rooms) remove(s *subscription) int {
	sh := r.shardOf(s.channel.name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	members := s.channel.members
	last := len(members) - 1
	members[s.slot] = members[last]
	members[s.slot].slot = s.slot
	members[last] = nil
	s.channel.members = members[:last]
	if last == 0 {
		delete(sh.channels, s.channel.name)
	}
	return len(members)
}

// tells reports whether there are notices of who comes to a channel with so many members, and goes.
func (r *Rooms) tells(name string, members int) bool {
	ns, _ := r.cfg.Rules.of(name)
	return ns.JoinLeave && members <= r.cfg.MaxPresence
}
