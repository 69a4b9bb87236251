package relay

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"hubbub"
	"hubbub/internal/bus"
	"hubbub/internal/rooms"
)

// Channels serves /connection/websocket as the real server does, with the rules
// that it has by default and histories in a directory of the test's, on a free
// port of 127.0.0.1 until the test ends. It returns the URL.
func Channels(t testing.TB) string {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	dir, err := bus.OpenDataDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dir.Close)
	embedded, err := bus.StartEmbedded(bus.EmbeddedConfig{Dir: dir, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(embedded.Close)
	b, err := bus.DialNATS(bus.NATSConfig{In: embedded, Prefix: "test", OnError: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	logs := make(map[string]rooms.Log)
	for name, ns := range rooms.DefaultRules {
		if logs[name], err = b.CreateLog(ctx, bus.LogConfig{Name: name, Keep: ns.HistorySize}, false); err != nil {
			t.Fatal(err)
		}
	}
	const path = "/connection/websocket"
	r := rooms.New(rooms.Config{Rules: rooms.DefaultRules, Anonymous: true, Logs: logs, Version: "test", Logger: log})
	srv, err := hubbub.New(hubbub.Config{Endpoints: map[string]hubbub.Endpoint{path: r.Endpoint()}, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Attach(t.Context(), srv, path); err != nil {
		t.Fatal(err)
	}
	return "ws://" + serve(t, srv.Serve, srv.Shutdown) + path
}
