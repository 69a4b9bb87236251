// Nbio is a hub on lesismal/nbio, for comparison with the server: its HTTP engine with pollers that
// read from all connections, a pool of goroutines that call the handlers, and writes that never
// block: what a socket doesn't take is kept and written when it can be.
//
// From the library's documentation and examples: IOModNonBlocking, the mode in which pollers handle
// all connections, which is the default and the one of its benchmark with a million connections;
// ReleaseWebsocketPayload, so that messages return to the pool after OnMessage; KeepaliveTime 0, as
// in that benchmark; MaxWriteBufferSize, which closes connections that have more than that to be
// written, as its example sets it; a shutdown that ends after a while by its context. A frame holds
// the largest message, which would otherwise take two.
//
// The library encodes a message for each connection it is written to: it has no prepared messages, it
// refuses frames that were encoded elsewhere, and it leaves the set of connections to its users, who
// call WriteMessage for each. As that may be done concurrently, all cores take part when many get a
// message. The events of a connection come in order, those of different ones in parallel, so a topic
// relays one message at a time. Empty messages are lost: the library calls no handler for them.
//
// It serves what the load generator needs and nothing more: /ws relays every message as it came to
// everyone on the topic, /echo sends it back. No keepalive, as is the server's own default.
package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/lesismal/nbio/logging"
	"github.com/lesismal/nbio/nbhttp"
	"github.com/lesismal/nbio/nbhttp/websocket"

	"hubbub/bench/peers/internal/peer"
)

const (
	maxBacklog = 1 << 20                // bytes that may wait for a client
	drain      = 500 * time.Millisecond // for the connections to close at the end
)

func main() {
	logging.SetLevel(logging.LevelError)
	peer.Main("nbio", "127.0.0.1:8084", serve)
}

func serve(ctx context.Context, addr string, ready func(string)) error {
	return run(ctx, newEngine(addr), ready)
}

func newEngine(addr string) *nbhttp.Engine {
	return nbhttp.NewEngine(nbhttp.Config{
		Network:                      "tcp",
		Addrs:                        []string{addr},
		Handler:                      handler(),
		IOMod:                        nbhttp.IOModNonBlocking,
		ReleaseWebsocketPayload:      true,
		MaxWriteBufferSize:           maxBacklog,
		MaxWebsocketFramePayloadSize: peer.MaxMessage,
	})
}

func run(ctx context.Context, engine *nbhttp.Engine, ready func(string)) error {
	if err := engine.Start(); err != nil {
		return err
	}
	ready(engine.Config.Addrs[0]) // Start has put the port in
	<-ctx.Done()

	ctx, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	if err := engine.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil // the rest ends with the process
}

// members are those of a topic.
type members = peer.Topic[*websocket.Conn]

func handler() http.Handler {
	relay, echo := newUpgrader(), newUpgrader()
	relay.OnMessage(func(c *websocket.Conn, kind websocket.MessageType, data []byte) {
		c.Session().(*members).RelayInParallel(func(c *websocket.Conn) bool {
			return c.WriteMessage(kind, data) == nil
		})
	})
	relay.OnClose(func(c *websocket.Conn, _ error) {
		if topic, ok := c.Session().(*members); ok {
			topic.Leave(c)
		}
	})
	echo.OnMessage(func(c *websocket.Conn, kind websocket.MessageType, data []byte) {
		if c.WriteMessage(kind, data) != nil {
			c.Close()
		}
	})

	var topics peer.Topics[*websocket.Conn]
	ws := func(w http.ResponseWriter, r *http.Request, name string) {
		c, err := relay.Upgrade(w, r, nil)
		if err != nil {
			return // Upgrade has answered
		}
		// The events of this connection wait until this function has returned.
		topic := topics.Of(name)
		c.SetSession(topic)
		topic.Join(c)
	}
	return peer.Mux(ws, func(w http.ResponseWriter, r *http.Request) {
		_, _ = echo.Upgrade(w, r, nil) // an error has been answered
	})
}

func newUpgrader() *websocket.Upgrader {
	upgrader := websocket.NewUpgrader()
	upgrader.KeepaliveTime = 0
	upgrader.MessageLengthLimit = peer.MaxMessage
	return upgrader
}
