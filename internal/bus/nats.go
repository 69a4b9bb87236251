package bus

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"

	"hubbub/internal/wire"
)

// pendingBytes bounds what waits for a server that takes messages more slowly
// than they come from NATS. Beyond it messages are lost, and counted.
const pendingBytes = 256 << 20

// What is sent by the bus's own names.
const (
	nameMessages = "messages"
	nameCount    = "subscribers"
	nameServers  = "servers"
)

// NATSConfig says how to join a bus over NATS.
type NATSConfig struct {
	URL string // one or several, separated by commas
	// In is a server in this very process, instead of URL.
	In     *Embedded
	Prefix string // of the subjects; servers that share it are joined
	Name   string // of the connection, for the NATS server's operator
	ID     string // of this server among those that are joined, from NewID; empty for a new one
	// OnError is told of lost messages and lost connections, each once.
	OnError func(error)
	// Room returns an error while nothing may be appended to logs, for want of disk space; nil for always.
	Room func() error
}

// NATS is a Bus over a NATS server or cluster. Every server gets every message:
// one subject carries all topics, so that a subscription to a topic takes
// effect at once, without a round trip.
type NATS struct {
	// Static after construction.
	cfg     NATSConfig
	nc      *nats.Conn
	acks    *acks
	roster  *roster
	answers string // the prefix of the subjects to which answers come, with its dot
	clock   clock

	node    Node
	own     string // a subject that nobody else listens to; static after Join
	joined  atomic.Bool
	beating sync.WaitGroup
	leaving chan struct{} // closed by Close
	closing sync.Once

	mu        sync.Mutex           // guards what follows
	listening []*nats.Subscription // whose messages may be lost
	gaps      []func()             // called when some may have been
}

// DialNATS connects to a NATS server. The caller has to Close the NATS.
func DialNATS(cfg NATSConfig) (*NATS, error) { return dialNATS(cfg, realClock) }

func dialNATS(cfg NATSConfig, clock clock) (*NATS, error) {
	if cfg.ID == "" {
		cfg.ID = NewID()
	}
	b := &NATS{cfg: cfg, roster: newRoster(cfg.ID), clock: clock, leaving: make(chan struct{})}
	var err error
	where := nats.Option(func(*nats.Options) error { return nil })
	if cfg.In != nil {
		cfg.URL, where = cfg.In.URL(), cfg.In.within()
	}
	b.nc, err = nats.Connect(cfg.URL,
		where,
		nats.Name(cfg.Name),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(), // the operator may still put it right
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			cfg.OnError(fmt.Errorf("bus: %w", err))
			b.gap()
		}),
		nats.ReconnectHandler(func(*nats.Conn) {
			if b.joined.Load() {
				b.announce(note{ID: b.roster.id}) // others may have given it up
			}
			b.gap()
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				cfg.OnError(fmt.Errorf("bus: connection lost, messages are missed until it is back: %w", err))
			}
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("bus: connecting to NATS: %w", err)
	}
	b.acks, err = newAcks(b.nc)
	if err == nil {
		err = b.listenForAnswers()
	}
	if err != nil {
		b.nc.Close()
		return nil, fmt.Errorf("bus: subscribing: %w", err)
	}
	return b, nil
}

// onGap has f called when messages may have been lost.
func (b *NATS) onGap(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gaps = append(b.gaps, f)
}

func (b *NATS) gap() {
	b.mu.Lock()
	gaps := b.gaps
	b.mu.Unlock()
	for _, f := range gaps {
		f()
	}
}

// room returns an error if nothing may be appended to logs.
func (b *NATS) room() error {
	if b.cfg.Room == nil {
		return nil
	}
	return b.cfg.Room()
}

// Close leaves the other servers, and ends the connection after what was published has been sent.
func (b *NATS) Close() { b.closing.Do(b.close) }

func (b *NATS) close() {
	b.leave()
	if b.nc.IsConnected() { // Flush would wait in vain for a server that is away
		b.nc.Flush()
	}
	b.nc.Close()
	b.acks.close()
}

// Lost returns the number of messages that this server was too slow to take.
func (b *NATS) Lost() (n uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, sub := range b.listening {
		if lost, err := sub.Dropped(); err == nil { // else it is closed
			n += uint64(lost)
		}
	}
	return n
}

// Check returns an error while there is no connection.
func (b *NATS) Check() error {
	if !b.nc.IsConnected() {
		return fmt.Errorf("bus: not connected to NATS (%v)", b.nc.Status())
	}
	return nil
}

// Attach implements Bus.
func (b *NATS) Attach(node Node) error {
	b.node = node
	if err := b.Listen(nameMessages, b.onMessage); err != nil {
		return err
	}
	return b.Answer(nameCount, func(topic []byte) []byte {
		return strconv.AppendInt(nil, int64(node.Subscribers(string(topic))), 10)
	})
}

// Publish implements Bus.
func (b *NATS) Publish(topic string, t wire.MessageType, payload []byte) error {
	buf := encode(topic, t, payload)
	if err := b.nc.Publish(b.subject(nameMessages), buf); err != nil {
		return fmt.Errorf("bus: publishing %d bytes: %w", len(buf), err)
	}
	return nil
}

func (b *NATS) onMessage(data []byte) {
	topic, t, payload, err := parse(data)
	if err != nil {
		b.cfg.OnError(err)
		return
	}
	b.node.Deliver(topic, t, payload)
}

// Subscribers implements Bus: it asks every server.
func (b *NATS) Subscribers(ctx context.Context, topic string) (int, error) {
	answers, err := b.Ask(ctx, nameCount, []byte(topic))
	if err != nil {
		return 0, err
	}
	total := 0
	for _, answer := range answers {
		n, err := strconv.Atoi(string(answer))
		if err != nil {
			return 0, fmt.Errorf("bus: %q is no number of subscribers", answer)
		}
		total += n
	}
	return total, nil
}

// Listen has f called with what any of the servers sends by that name, this one included: one at a time,
// and what one server sends in its order.
func (b *NATS) Listen(name string, f func(data []byte)) error {
	sub, err := b.nc.Subscribe(b.subject(name), func(m *nats.Msg) { f(m.Data) })
	if err == nil {
		err = sub.SetPendingLimits(-1, pendingBytes)
		b.mu.Lock()
		b.listening = append(b.listening, sub)
		b.mu.Unlock()
	}
	return b.attached(err)
}

// Send sends to all servers, without waiting for them.
func (b *NATS) Send(name string, data []byte) error {
	if err := b.nc.Publish(b.subject(name), data); err != nil {
		return fmt.Errorf("bus: sending %d bytes: %w", len(data), err)
	}
	return nil
}

// attached waits until a subscription stands, if that has worked so far.
func (b *NATS) attached(err error) error {
	if err == nil {
		err = b.nc.Flush()
	}
	if err != nil {
		return fmt.Errorf("bus: subscribing: %w", err)
	}
	return nil
}

func (b *NATS) subject(name string) string { return b.cfg.Prefix + "." + name }
