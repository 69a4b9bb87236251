package hubbub

import (
	"fmt"
	"testing"

	"github.com/gobwas/ws"
)

func TestEcho(t *testing.T) {
	_, addr := start(t, Config{Endpoints: relayEndpoints()})
	c := dial(t, addr, "/echo")
	c.send(ws.OpText, "héllo")
	c.expect(ws.OpText, "héllo")
	c.send(ws.OpBinary, "\x00\xff")
	c.expect(ws.OpBinary, "\x00\xff")
}

func TestRelayReachesEveryoneInOrder(t *testing.T) {
	_, addr := start(t, Config{Endpoints: relayEndpoints()})
	clients := make([]*client, 50)
	for i := range clients {
		clients[i] = dial(t, addr, "/ws")
	}
	const n = 100
	for i := range n {
		clients[0].send(ws.OpText, fmt.Sprint(i))
	}
	for _, c := range clients {
		for i := range n {
			c.expect(ws.OpText, fmt.Sprint(i))
		}
	}
}
