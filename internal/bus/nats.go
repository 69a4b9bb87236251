package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"

	"hubbub/internal/wire"
)

// pendingBytes bounds what waits for a server that takes messages more slowly
// than they come from NATS. Beyond it messages are lost, and counted.
const pendingBytes = 256 << 20

// Subjects, below the prefix.
const (
	subjectMessages = ".messages"
	subjectCount    = ".subscribers"
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
	cfg      NATSConfig
	nc       *nats.Conn
	node     Node
	messages *nats.Subscription
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

// Lost returns the number of messages that this server was too slow to take. It
// must not be called before Attach.
func (b *NATS) Lost() uint64 {
	n, err := b.messages.Dropped()
	if err != nil {
		return 0 // closed
	}
	return uint64(n)
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
	var err error
	if b.messages, err = b.nc.Subscribe(b.cfg.Prefix+subjectMessages, b.onMessage); err != nil {
		return fmt.Errorf("bus: subscribing: %w", err)
	}
	if err := b.messages.SetPendingLimits(-1, pendingBytes); err != nil {
		return fmt.Errorf("bus: setting limits: %w", err)
	}
	_, err = b.nc.Subscribe(b.cfg.Prefix+subjectCount, func(m *nats.Msg) {
		_ = m.Respond(strconv.AppendInt(nil, int64(node.Subscribers(string(m.Data))), 10)) // who asked notices that an answer is missing
	})
	if err != nil {
		return fmt.Errorf("bus: subscribing: %w", err)
	}
	if err := b.nc.Flush(); err != nil { // so that the subscriptions stand
		return fmt.Errorf("bus: subscribing: %w", err)
	}
	return nil
}

// Publish implements Bus.
func (b *NATS) Publish(topic string, t wire.MessageType, payload []byte) error {
	buf := encode(topic, t, payload)
	if err := b.nc.Publish(b.cfg.Prefix+subjectMessages, buf); err != nil {
		return fmt.Errorf("bus: publishing %d bytes: %w", len(buf), err)
	}
	return nil
}

func (b *NATS) onMessage(m *nats.Msg) {
	topic, t, payload, err := parse(m.Data)
	if err != nil {
		b.cfg.OnError(err)
		return
	}
	b.node.Deliver(topic, t, payload)
}

// Subscribers implements Bus: it asks every server and waits for all to answer.
func (b *NATS) Subscribers(ctx context.Context, topic string) (int, error) {
	if b.cfg.Nodes == 0 {
		return 0, errors.New("bus: the number of servers isn't known, so their subscribers can't be added up")
	}
	inbox := b.nc.NewInbox()
	sub, err := b.nc.SubscribeSync(inbox)
	if err != nil {
		return 0, fmt.Errorf("bus: asking for subscribers: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := b.nc.PublishRequest(b.cfg.Prefix+subjectCount, inbox, []byte(topic)); err != nil {
		return 0, fmt.Errorf("bus: asking for subscribers: %w", err)
	}
	total := 0
	for answers := range b.cfg.Nodes {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return 0, fmt.Errorf("bus: %d of %d servers said how many subscribers they have: %w", answers, b.cfg.Nodes, err)
		}
		n, err := strconv.Atoi(string(m.Data))
		if err != nil {
			return 0, fmt.Errorf("bus: %q is no number of subscribers", m.Data)
		}
		total += n
	}
	return total, nil
}
