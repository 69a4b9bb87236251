package hubbub

import (
	"sync"

	"hubbub/internal/broadcast"
	"hubbub/internal/bus"
)

// Bus joins several Servers, in processes or machines of their own, so that
// they are one to those who connect.
type Bus = bus.Bus

// Node is what a Server is to its Bus.
type Node = bus.Node

// node is the Server as its bus sees it.
type node struct {
	hub    *broadcast.Hub
	relief *relief
}

func (n node) Deliver(topic string, t MessageType, payload []byte) {
	n.relief.await(n.hub.Overloaded)
	publish(n.hub, topic, t, payload)
}

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
