// Gorilla is a hub on gorilla/websocket, for comparison with the server: the architecture of the
// library's own chat example (a goroutine for a topic's hub, two for each connection, a buffered
// channel between them), with what its documentation advises for many connections: messages
// prepared once for all, small buffers, write buffers from a pool.
//
// It serves what the load generator needs and nothing more: /ws relays every message as it came to
// everyone on the topic, /echo sends it back. No keepalive, as is the server's own default.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8082", "`address` to listen on")
	flag.Parse()
	if flag.NArg() > 0 {
		log.Print("gorilla: takes flags only; see -help")
		os.Exit(2)
	}
	if err := run(*addr); err != nil {
		log.Fatalf("gorilla: %v", err)
	}
}

// run serves until the process is asked to end.
func run(addr string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	// The Go runtime has raised the soft limit to the hard one before main.
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	log.Printf("gorilla: serving on %s, at most %d descriptors", listener.Addr(), limit.Cur)

	server := &http.Server{Handler: handler(), ReadHeaderTimeout: 10 * time.Second}
	stopped := make(chan error, 1)
	go func() { stopped <- server.Serve(listener) }()
	select {
	case err := <-stopped:
		return err
	case <-ctx.Done():
	}
	// WebSocket connections are not the http.Server's any more; they end with the process.
	if err := server.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

func handler() http.Handler {
	upgrader := &websocket.Upgrader{
		ReadBufferSize:  1024,
		WriteBufferSize: 1024,
		WriteBufferPool: &sync.Pool{},
	}
	var hubs hubs
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		topic := r.URL.Query().Get("topic")
		if topic == "" {
			topic = "lobby"
		}
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return // Upgrade has answered
		}
		join(hubs.of(topic), conn)
	})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		go echo(conn)
	})
	return mux
}
