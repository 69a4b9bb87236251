// Centrifuge is a server on centrifugal/centrifuge, for comparison with the server: the library below
// Centrifugo, with a protocol of its own (connect, subscribe, publish, each with an answer), which the
// load generator speaks with -protocol rooms.
//
// From the library's documentation: the node, handlers and broker of its tutorial, a node's own memory
// here, without history; anybody may connect, subscribe and publish. From its examples: small read
// buffers, write buffers from a pool. Everything else is its default: a queue of up to 1 MiB for each
// connection, from which a goroutine sends up to 16 messages in a frame, and a second for each write; a
// client that is slower is dropped. The options that gather messages for a while before they are sent
// are off: WriteDelay is said to save processor time where one client gets very many messages, at the
// price of latency and of a limit to their number, and GetChannelBatchConfig is called experimental.
// A ping every 25 seconds, which a client has to answer.
package main

import (
	"context"
	"net/http"
	"time"

	"github.com/centrifugal/centrifuge"

	"hubbub/bench/peers/internal/peer"
)

func main() {
	peer.Main("centrifuge", "127.0.0.1:8087", serve)
}

// farewell is how long the end may wait for clients to answer close frames.
const farewell = time.Second

func serve(ctx context.Context, addr string, ready func(string)) error {
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		return err
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{UserID: ""}}, nil
	})
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(func(_ centrifuge.SubscribeEvent, reply centrifuge.SubscribeCallback) {
			reply(centrifuge.SubscribeReply{}, nil)
		})
		client.OnPublish(func(_ centrifuge.PublishEvent, reply centrifuge.PublishCallback) {
			reply(centrifuge.PublishReply{}, nil)
		})
	})
	if err := node.Run(); err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), farewell)
		defer cancel()
		_ = node.Shutdown(ctx) // fails for those that don't answer, who end with the process
	}()
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
	mux.Handle("/connection/websocket", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{
		ReadBufferSize:     1024,
		UseWriteBufferPool: true,
	}))
	return peer.HTTP(mux)(ctx, addr, ready)
}
