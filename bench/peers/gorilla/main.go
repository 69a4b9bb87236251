// Gorilla is a hub on gorilla/websocket, for comparison with the server: the architecture of the
// library's own chat example (a goroutine for a topic's hub, two for each connection, a buffered
// channel between them), with what its documentation advises for many connections: messages
// prepared once for all, small buffers, write buffers from a pool.
//
// It serves what the load generator needs and nothing more: /ws relays every message as it came to
// everyone on the topic, /echo sends it back. No keepalive, as is the server's own default.
package main

import (
	"net/http"
	"sync"

	"github.com/gorilla/websocket"

	"hubbub/bench/peers/internal/peer"
)

func main() {
	peer.Main("gorilla", "127.0.0.1:8082", peer.HTTP(handler()))
}

func handler() http.Handler {
	upgrader := &websocket.Upgrader{
		ReadBufferSize:  1024,
		WriteBufferSize: 1024,
		WriteBufferPool: &sync.Pool{},
	}
	var hubs hubs
	ws := func(w http.ResponseWriter, r *http.Request, topic string) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return // Upgrade has answered
		}
		join(hubs.of(topic), conn)
	}
	return peer.Mux(ws, func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		go echo(conn)
	})
}
