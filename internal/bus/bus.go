// Package bus joins servers: what is published in one reaches the subscribers
// of all. The processes of one machine are joined by a NATS server that their
// supervisor embeds (embedded.go); machines by a NATS cluster (nats.go). Who is
// there is known from beats (join.go, roster.go). What is to be kept goes into logs
// (log.go, read.go, follow.go).
package bus

import (
	"context"

	"hubbub/internal/wire"
)

// Bus joins several servers, in processes or machines of their own, so that
// they are one to those who connect.
type Bus interface {
	// Attach makes the server known to the bus. It is called once, before
	// anything else. From then on node gets every message published by any of
	// the servers, this one included: once, and those of one server in their
	// order.
	Attach(node Node) error
	// Publish sends a message to all servers, without waiting for them. The
	// payload is only valid until it returns. The type is passed on as it is:
	// it tells what is to be kept, too.
	Publish(topic string, t wire.MessageType, payload []byte) error
	// Subscribers adds up the subscribers that the servers have for a topic.
	// It returns an error rather than a number that leaves out a server that
	// is alive and can be reached.
	Subscribers(ctx context.Context, topic string) (int, error)
}

// Node is what a server is to its Bus. Its methods may be called from any
// goroutine, Deliver from one at a time.
type Node interface {
	// Deliver hands a message to the server's own subscribers. It waits while
	// the server has more to send than it can.
	Deliver(topic string, t wire.MessageType, payload []byte)
	// Subscribers returns the number of the server's own subscribers.
	Subscribers(topic string) int
}
