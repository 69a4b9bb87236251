package main

import (
	"testing"
)

// TestServersOnOneNATS joins a single server and a supervised one.
func TestServersOnOneNATS(t *testing.T) {
	e := embeddedNATS(t)
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
	expectSubscribers(t, at(t, alien.addr), "", 1)

	for _, p := range servers {
		expectSubscribers(t, at(t, p.addr), "", len(clients))
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
