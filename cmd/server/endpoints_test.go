package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"hubbub"
)

// serveHere serves in this process, with the options that args set.
func serveHere(t *testing.T, bus joint, args ...string) (addr string) {
	t.Helper()
	srv, _, err := newServer(mustParse(t, args...), share{conns: 100, handshakes: 100, joined: bus}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		<-served
	})
	return ln.Addr().String()
}

func TestTopicOf(t *testing.T) {
	for _, tt := range []struct{ asked, want string }{
		{"", "lobby"}, {"lobby", "lobby"}, {"a b/c?", "a b/c?"}, {"ü", "ü"},
		{strings.Repeat("t", 255), strings.Repeat("t", 255)},
	} {
		if got, err := topicOf(tt.asked); err != nil || got != tt.want {
			t.Errorf("topicOf(%.20q) = %.20q, %v; want %.20q", tt.asked, got, err, tt.want)
		}
	}
	for _, asked := range []string{strings.Repeat("t", 256), "\xff", "a\xc3"} {
		if got, err := topicOf(asked); err == nil || !strings.Contains(err.Error(), "at most 255 bytes") {
			t.Errorf("topicOf(%.20q) = %.20q, %v; want an error that says what a topic is", asked, got, err)
		}
	}
}

// status returns the status that a handshake is refused with.
func status(t *testing.T, addr, path string, header http.Header) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, _, _, err := ws.Dialer{Header: ws.HandshakeHeaderHTTP(header)}.Dial(ctx, "ws://"+addr+path)
	if err == nil {
		conn.Close()
		return http.StatusSwitchingProtocols
	}
	var refused ws.StatusError
	if !errors.As(err, &refused) {
		t.Fatalf("%s: %v", path, err)
	}
	return int(refused)
}

func TestRelayKeepsTypesAndTopicsApart(t *testing.T) {
	addr := serveHere(t, nil)
	lobby, a, again := dial(t, addr, "/ws"), dial(t, addr, "/ws?topic=%C3%BC+%26"), dial(t, addr, "/ws?topic=%C3%BC+%26")
	echo := dial(t, addr, "/echo")
	for _, tt := range []struct {
		from *client
		to   []*client
	}{{lobby, []*client{lobby}}, {a, []*client{a, again}}, {again, []*client{a, again}}, {echo, []*client{echo}}} {
		for _, m := range []struct {
			op      ws.OpCode
			payload string
		}{{ws.OpText, "text"}, {ws.OpBinary, "\x00\xff"}, {ws.OpText, ""}, {ws.OpBinary, ""}} {
			if err := wsutil.WriteClientMessage(tt.from.rw, m.op, []byte(m.payload)); err != nil {
				t.Fatal(err)
			}
			for _, c := range tt.to {
				p, op, err := wsutil.ReadServerData(c.rw)
				if err != nil || op != m.op || string(p) != m.payload {
					t.Fatalf("received %v %q and %v, want %v %q", op, p, err, m.op, m.payload)
				}
			}
		}
	}
}

func TestRefusedHandshakes(t *testing.T) {
	addr := serveHere(t, nil, "-origins", "https://*.friend.example")
	from := func(origin string) http.Header { return http.Header{"Origin": {origin}} }
	for _, tt := range []struct {
		path   string
		header http.Header
		want   int
	}{
		{"/ws", nil, 101},
		{"/ws?topic=" + strings.Repeat("t", 255), nil, 101},
		{"/ws?topic=" + strings.Repeat("t", 256), nil, 400},
		{"/ws?topic=%FF", nil, 400},
		{"/nowhere", nil, 404},
		{"/ws", from("http://" + addr), 101},
		{"/ws", from("https://a.friend.example"), 101},
		{"/echo", from("https://enemy.example"), 403},
	} {
		if got := status(t, addr, tt.path, tt.header); got != tt.want {
			t.Errorf("%.40s from %v: %d, want %d", tt.path, tt.header, got, tt.want)
		}
	}
}

func TestOptionsReachTheServer(t *testing.T) {
	o := mustParse(t, "-keepalive", "30s", "-slow", "drop-oldest")
	if e := relay(o); e.Keepalive != 30*time.Second || e.SlowPolicy != hubbub.DropOldest {
		t.Errorf("/ws: %v and policy %v", e.Keepalive, e.SlowPolicy)
	}
	if e := echo(o); e.Keepalive != 30*time.Second || e.SlowPolicy != hubbub.Disconnect {
		t.Errorf("/echo: %v and policy %v", e.Keepalive, e.SlowPolicy)
	}
	if p := mustParse(t, "-slow", "drop-newest").slowPolicy(); p != hubbub.DropNewest {
		t.Errorf("drop-newest is policy %v", p)
	}
	c := dial(t, serveHere(t, nil, "-max-message", "200"), "/echo")
	c.send(strings.Repeat("x", 200))
	c.expect(strings.Repeat("x", 200))
	c.send(strings.Repeat("x", 201))
	c.expectClose(ws.StatusMessageTooBig)

	c = dial(t, serveHere(t, nil, "-handshake-timeout", "100ms"), "/echo")
	late, err := net.Dial("tcp", c.conn.RemoteAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	late.SetDeadline(time.Now().Add(patience))
	if p, err := io.ReadAll(late); err != nil || len(p) != 0 {
		t.Errorf("who says nothing: %q and %v, want the end of the stream", p, err)
	}
	c.send("in time")
	c.expect("in time")
}

// busOf counts as many subscribers as it is asked for bytes, or fails.
type busOf struct{ err error }

func (busOf) Attach(hubbub.Node) error                         { return nil }
func (busOf) Publish(string, hubbub.MessageType, []byte) error { return nil }
func (b busOf) Subscribers(_ context.Context, topic string) (int, error) {
	return len(topic), b.err
}
func (busOf) Listen(string, func([]byte)) error                     { return nil }
func (busOf) Send(string, []byte) error                             { return nil }
func (busOf) Answer(string, func([]byte) []byte) error              { return nil }
func (busOf) Join() error                                           { return nil }
func (busOf) Ask(context.Context, string, []byte) ([][]byte, error) { return nil, nil }

func TestSubscribersPage(t *testing.T) {
	addr := serveHere(t, busOf{})
	expectGet(t, addr, "/subscribers", `{"subscribers":5}`+"\n")
	expectGet(t, addr, "/subscribers?topic=%C3%BC", `{"subscribers":2}`+"\n")
	for _, topic := range []string{"%FF", strings.Repeat("t", 256)} {
		if status, body := get(t, addr, "/subscribers?topic="+topic); status != 400 || !strings.Contains(body, "at most 255 bytes") {
			t.Errorf("topic %.20s: %d %q, want 400 and what a topic is", topic, status, body)
		}
	}
	resp, err := http.Head("http://" + addr + "/subscribers")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if h := resp.Header; h.Get("Content-Type") != "application/json" || h.Get("Cache-Control") != "no-store" {
		t.Errorf("header %v", h)
	}

	addr = serveHere(t, busOf{errors.New("somebody is missing")})
	if status, body := get(t, addr, "/subscribers"); status != 503 || !strings.Contains(body, "somebody is missing") {
		t.Errorf("while somebody is missing: %d %q", status, body)
	}
}

func TestHealthOfOneProcess(t *testing.T) {
	srv, _, err := newServer(mustParse(t), share{conns: 100, handshakes: 100}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Shutdown(context.Background())
	if got, want := healthOf(srv, func() error { return nil }), (health{"ok", 1, 1, 0}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	lost := errors.New("the bus is lost")
	if got, want := healthOf(srv, func() error { return lost }), (health{"the bus is lost", 1, 0, 0}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
