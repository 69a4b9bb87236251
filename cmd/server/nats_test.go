package main

import (
	"testing"

	"hubbub/internal/bus"
)

// TestServersOnOneNATS joins a single server and a supervised one.
func TestServersOnOneNATS(t *testing.T) {
	e, err := bus.StartEmbedded()
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var servers []*process
	var clients []*client
	for _, form := range forms {
		p := start(t, append(form.args, "-nats", e.URL())...)
		servers = append(servers, p)
		clients = append(clients, dial(t, p.addr, "/ws"), dial(t, p.addr, "/ws"))
	}
	alien := start(t, append(forms[0].args, "-nats", e.URL(), "-nats-prefix", "another.one")...)
	apart := dial(t, alien.addr, "/ws")

	for _, c := range clients {
		c.send("hello")
		for _, other := range clients {
			other.expect("hello")
		}
	}
	apart.send("alone")
	apart.expect("alone")

	for _, p := range servers {
		if status, body := get(t, p.addr, "/subscribers"); status != 503 {
			t.Errorf("/subscribers: %d %s, want 503: nobody knows how many servers there are", status, body)
		}
		if status, h := p.health("/healthz"); status != 200 {
			t.Errorf("/healthz: %d %+v", status, h)
		}
	}
	e.Close()
	for _, p := range servers {
		eventually(t, "/healthz to notice that the bus is gone", func() bool {
			status, h := p.health("/healthz")
			return status == 503 && h.Ready == 0
		})
	}
}
