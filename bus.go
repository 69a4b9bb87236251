package hubbub

import (
	"encoding/binary"
	"sync"

	"hubbub/internal/broadcast"
	"hubbub/internal/bus"
	"hubbub/internal/wire"
)

// Bus joins several Servers, in processes or machines of their own, so that
// they are one to those who connect.
type Bus = bus.Bus

// Node is what a Server is to its Bus.
type Node = bus.Node

// keptID is the size in bytes of what goes before the payload of a message that is kept, between servers: a random
// number, by which they can tell that they have the same message.
const keptID = 8

// node is the Server as its bus sees it.
type node struct {
	hub    *broadcast.Hub
	kept   *keeper
	relief *relief
}

func (n node) Deliver(topic string, t MessageType, payload []byte) {
	n.relief.await(n.hub.Overloaded)
	if t&wire.Kept == 0 {
		publish(n.hub, topic, t, payload)
	} else if len(payload) >= keptID {
		n.kept.publish(topic, binary.BigEndian.Uint64(payload), t&^wire.Kept, payload[keptID:])
	}
}

// Await waits while the server has more to send than it can. It must not be called on a loop.
func (s *Server) Await() { s.relief.await(s.hub.Overloaded) }

// PublishHere sends a message to the subscribers that this server has itself, whatever its bus. Those who
// don't keep up go without it if it is lossy, whatever their endpoint's SlowPolicy. It doesn't wait: who
// publishes much calls Await before. For those who join servers themselves.
func (s *Server) PublishHere(topic string, t MessageType, payload []byte, lossy bool) {
	f := newFrame(t, payload)
	f.Lossy = lossy
	s.hub.Publish(topic, f)
	f.Release()
}

// SubscribersHere returns the number of subscribers that this server has itself.
func (s *Server) SubscribersHere(topic string) int { return s.hub.Subscribers(topic) }

func (n node) Subscribers(topic string) int { return n.hub.Subscribers(topic) }

func publish(h *broadcast.Hub, topic string, t MessageType, payload []byte) {
	f := newFrame(t, payload)
	h.Publish(topic, f)
	f.Release()
}

// relief lets goroutines wait for an overload to pass, or for the server to
// end.
type relief struct {
	mu     sync.Mutex
	passed chan struct{} // closed and replaced whenever an overload has passed
	over   bool
}

func (r *relief) signal(over bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.passed != nil {
		close(r.passed)
		r.passed = nil
	}
	r.over = r.over || over
}

func (r *relief) await(overloaded func() bool) {
	for overloaded() {
		r.mu.Lock()
		if r.over {
			r.mu.Unlock()
			return
		}
		if r.passed == nil {
			r.passed = make(chan struct{})
		}
		passed := r.passed
		r.mu.Unlock()
		if !overloaded() { // it may have passed before we had the channel
			return
		}
		<-passed
	}
}
