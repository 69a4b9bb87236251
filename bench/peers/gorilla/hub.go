package main

import (
	"sync"

	"github.com/gorilla/websocket"
)

// hub has the clients of one topic. Only its run goroutine touches the set.
type hub struct {
	register   chan *client
	unregister chan *client
	broadcast  chan *websocket.PreparedMessage
	clients    map[*client]bool
}

func newHub() *hub {
	return &hub{
		register:   make(chan *client),
		unregister: make(chan *client),
		broadcast:  make(chan *websocket.PreparedMessage),
		clients:    make(map[*client]bool),
	}
}

func (h *hub) run() {
	for {
		select {
		case c := <-h.register:
			h.clients[c] = true
		case c := <-h.unregister:
			h.remove(c)
		case message := <-h.broadcast:
			for c := range h.clients {
				select {
				case c.send <- message:
				default: // its queue is full: it would hold up the others
					h.remove(c)
				}
			}
		}
	}
}

// remove forgets the client and ends its writer; the second time it does nothing.
func (h *hub) remove(c *client) {
	if h.clients[c] {
		delete(h.clients, c)
		close(c.send)
	}
}

// hubs are the hubs by topic. A hub stays for good: a load generator uses few topics.
type hubs struct {
	mu      sync.Mutex // guards byTopic
	byTopic map[string]*hub
}

// of returns the topic's hub, started if it is new.
func (hs *hubs) of(topic string) *hub {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h := hs.byTopic[topic]
	if h == nil {
		if hs.byTopic == nil {
			hs.byTopic = make(map[string]*hub)
		}
		h = newHub()
		hs.byTopic[topic] = h
		go h.run()
	}
	return h
}
