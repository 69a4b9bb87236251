package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// get asks a server by HTTP, on a connection of its own.
func get(t *testing.T, addr, path string) (status int, body string) {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport, Timeout: patience}).Get("http://" + addr + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	p, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return resp.StatusCode, string(p)
}

// expectGet wants 200 and this body.
func expectGet(t *testing.T, addr, path, body string) {
	t.Helper()
	if status, got := get(t, addr, path); status != 200 || got != body {
		t.Errorf("%s: %d %q, want 200 %q", path, status, got, body)
	}
}

// at is get for one address.
func at(t *testing.T, addr string) func(path string) (status int, body string) {
	return func(path string) (int, string) {
		t.Helper()
		return get(t, addr, path)
	}
}

// expectSubscribers wants as many subscribers of a topic. While some process takes longer to answer than the server
// waits, it says so, and is asked again.
func expectSubscribers(t *testing.T, get func(path string) (status int, body string), topic string, n int) {
	t.Helper()
	if topic != "" {
		topic = "?topic=" + topic
	}
	var status int
	var got string
	eventually(t, "every process to answer", func() bool {
		status, got = get("/subscribers" + topic)
		return status != 503
	})
	if want := fmt.Sprintf(`{"subscribers":%d}`+"\n", n); status != 200 || got != want {
		t.Errorf("/subscribers%s: %d %q, want %q", topic, status, got, want)
	}
}

// client is one end of a WebSocket connection.
type client struct {
	t    *testing.T
	conn net.Conn
	rw   io.ReadWriter // what the handshake has read too much comes first

	mu  sync.Mutex // guards got and err; see listen
	got []string
	err error
}

// tryDial is dial for any goroutine.
func tryDial(t *testing.T, addr, path string) (*client, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, br, _, err := ws.Dial(ctx, "ws://"+addr+path)
	if err != nil {
		return nil, fmt.Errorf("dialling %s: %w", path, err)
	}
	return newClient(t, conn, br), nil
}

// newClient is the client at the end of a handshake, which has read br's too
// much.
func newClient(t *testing.T, conn net.Conn, br *bufio.Reader) *client {
	c := &client{t: t, conn: conn, rw: conn}
	if br != nil {
		c.rw = struct {
			io.Reader
			io.Writer
		}{br, conn}
	}
	t.Cleanup(func() { conn.Close() })
	return c
}

func dial(t *testing.T, addr, path string) *client {
	t.Helper()
	c, err := tryDial(t, addr, path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func dialMany(t *testing.T, n int, addr, path string) []*client {
	t.Helper()
	clients := make([]*client, n)
	for i := range clients {
		clients[i] = dial(t, addr, path)
	}
	return clients
}

func (c *client) send(text string) {
	c.t.Helper()
	c.conn.SetWriteDeadline(time.Now().Add(patience))
	if err := wsutil.WriteClientMessage(c.rw, ws.OpText, []byte(text)); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

func (c *client) read() string {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(patience))
	p, err := wsutil.ReadServerText(c.rw)
	if err != nil {
		c.t.Fatalf("read: %v", err)
	}
	return string(p)
}

func (c *client) expect(text string) {
	c.t.Helper()
	if got := c.read(); got != text {
		c.t.Fatalf("received %q, want %q", got, text)
	}
}

// expectClose reads a close frame, without an answer to it.
func (c *client) expectClose(code ws.StatusCode) {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(patience))
	f, err := ws.ReadFrame(c.rw)
	if err != nil {
		c.t.Fatalf("read: %v", err)
	}
	if got, reason := ws.ParseCloseFrameData(f.Payload); f.Header.OpCode != ws.OpClose || got != code {
		c.t.Fatalf("received %v with %d %q, want a close frame with %d", f.Header.OpCode, got, reason, code)
	}
}

// answerClose answers a close frame, and ends the connection when the server
// does.
func (c *client) answerClose(code ws.StatusCode) {
	c.t.Helper()
	c.conn.SetDeadline(time.Now().Add(patience))
	f := ws.MaskFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(code, "")))
	if err := ws.WriteFrame(c.conn, f); err != nil {
		c.t.Fatalf("answering the close frame: %v", err)
	}
	if n, err := io.Copy(io.Discard, c.rw); err != nil || n != 0 {
		c.t.Fatalf("%d bytes and %v after the close frame, want the end of the stream", n, err)
	}
	c.conn.Close()
}

// listen reads, from now on, what comes, until the connection ends.
func (c *client) listen() {
	c.conn.SetReadDeadline(time.Time{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			p, err := wsutil.ReadServerText(c.rw)
			c.mu.Lock()
			if err != nil {
				c.err = err
				c.mu.Unlock()
				return
			}
			c.got = append(c.got, string(p))
			c.mu.Unlock()
		}
	}()
	c.t.Cleanup(func() {
		c.conn.Close()
		<-done
	})
}

// isLost reports whether a listening client has lost its connection.
func (c *client) isLost() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err != nil && !errors.Is(c.err, net.ErrClosed)
}

// heard returns what a listening client has received.
func (c *client) heard() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.got)
}
