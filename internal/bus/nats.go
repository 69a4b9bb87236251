package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

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
)

// NATSConfig says how to join a bus over NATS.
type NATSConfig struct {
	URL    string // one or several, separated by commas
	Prefix string // of the subjects; servers that share it are joined
	Name   string // of the connection, for the NATS server's operator
	// Nodes is the number of servers on the bus, zero if that isn't known: the
	// Subscribers of all can't be added up then.
	Nodes int
	// OnError is told of lost messages and lost connections, each once.
	OnError func(error)
}

// NATS is a Bus over a NATS server or cluster. Every server gets every message:
// one subject carries all topics, so that a subscription to a topic takes
// effect at once, without a round trip.
type NATS struct {
	cfg  NATSConfig
	nc   *nats.Conn
	node Node

	mu        sync.Mutex
	listening []*nats.Subscription // whose messages may be lost; guarded by mu
}

// DialNATS connects to a NATS server. The caller has to Close the NATS.
func DialNATS(cfg NATSConfig) (*NATS, error) {
	b := &NATS{cfg: cfg}
	var err error
	b.nc, err = nats.Connect(cfg.URL,
		nats.Name(cfg.Name),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(), // the operator may still put it right
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			cfg.OnError(fmt.Errorf("bus: %w", err))
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
	return b, nil
}

// Close ends the connection, after what was published has been sent.
func (b *NATS) Close() {
	if b.nc.IsConnected() { // Flush would wait in vain for a server that is away
		b.nc.Flush()
	}
	b.nc.Close()
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

// Subscribers implements Bus: it asks every server and waits for all to answer.
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

// Answer has f answer what any of the servers asks by that name.
func (b *NATS) Answer(name string, f func(question []byte) []byte) error {
	_, err := b.nc.Subscribe(b.subject(name), func(m *nats.Msg) {
		_ = m.Respond(f(m.Data)) // who asked notices that an answer is missing
	})
	return b.attached(err)
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

// Ask asks all servers and returns their answers. It is an error if one is missing.
func (b *NATS) Ask(ctx context.Context, name string, question []byte) ([][]byte, error) {
	if b.cfg.Nodes == 0 {
		return nil, errors.New("bus: the number of servers isn't known, so they can't all be asked")
	}
	inbox := b.nc.NewInbox()
	sub, err := b.nc.SubscribeSync(inbox)
	if err != nil {
		return nil, fmt.Errorf("bus: asking: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := b.nc.PublishRequest(b.subject(name), inbox, question); err != nil {
		return nil, fmt.Errorf("bus: asking: %w", err)
	}
	var answers [][]byte
	for range b.cfg.Nodes {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return nil, fmt.Errorf("bus: %d of %d servers have answered: %w", len(answers), b.cfg.Nodes, err)
		}
		answers = append(answers, m.Data)
	}
	return answers, nil
}

func (b *NATS) subject(name string) string { return b.cfg.Prefix + "." + name }
