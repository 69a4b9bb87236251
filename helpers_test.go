package hubbub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"hubbub/internal/broadcast"
	"hubbub/internal/leak"
	"hubbub/internal/poller"
)

// patience bounds how long a test waits for what must come. Nothing is asserted
// about the time it takes.
const patience = 30 * time.Second

// TestMain fails the run if a test has left a goroutine, a descriptor or a
// pooled frame behind.
func TestMain(m *testing.M) {
	os.Exit(leak.Main(m, func() string {
		if n := broadcast.LiveFrames(); n != 0 {
			return fmt.Sprintf("%d frames were not released", n)
		}
		return ""
	}))
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// relayEndpoints are /ws and /echo as a chat server has them.
func relayEndpoints() map[string]Endpoint {
	relay := func(t MessageType) func(*Conn, []byte) {
		return func(c *Conn, p []byte) { c.Publish("lobby", t, p) }
	}
	echo := func(t MessageType) func(*Conn, []byte) {
		return func(c *Conn, p []byte) { c.Send(t, p) }
	}
	return map[string]Endpoint{
		"/ws": {
			OnOpen:   func(c *Conn, r *Request) error { c.Subscribe("lobby"); return nil },
			OnText:   relay(Text),
			OnBinary: relay(Binary),
		},
		"/echo": {OnText: echo(Text), OnBinary: echo(Binary)},
	}
}

// start serves cfg on a loopback port and returns the server and its address.
// The server is shut down at the end of the test, if the test hasn't.
func start(t *testing.T, cfg Config) (*Server, string) {
	t.Helper()
	return startSys(t, cfg, nil)
}

func startSys(t *testing.T, cfg Config, sys poller.Sys) (*Server, string) {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = quiet()
	}
	s, err := newServer(cfg, sys)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil && !errors.Is(err, ErrServerClosed) {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-done; !errors.Is(err, ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	return s, addr
}

// client is one end of a connection, driven by gobwas/ws.
type client struct {
	t    *testing.T
	conn net.Conn
	rw   io.ReadWriter // what the handshake has read too much comes first
}

func dial(t *testing.T, addr, path string) *client {
	t.Helper()
	c, err := tryDial(t, addr, path, nil)
	if err != nil {
		t.Fatalf("dial %s: %v", path, err)
	}
	return c
}

func tryDial(t *testing.T, addr, path string, header ws.HandshakeHeader) (*client, error) {
	t.Helper()
	return tryDialWith(t, ws.Dialer{Header: header}, "ws://"+addr+path)
}

// tryDialWith is tryDial with a Dialer of one's own.
func tryDialWith(t *testing.T, d ws.Dialer, url string) (*client, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, br, _, err := d.Dial(ctx, url)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { conn.Close() })
	c := &client{t: t, conn: conn, rw: conn}
	if br != nil {
		c.rw = struct {
			io.Reader
			io.Writer
		}{br, conn}
	}
	return c, nil
}

func (c *client) send(op ws.OpCode, p string) {
	c.t.Helper()
	if err := wsutil.WriteClientMessage(c.rw, op, []byte(p)); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

func (c *client) read() (ws.OpCode, string) {
	c.t.Helper()
	p, op, err := wsutil.ReadServerData(c.rw)
	if err != nil {
		c.t.Fatalf("read: %v", err)
	}
	return op, string(p)
}

func (c *client) expect(op ws.OpCode, p string) {
	c.t.Helper()
	gotOp, got := c.read()
	if gotOp != op || got != p {
		c.t.Fatalf("received %v %q, want %v %q", gotOp, got, op, p)
	}
}

// expectClose reads the close frame and, behind it, the end of the stream.
func (c *client) expectClose(code ws.StatusCode, reason string) {
	c.t.Helper()
	f, err := ws.ReadFrame(c.rw)
	if err != nil {
		c.t.Fatalf("read: %v", err)
	}
	gotCode, gotReason := ws.ParseCloseFrameData(f.Payload)
	if f.Header.OpCode != ws.OpClose || gotCode != code || gotReason != reason {
		c.t.Fatalf("received %v %d %q, want a close frame with %d %q", f.Header.OpCode, gotCode, gotReason, code, reason)
	}
}

func (c *client) expectEOF() {
	c.t.Helper()
	if n, err := io.Copy(io.Discard, c.rw); err != nil || n != 0 {
		c.t.Fatalf("%d bytes and %v, want the end of the stream", n, err)
	}
}

// waitFor returns when cond is true.
func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(patience); !cond(); <-tick.C {
		if time.Now().After(limit) {
			t.Fatalf("still waiting for %s after %v", what, patience)
		}
	}
}

// ended returns how many connections ended for a reason.
func (s *Server) ended(why ending) (n uint64) {
	for _, sh := range s.shards {
		n += sh.stats.ended[why].Load()
	}
	return n
}
