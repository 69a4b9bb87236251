package main

import (
	"fmt"
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
	expectGet(t, alien.addr, "/subscribers", `{"subscribers":1}`+"\n")

	for _, p := range servers {
		expectGet(t, p.addr, "/subscribers", fmt.Sprintf(`{"subscribers":%d}`+"\n", len(clients)))
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
