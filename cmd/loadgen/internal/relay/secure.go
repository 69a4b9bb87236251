package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"hubbub"
)

// Hubbub serves /ws and /echo as the real server does, over TLS, on a free port
// of 127.0.0.1 until the test ends. It returns the URL without the path.
func Hubbub(t testing.TB, cfg *tls.Config) string {
	t.Helper()
	publish := func(typ hubbub.MessageType) func(*hubbub.Conn, []byte) {
		return func(c *hubbub.Conn, p []byte) { c.Publish(c.Session().(string), typ, p) }
	}
	echo := func(typ hubbub.MessageType) func(*hubbub.Conn, []byte) {
		return func(c *hubbub.Conn, p []byte) { c.Send(typ, p) }
	}
	srv, err := hubbub.New(hubbub.Config{
		MaxMessage: 2 << 20,
		MaxBacklog: 64 << 20,
		Logger:     slog.New(slog.NewTextHandler(io.Discard, nil)),
		Endpoints: map[string]hubbub.Endpoint{
			"/ws": {
				OnOpen: func(c *hubbub.Conn, r *hubbub.Request) error {
					c.SetSession(r.Param("topic"))
					c.Subscribe(r.Param("topic"))
					return nil
				},
				OnText: publish(hubbub.Text), OnBinary: publish(hubbub.Binary),
			},
			"/echo": {OnText: echo(hubbub.Text), OnBinary: echo(hubbub.Binary)},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return "wss://" + serve(t, func(ln net.Listener) error { return srv.ServeTLS(ln, cfg) }, srv.Shutdown)
}

// serve has a server run on a free port of 127.0.0.1 until the test ends.
func serve(t testing.TB, run func(net.Listener) error, shutdown func(context.Context) error) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- run(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := shutdown(ctx); err != nil {
			t.Errorf("shutting down: %v", err)
		}
		if err := <-done; !errors.Is(err, hubbub.ErrServerClosed) {
			t.Errorf("serving: %v", err)
		}
	})
	return ln.Addr().String()
}
