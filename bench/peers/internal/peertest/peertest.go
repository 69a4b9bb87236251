// Package peertest has the tests that every peer must pass: what is compared has to do the same.
package peertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"hubbub/bench/peers/internal/peer"
)

const (
	// patience bounds every wait of the tests; nothing should come near it.
	patience = 60 * time.Second

	// tolerated is how many messages of the largest size a peer may queue for a client before it
	// drops it, what both sockets hold included.
	tolerated = 1000
)

// Run tests the peer whose new instances serve returns. losesEmpty says that its library loses empty
// messages, and then they have to be lost, so that it is noticed when that is over.
func Run(t *testing.T, serve func() peer.Serve, losesEmpty bool) {
	empty := emptyMessages
	if losesEmpty {
		empty = emptyMessagesLost
	}
	for _, test := range []struct {
		name string
		run  func(*testing.T, *instance)
	}{
		{"healthz answers 200", healthz},
		{"a topic gets messages as they were", topicGetsMessages},
		{"empty messages", empty},
		{"no topic is the lobby", noTopic},
		{"echo answers the sender alone", echo},
		{"a large message in fragments, between others", largeMessages},
		{"who closes gets an answer and is gone", closes},
		{"a slow client is dropped", slowClient},
		{"everyone gets the same order", sameOrder},
		{"the end doesn't wait for clients", end},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.run(t, start(t, serve()))
		})
	}
}

// instance is a peer that serves.
type instance struct {
	addr  string
	stop  context.CancelFunc
	ended <-chan error // receives what Serve returned, once
}

func start(t *testing.T, serve peer.Serve) *instance {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- serve(ctx, "127.0.0.1:0", func(addr string) { ready <- addr })
	}()
	in := &instance{stop: cancel, ended: ended}
	t.Cleanup(func() { in.end(t) })
	select {
	case in.addr = <-ready:
	case err := <-ended:
		in.ended = nil
		t.Fatalf("it ended with %v before it served", err)
	case <-time.After(patience):
		t.Fatal("it never served")
	}
	return in
}

// end has the peer end, as SIGTERM would; the second time it does nothing.
func (in *instance) end(t *testing.T) {
	t.Helper()
	in.stop()
	if in.ended == nil {
		return
	}
	select {
	case err := <-in.ended:
		if err != nil {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(patience):
		t.Error("it didn't end")
	}
	in.ended = nil
}

func (in *instance) dial(t *testing.T, path string) *websocket.Conn {
	t.Helper()
	conn, _, err := websocket.DefaultDialer.Dial("ws://"+in.addr+path, nil)
	if err != nil {
		t.Fatalf("dialing %s: %v", path, err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// join dials and waits until the topic knows the client: a handshake may be answered before that, but
// nothing is read from the client until then.
func (in *instance) join(t *testing.T, path string) *websocket.Conn {
	t.Helper()
	conn := in.dial(t, path)
	send(t, conn, websocket.TextMessage, "joined")
	expect(t, conn, websocket.TextMessage, "joined")
	return conn
}

func send(t *testing.T, conn *websocket.Conn, kind int, data string) {
	t.Helper()
	if err := conn.WriteMessage(kind, []byte(data)); err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, conn *websocket.Conn, kind int, data string) {
	t.Helper()
	gotKind, got, err := conn.ReadMessage()
	if err != nil {
		t.Fatalf("waiting for type %d, %s: %v", kind, abridged(data), err)
	}
	if gotKind != kind || string(got) != data {
		t.Fatalf("got type %d, %s; want type %d, %s", gotKind, abridged(string(got)), kind, abridged(data))
	}
}

func abridged(data string) string {
	if len(data) > 100 {
		return fmt.Sprintf("%q and so on, %d bytes", data[:100], len(data))
	}
	return fmt.Sprintf("%q", data)
}

func healthz(t *testing.T, in *instance) {
	client := http.Client{Timeout: patience}
	answer, err := client.Get("http://" + in.addr + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	client.CloseIdleConnections()
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("got %s", answer.Status)
	}
}

func topicGetsMessages(t *testing.T, in *instance) {
	b, other := in.join(t, "/ws?topic=one"), in.join(t, "/ws?topic=two")
	a := in.dial(t, "/ws?topic=one")

	messages := []struct {
		kind int
		data string
	}{
		{websocket.TextMessage, "héllo\n世界"},
		{websocket.BinaryMessage, "\x00\xff\n"},
		{websocket.BinaryMessage, strings.Repeat("x", 125)},
		{websocket.TextMessage, strings.Repeat("y", 126)},
	}
	for _, m := range messages {
		send(t, a, m.kind, m.data)
	}
	for _, conn := range []*websocket.Conn{a, b} {
		for _, m := range messages {
			expect(t, conn, m.kind, m.data)
		}
	}
	// The first that the other topic hears is its own.
	send(t, other, websocket.TextMessage, "two")
	expect(t, other, websocket.TextMessage, "two")
}

func emptyMessages(t *testing.T, in *instance) {
	b := in.join(t, "/ws")
	a := in.dial(t, "/ws")
	for _, kind := range []int{websocket.TextMessage, websocket.BinaryMessage} {
		send(t, a, kind, "")
		expect(t, a, kind, "")
		expect(t, b, kind, "")
	}
}

func emptyMessagesLost(t *testing.T, in *instance) {
	a := in.dial(t, "/ws")
	send(t, a, websocket.TextMessage, "")
	send(t, a, websocket.TextMessage, "after")
	expect(t, a, websocket.TextMessage, "after")
}

func noTopic(t *testing.T, in *instance) {
	b := in.join(t, "/ws?topic=lobby")
	a := in.dial(t, "/ws")
	send(t, a, websocket.TextMessage, "hi")
	expect(t, a, websocket.TextMessage, "hi")
	expect(t, b, websocket.TextMessage, "hi")
}

func echo(t *testing.T, in *instance) {
	a, b := in.dial(t, "/echo"), in.dial(t, "/echo")
	send(t, a, websocket.TextMessage, "a")
	expect(t, a, websocket.TextMessage, "a")
	send(t, b, websocket.BinaryMessage, "b")
	expect(t, b, websocket.BinaryMessage, "b")
}

// largeMessages sends what the library's client cuts into frames of its buffer's size, with a ping
// in the middle of one.
func largeMessages(t *testing.T, in *instance) {
	for _, path := range []string{"/ws", "/echo"} {
		conn := in.dial(t, path)
		ponged := ""
		conn.SetPongHandler(func(data string) error {
			ponged = data
			return nil
		})
		large := strings.Repeat("0123456789abcdef", peer.MaxMessage/16)
		send(t, conn, websocket.TextMessage, "before")
		send(t, conn, websocket.BinaryMessage, large)

		w, err := conn.NextWriter(websocket.TextMessage)
		if err != nil {
			t.Fatal(err)
		}
		for _, half := range []string{large[:len(large)/2], large[len(large)/2:]} {
			if _, err := w.Write([]byte(half)); err != nil {
				t.Fatal(err)
			}
			if err := conn.WriteControl(websocket.PingMessage, []byte("there?"), time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		send(t, conn, websocket.TextMessage, "after")

		expect(t, conn, websocket.TextMessage, "before")
		expect(t, conn, websocket.BinaryMessage, large)
		expect(t, conn, websocket.TextMessage, large)
		expect(t, conn, websocket.TextMessage, "after")
		if ponged != "there?" {
			t.Errorf("the pong came back with %q", ponged)
		}
	}
}

func closes(t *testing.T, in *instance) {
	stays, leaves := in.join(t, "/ws"), in.dial(t, "/ws")
	bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	if err := leaves.WriteControl(websocket.CloseMessage, bye, time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := leaves.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
		t.Errorf("the close was answered with %v", err)
	}
	for range 10 {
		send(t, stays, websocket.TextMessage, "hi")
		expect(t, stays, websocket.TextMessage, "hi")
	}
}

// slowClient has a client that doesn't read: it is dropped once its queue is full, and the others
// miss nothing.
func slowClient(t *testing.T, in *instance) {
	slow, quick := in.join(t, "/ws"), in.dial(t, "/ws")
	message := bytes.Repeat([]byte{'x'}, peer.MaxMessage)
	for i := range tolerated {
		if err := quick.WriteMessage(websocket.BinaryMessage, message); err != nil {
			t.Fatal(err)
		}
		if _, got, err := quick.ReadMessage(); err != nil || !bytes.Equal(got, message) {
			t.Fatalf("message %d came back as %d bytes, %v", i, len(got), err)
		}
	}
	for received := 0; ; received++ {
		_, _, err := slow.ReadMessage()
		// Gorilla hides what it wraps: a deadline is known by its method alone.
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			t.Fatal("the slow client is still connected")
		}
		if err != nil {
			return
		}
		if received == tolerated {
			t.Fatal("the slow client got everything: it was never dropped")
		}
	}
}

// sameOrder has the members of a topic post all at once. They go in rounds, so that nobody falls
// behind further than a peer has to put up with: who has got all of a round posts its part of the
// next.
func sameOrder(t *testing.T, in *instance) {
	const members, rounds, each = 4, 10, 25
	var conns [members]*websocket.Conn
	for i := range conns {
		conns[i] = in.join(t, "/ws?topic=order")
		for _, earlier := range conns[:i] {
			expect(t, earlier, websocket.TextMessage, "joined")
		}
	}
	var heard [members][]string
	failed := make(chan error, members)
	for i, conn := range conns {
		go func() {
			failed <- func() error {
				for round := range rounds {
					for n := range each {
						data := fmt.Sprintf("%d %d", i, round*each+n)
						if err := conn.WriteMessage(websocket.TextMessage, []byte(data)); err != nil {
							return err
						}
					}
					for range members * each {
						_, data, err := conn.ReadMessage()
						if err != nil {
							return fmt.Errorf("member %d in round %d: %w", i, round, err)
						}
						heard[i] = append(heard[i], string(data))
					}
				}
				return nil
			}()
		}()
	}
	for range members {
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
	}
	for i := range heard {
		if !slices.Equal(heard[i], heard[0]) {
			t.Errorf("members 0 and %d heard different things", i)
		}
	}
	var next [members]int
	for _, data := range heard[0] {
		var from, n int
		if _, err := fmt.Sscan(data, &from, &n); err != nil || from < 0 || from >= members {
			t.Fatalf("nobody sent %q", data)
		}
		if n != next[from] {
			t.Fatalf("message %d of member %d was heard where its number %d was due", n, from, next[from])
		}
		next[from]++
	}
}

func end(t *testing.T, in *instance) {
	for _, path := range []string{"/ws", "/echo"} {
		in.join(t, path)
	}
	in.end(t)
	if conn, err := net.DialTimeout("tcp", in.addr, patience); err == nil {
		conn.Close()
		t.Error("it still accepts connections")
	}
}
