package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"testing"

	"hubbub/internal/bus"
)

// enter connects a client that is in a channel.
func enter(t *testing.T, addr string) *client {
	t.Helper()
	c := dial(t, addr, "/connection/websocket")
	for _, command := range []string{`{"id":1,"connect":{}}`, `{"id":2,"subscribe":{"channel":"chat:x"}}`} {
		c.send(command)
		if reply := c.read(); strings.Contains(reply, `"error"`) {
			t.Fatalf("%s: %s", command, reply)
		}
	}
	return c
}

// present asks how many are in the channel, and who they are: how many are listed. It reports whether there was an
// answer.
func (c *client) present() (clients, listed int, ok bool) {
	c.t.Helper()
	var reply struct { // both answers
		Stats *struct {
			Clients int `json:"num_clients"`
		} `json:"presence_stats"`
		List *struct {
			Presence map[string]any `json:"presence"`
		} `json:"presence"`
	}
	for i, command := range []string{"presence_stats", "presence"} {
		c.send(fmt.Sprintf(`{"id":%d,"%s":{"channel":"chat:x"}}`, 3+i, command))
		if err := json.Unmarshal([]byte(c.read()), &reply); err != nil {
			c.t.Fatal(err)
		}
	}
	if reply.Stats == nil || reply.List == nil {
		return 0, 0, false
	}
	return reply.Stats.Clients, len(reply.List.Presence), true
}

func expectPresent(t *testing.T, c *client, want int) {
	t.Helper()
	var clients, listed int
	eventually(t, "everybody's answer", func() (ok bool) {
		clients, listed, ok = c.present()
		return ok
	})
	if clients != want || listed != want {
		t.Errorf("%d are counted and %d listed, want %d", clients, listed, want)
	}
}

// embeddedNATS is a NATS server that stands for an external one.
func embeddedNATS(t *testing.T) *bus.Embedded {
	t.Helper()
	dir, err := bus.OpenDataDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dir.Close)
	e, err := bus.StartEmbedded(bus.EmbeddedConfig{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// TestPresenceOverNATS: who is connected to any of the servers is there, and who was connected to one that has died
// isn't.
func TestPresenceOverNATS(t *testing.T) {
	e := embeddedNATS(t)
	var servers []*process
	var clients []*client
	for _, form := range forms {
		p := start(t, append(form.args, "-nats", e.URL())...)
		servers = append(servers, p)
		clients = append(clients, enter(t, p.addr), enter(t, p.addr))
	}
	for _, c := range clients {
		expectPresent(t, c, len(clients))
	}
	servers[0].signal(syscall.SIGKILL) // nobody says goodbye for it
	servers[0].wait()
	eventually(t, "the dead server's clients to vanish", func() bool {
		n, listed, ok := clients[2].present()
		if ok && (n != len(clients) && n != len(clients)-2 || listed != len(clients) && listed != len(clients)-2) {
			t.Fatalf("%d are counted and %d listed", n, listed)
		}
		return ok && n == len(clients)-2 && listed == n
	})
}

// TestPresenceWithoutDeadWorker: its clients vanish while it is being started again, and the others' stay.
func TestPresenceWithoutDeadWorker(t *testing.T) {
	p := startWorkers(t)
	conns := func() map[string]float64 {
		return p.scrapePage("").byWorker("hubbub_connections", "path", "/connection/websocket")
	}
	asker := enter(t, p.addr)
	victim := 0
	if conns()["0"] > 0 {
		victim = 1
	}
	var others []*client
	for range (workers-1)*perWorker + 3 { // any two workers have no room for all
		c := enter(t, p.addr)
		c.listen()
		others = append(others, c)
	}
	expectPresent(t, asker, 1+len(others))
	held := int(conns()[fmt.Sprint(victim)])
	if err := syscall.Kill(p.workers()[victim], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the dead worker's clients to vanish", func() bool {
		n, listed, ok := asker.present()
		return ok && n == 1+len(others)-held && listed == n
	})
	var gone []*client
	eventually(t, "their connections to break", func() bool {
		gone, _ = lost(others)
		return len(gone) >= held
	})
	if len(gone) != held || held == 0 {
		t.Errorf("%d clients were lost, want the %d of the worker", len(gone), held)
	}
}
