package main

import (
	"context"
	"net"
	"runtime"
	"testing"
	"time"

	"hubbub"
)

// serve starts a server with the endpoint that a herd needs.
func serve(t *testing.T) *hubbub.Server {
	relay := func(kind hubbub.MessageType) func(*hubbub.Conn, []byte) {
		return func(c *hubbub.Conn, p []byte) { c.Publish(c.Session().(string), kind, p) }
	}
	srv, err := hubbub.New(hubbub.Config{MaxMessage: 1 << 20, Endpoints: map[string]hubbub.Endpoint{"/ws": {
		OnOpen: func(c *hubbub.Conn, r *hubbub.Request) error {
			c.SetSession(r.Param("topic"))
			c.Subscribe(r.Param("topic"))
			return nil
		},
		OnBinary: relay(hubbub.Binary),
	}}})
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
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Errorf("shutting down: %v", err)
		}
		<-served
	})
	for srv.Addr() == nil {
		runtime.Gosched()
	}
	return srv
}

// play runs a herd of the kind until what is wanted has happened to it. The server says something to
// the honest ones' topic all the while.
func play(t *testing.T, srv *hubbub.Server, kind string, enough func(*counts) bool) {
	t.Helper()
	url := "ws://" + srv.Addr().String() + "/ws?topic=all"
	opts, err := parse([]string{"-url", url, "-kind", kind, "-conns", "20", "-churn", "1000"})
	if err != nil {
		t.Fatal(err)
	}
	h, err := newHerd(opts)
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(20 * time.Second)
	said := time.Now()
	err = h.run(func() bool {
		now := time.Now()
		if h.ready && now.Sub(said) > 2*fanOutPause {
			said = now
			srv.Publish("all", hubbub.Text, []byte("hello"))
		}
		if now.After(deadline) {
			t.Errorf("after 20 s: %+v", h.counts)
			return true
		}
		return h.ready && enough(&h.counts)
	}, func() {})
	if err != nil {
		t.Fatal(err)
	}
	if len(h.counts.Errors) > 0 {
		t.Errorf("errors: %v", h.counts.Errors)
	}
}

func TestKindsDoWhatTheySay(t *testing.T) {
	allUp := func(c *counts) bool { return c.Up == 20 }
	sends := func(c *counts) bool { return c.Frames >= 100 && c.Skipped == 0 }
	ended := func(how string) func(*counts) bool {
		return func(c *counts) bool { return c.Ended[how] >= 5 && c.Opened >= 25 }
	}
	for kind, enough := range map[string]func(*counts) bool{
		"calm":            func(c *counts) bool { return c.Up == 20 && c.Received >= 20*(129+7) },
		"aside":           allUp,
		"half-open":       allUp,
		"never-reads":     allUp,
		"vanish":          allUp,
		"stuffed":         allUp,
		"slow-handshake":  func(c *counts) bool { return c.Frames >= 20 },
		"endless-header":  ended("http 431"),
		"garbage":         func(c *counts) bool { return ended("http 400")(c) && ended("1002")(c) },
		"ping-flood":      func(c *counts) bool { return sends(c) && c.Received > 20*129 },
		"empty-fragments": sends,
		"tiny-frames":     func(c *counts) bool { return c.Frames >= 10 && c.Received >= 20*129+100*3 },
		"rooms":           func(c *counts) bool { return c.Frames >= 10 && c.Received >= 20*129+100*3 },
		"reset":           func(c *counts) bool { return c.Reset >= 20 && c.Opened >= 40 },
		"connect-flood":   func(c *counts) bool { return c.Reset >= 100 },
		"trickle":         func(c *counts) bool { return c.Received > 20*129 },
		"big-messages":    func(c *counts) bool { return c.Frames >= 2 && c.Received > 20<<20 },
	} {
		t.Run(kind, func(t *testing.T) { play(t, serve(t), kind, enough) })
	}
}
