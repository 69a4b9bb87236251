package main

import (
	"bytes"
	"errors"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// patience bounds every wait of the tests; nothing should come near it.
const patience = 20 * time.Second

func serve(t *testing.T) (url string) {
	t.Helper()
	server := httptest.NewServer(handler())
	t.Cleanup(server.Close)
	return "ws" + strings.TrimPrefix(server.URL, "http")
}

func dial(t *testing.T, url string) *websocket.Conn {
	t.Helper()
	conn, _, err := websocket.DefaultDialer.Dial(url, nil)
	if err != nil {
		t.Fatalf("dialing %s: %v", url, err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
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
		t.Fatalf("waiting for %q: %v", data, err)
	}
	if gotKind != kind || string(got) != data {
		t.Fatalf("got type %d, %q; want type %d, %q", gotKind, got, kind, data)
	}
}

// joined dials and waits until the hub knows the client: the handshake is answered before that, but
// nothing is read from the client until then.
func joined(t *testing.T, url string) *websocket.Conn {
	t.Helper()
	conn := dial(t, url)
	send(t, conn, websocket.TextMessage, "joined")
	expect(t, conn, websocket.TextMessage, "joined")
	return conn
}

func TestTopicGetsMessagesAsTheyWere(t *testing.T) {
	url := serve(t)
	b, other := joined(t, url+"/ws?topic=one"), joined(t, url+"/ws?topic=two")
	a := dial(t, url+"/ws?topic=one")

	send(t, a, websocket.TextMessage, "héllo\n世界")
	send(t, a, websocket.BinaryMessage, "\x00\xff\n")
	for _, conn := range []*websocket.Conn{a, b} {
		expect(t, conn, websocket.TextMessage, "héllo\n世界")
		expect(t, conn, websocket.BinaryMessage, "\x00\xff\n")
	}
	// The first that the other topic hears is its own.
	send(t, other, websocket.TextMessage, "two")
	expect(t, other, websocket.TextMessage, "two")
}

func TestNoTopicIsTheLobby(t *testing.T) {
	url := serve(t)
	b := joined(t, url+"/ws?topic=lobby")
	a := dial(t, url+"/ws")
	send(t, a, websocket.TextMessage, "hi")
	expect(t, a, websocket.TextMessage, "hi")
	expect(t, b, websocket.TextMessage, "hi")
}

func TestEchoAnswersTheSenderAlone(t *testing.T) {
	url := serve(t)
	a, b := dial(t, url+"/echo"), dial(t, url+"/echo")
	send(t, a, websocket.TextMessage, "a")
	expect(t, a, websocket.TextMessage, "a")
	send(t, b, websocket.BinaryMessage, "b")
	expect(t, b, websocket.BinaryMessage, "b")
}

// A client that doesn't read is dropped once its queue is full, and the others miss nothing.
func TestSlowClientIsDropped(t *testing.T) {
	url := serve(t)
	slow, quick := joined(t, url+"/ws"), dial(t, url+"/ws")
	message := bytes.Repeat([]byte{'x'}, maxMessage)

	// Far more than the queue and both socket buffers hold together.
	const messages = 4 * sendQueue
	for i := range messages {
		if err := quick.WriteMessage(websocket.BinaryMessage, message); err != nil {
			t.Fatal(err)
		}
		if _, got, err := quick.ReadMessage(); err != nil || len(got) != len(message) {
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
		if received == messages {
			t.Fatal("the slow client got everything: it was never dropped")
		}
	}
}
