// Coder is a hub on coder/websocket, for comparison with the server: the architecture of the library's
// own chat example (subscribers with a buffered channel each, to which a message is handed under a
// mutex, and closeSlow for those whose channel is full), with a goroutine that reads from each
// connection besides the one that writes, since here clients post on it.
//
// From the library's documentation: the context isn't the request's; SetReadLimit, since the default
// is below the largest message; no compression, which is its default; CloseNow for slow clients, meant
// for those to whom no closing handshake is worth its cost. The example sets a deadline for each
// write. This doesn't need one, as closeSlow ends a write that hangs, and contexts that are never done
// cost the library nothing. A channel holds as many messages as gorilla's here, the example's holds
// 16. The library has no prepared messages and buffers of net/http's size, as its comparison with
// gorilla says.
//
// It serves what the load generator needs and nothing more: /ws relays every message as it came to
// everyone on the topic, /echo sends it back. No keepalive, as is the server's own default.
package main

import (
	"context"
	"net/http"

	"github.com/coder/websocket"

	"hubbub/bench/peers/internal/peer"
)

const sendQueue = 256 // messages a client may be behind

func main() {
	peer.Main("coder", "127.0.0.1:8086", peer.HTTP(handler()))
}

func handler() http.Handler {
	var topics peer.Topics[*subscriber]
	ws := func(w http.ResponseWriter, r *http.Request, topic string) {
		if conn := accept(w, r); conn != nil {
			subscribe(topics.Of(topic), conn)
		}
	}
	return peer.Mux(ws, func(w http.ResponseWriter, r *http.Request) {
		if conn := accept(w, r); conn != nil {
			go echo(conn)
		}
	})
}

// accept returns nil if the request was refused.
func accept(w http.ResponseWriter, r *http.Request) *websocket.Conn {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return nil // Accept has answered
	}
	conn.SetReadLimit(peer.MaxMessage)
	return conn
}

// message is shared by everyone it goes to.
type message struct {
	kind websocket.MessageType
	data []byte
}

// subscriber is one connection.
type subscriber struct {
	topic    *peer.Topic[*subscriber]
	conn     *websocket.Conn
	messages chan *message // closed by whoever removes the subscriber from the topic
}

// subscribe makes the connection a member of the topic.
func subscribe(topic *peer.Topic[*subscriber], conn *websocket.Conn) {
	s := &subscriber{topic: topic, conn: conn, messages: make(chan *message, sendQueue)}
	topic.Join(s)
	// In goroutines of their own, so that the one of the HTTP request and its stack can go.
	go s.read()
	go s.write()
}

// read publishes what the client sends until the connection fails.
func (s *subscriber) read() {
	defer func() {
		if s.topic.Leave(s) {
			close(s.messages)
		}
		s.close()
	}()
	for {
		kind, data, err := s.conn.Read(context.Background())
		if err != nil {
			return
		}
		m := &message{kind, data}
		s.topic.Relay(func(to *subscriber) bool { return to.queue(m) })
	}
}

// queue returns false if the subscriber is too slow for the message, and closes it.
func (s *subscriber) queue(m *message) bool {
	select {
	case s.messages <- m:
		return true
	default:
		close(s.messages)
		go s.close()
		return false
	}
}

// write sends what was queued until the subscriber is removed or the connection fails.
func (s *subscriber) write() {
	defer s.close() // fails the reader
	for m := range s.messages {
		if s.conn.Write(context.Background(), m.kind, m.data) != nil {
			return
		}
	}
}

// close may be called more than once: only the first call can tell anything, and nobody would hear.
func (s *subscriber) close() {
	_ = s.conn.CloseNow()
}

// echo sends everything back until the connection fails.
func echo(conn *websocket.Conn) {
	defer func() { _ = conn.CloseNow() }() // the connection has failed anyway
	for {
		kind, data, err := conn.Read(context.Background())
		if err != nil {
			return
		}
		if conn.Write(context.Background(), kind, data) != nil {
			return
		}
	}
}
