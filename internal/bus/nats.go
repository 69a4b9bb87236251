package bus

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"

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
	cfg  NATSConfig
	nc   *nats.Conn
	node Node
	lost atomic.Uint64
}

// DialNATS connects to a NATS server. The caller has to Close the NATS.
func DialNATS(cfg NATSConfig) (*NATS, error) {
	b := &NATS{cfg: cfg}
	var err error
	b.nc, err = nats.Connect(cfg.URL,
		nats.Name(cfg.Name),
		nats.MaxReconnects(-1),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrSlowConsumer) && sub != nil {
				if n, err := sub.Dropped(); err == nil {
					b.lost.Store(uint64(n))
				}
			}
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
	b.nc.Flush()
	b.nc.Close()
}

// Lost returns the number of messages that this server was too slow to take.
func (b *NATS) Lost() uint64 { return b.lost.Load() }

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
	sub, err := b.nc.Subscribe(b.cfg.Prefix+subjectMessages, b.onMessage)
	if err != nil {
		return fmt.Errorf("bus: subscribing: %w", err)
	}
	if err := sub.SetPendingLimits(-1, pendingBytes); err != nil {
		return fmt.Errorf("bus: setting limits: %w", err)
	}
	_, err = b.nc.Subscribe(b.cfg.Prefix+subjectCount, func(m *nats.Msg) {
		m.Respond(strconv.AppendInt(nil, int64(node.Subscribers(string(m.Data))), 10))
	})
	if err != nil {
		return fmt.Errorf("bus: subscribing: %w", err)
	}
	if err := b.nc.Flush(); err != nil { // so that the subscriptions stand
		return fmt.Errorf("bus: subscribing: %w", err)
	}
	return nil
}

// Publish implements Bus. A message on the bus is
//
//	type (1 byte) | length of topic (uvarint) | topic | payload
func (b *NATS) Publish(topic string, t wire.MessageType, payload []byte) error {
	buf := make([]byte, 0, 1+binary.MaxVarintLen32+len(topic)+len(payload))
	buf = append(buf, byte(t))
	buf = binary.AppendUvarint(buf, uint64(len(topic)))
	buf = append(buf, topic...)
	buf = append(buf, payload...)
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

var errMalformed = errors.New("bus: a message that no hubbub server of this version has sent")

func parse(p []byte) (topic string, t wire.MessageType, payload []byte, err error) {
	if len(p) < 2 {
		return "", 0, nil, errMalformed
	}
	t = wire.MessageType(p[0])
	n, size := binary.Uvarint(p[1:])
	if size <= 0 || n > uint64(len(p)-1-size) || t != wire.Text && t != wire.Binary {
		return "", 0, nil, errMalformed
	}
	p = p[1+size:]
	return string(p[:n]), t, p[n:], nil
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
	defer sub.Unsubscribe()
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
