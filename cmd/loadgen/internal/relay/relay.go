// Package relay is a WebSocket server for the load generator's tests: as simple
// as can be, a goroutine per connection, and able to do everything wrong that
// the load generator has to notice.
package relay

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// Relay sends what one connection sends on a topic to all on that topic. Its
// fields are to be set before Start.
type Relay struct {
	// Fault, if set, says what a subscriber gets instead of a message. Both are
	// counted from 0.
	Fault func(message, subscriber int, p []byte) [][]byte
	// Before, if set, is called before a message goes out, with the subscribers.
	Before func(message int, subscribers []net.Conn)
	// Refuse, if set, is asked at each handshake, counted from 0.
	Refuse func(n int) error
	// Opened, if set, is called with each connection that has subscribed.
	Opened func(n int, c net.Conn)
	// HangUp, if set, is asked for each TCP connection, counted from 0, whether
	// to close it without a word.
	HangUp func(n int) bool
	// Wrap, if set, is asked for what to use instead of each TCP connection.
	Wrap func(c net.Conn) net.Conn
	// Closed, if set, is told of each close frame.
	Closed func()
	// Pong, if set, is told of each pong.
	Pong func(p []byte)
	// Rooms has clients speak the Centrifuge client protocol in JSON. A message is
	// the data of a publication then.
	Rooms bool
	// Answer, if set, says what connection n, counted from 0, gets for an answer
	// to a command of Rooms instead of this one; empty: none.
	Answer func(n int, command uint32, answer string) string
	// Echo has a connection get back what it sends, and nobody else.
	Echo bool
	// Chop has frames sent in pieces of this many bytes, each by itself.
	Chop int

	ln net.Listener
	wg sync.WaitGroup

	mu         sync.Mutex // guards what follows, and writing to subscribers
	topics     map[string][]net.Conn
	kept       map[string][]string // publications of Rooms, by channel
	conns      []net.Conn
	handshakes int
	messages   int
	stopped    bool
}

// Start listens on a free port of 127.0.0.1 until the test ends, and returns
// the URL.
func (r *Relay) Start(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.Serve(ln)
	t.Cleanup(r.Stop)
	return fmt.Sprintf("ws://%s/ws", ln.Addr())
}

// Serve takes connections from ln until Stop is called.
func (r *Relay) Serve(ln net.Listener) {
	r.ln, r.topics = ln, make(map[string][]net.Conn)
	r.wg.Go(r.accept)
}

// Stop closes the listener and all connections, as a server's death does. It may
// be called again.
func (r *Relay) Stop() {
	r.ln.Close()
	r.mu.Lock()
	r.stopped = true
	for _, c := range r.conns {
		c.Close()
	}
	r.mu.Unlock()
	r.wg.Wait()
}

func (r *Relay) accept() {
	for {
		c, err := r.ln.Accept()
		if err != nil {
			return
		}
		r.mu.Lock()
		n := len(r.conns)
		r.conns = append(r.conns, c)
		if r.stopped {
			c.Close()
		}
		r.mu.Unlock()
		if r.HangUp != nil && r.HangUp(n) {
			c.Close()
			continue
		}
		r.wg.Go(func() {
			wrapped := c
			if r.Wrap != nil {
				wrapped = r.Wrap(c)
			}
			if r.serve(wrapped) != nil { // the client has gone, or was refused
				c.Close()
			}
		})
	}
}

func (r *Relay) serve(c net.Conn) error {
	var topic string
	var number int
	var answering bool // mu is held
	up := ws.Upgrader{OnRequest: func(uri []byte) error {
		u, err := url.ParseRequestURI(string(uri))
		if err != nil {
			return err
		}
		topic = u.Query().Get("topic")
		r.mu.Lock()
		number = r.handshakes
		r.handshakes++
		r.mu.Unlock()
		if r.Refuse != nil {
			return r.Refuse(number)
		}
		return nil
	}, OnBeforeUpgrade: func() (ws.HandshakeHeader, error) {
		// Who has the answer has subscribed: nothing is published in between.
		r.mu.Lock()
		answering = true
		return nil, nil
	}}
	if _, err := up.Upgrade(c); err != nil {
		if answering {
			r.mu.Unlock()
		}
		return err
	}
	if !r.Rooms {
		r.topics[topic] = append(r.topics[topic], c)
		if r.Opened != nil {
			r.Opened(number, c)
		}
	}
	r.mu.Unlock()
	for {
		h, err := ws.ReadHeader(c)
		if err != nil {
			return err
		}
		p := make([]byte, h.Length)
		if _, err := io.ReadFull(c, p); err != nil {
			return err
		}
		ws.Cipher(p, h.Mask, 0)
		switch {
		case h.OpCode == ws.OpPong:
			if r.Pong != nil {
				r.Pong(p)
			}
		case h.OpCode == ws.OpClose:
			if r.Closed != nil {
				r.Closed()
			}
			return io.EOF
		case r.Echo:
			r.mu.Lock()
			r.send(c, h.OpCode, p)
			r.mu.Unlock()
		case r.Rooms:
			if err := r.commands(c, number, p); err != nil {
				return err
			}
		default:
			r.publish(topic, p, func(to net.Conn, p []byte) { r.send(to, h.OpCode, p) })
		}
	}
}

// publish has a message sent to all on a topic.
func (r *Relay) publish(topic string, p []byte, send func(to net.Conn, p []byte)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.Before != nil {
		r.Before(r.messages, r.topics[topic])
	}
	for i, c := range r.topics[topic] {
		out := [][]byte{p}
		if r.Fault != nil {
			out = r.Fault(r.messages, i, p)
		}
		for _, q := range out {
			send(c, q)
		}
	}
	r.messages++
}

// send writes a frame. A subscriber that has gone is nobody's concern.
func (r *Relay) send(c net.Conn, op ws.OpCode, p []byte) {
	if r.Chop == 0 {
		_ = wsutil.WriteServerMessage(c, op, p)
		return
	}
	frame := ws.MustCompileFrame(ws.NewFrame(op, true, p))
	for len(frame) > 0 {
		n := min(r.Chop, len(frame))
		if _, err := c.Write(frame[:n]); err != nil {
			return
		}
		frame = frame[n:]
	}
}
