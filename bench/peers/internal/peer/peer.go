// Package peer has what the programs to compare the server with have in common: flags, signals, the
// loop of net/http, and topics for those whose library leaves the members of one to its user.
package peer

import (
	"context"
	"errors"
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// MaxMessage is the size in bytes of the largest message that a client may send.
const MaxMessage = 64 << 10

// Serve serves on addr until the context is done or it fails. It calls ready with the address it
// listens on, in which a port 0 is replaced by the one that the kernel chose.
type Serve func(ctx context.Context, addr string, ready func(addr string)) error

// Main is the main function of the peer called name: it serves until the process is asked to end.
func Main(name, addr string, serve Serve) {
	flag.StringVar(&addr, "addr", addr, "`address` to listen on")
	flag.Parse()
	if flag.NArg() > 0 {
		log.Printf("%s: takes flags only; see -help", name)
		os.Exit(2)
	}
	// The Go runtime has raised the soft limit to the hard one before main.
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		log.Fatalf("%s: %v", name, err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := serve(ctx, addr, func(addr string) {
		log.Printf("%s: serving on %s, at most %d descriptors", name, addr, limit.Cur)
	})
	stop()
	if err != nil {
		log.Fatalf("%s: %v", name, err)
	}
}

// HTTP serves with net/http.
func HTTP(handler http.Handler) Serve {
	return func(ctx context.Context, addr string, ready func(string)) error {
		listener, err := net.Listen("tcp", addr)
		if err != nil {
			return err
		}
		ready(listener.Addr().String())
		server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
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
}

// Mux routes the three endpoints that a peer has.
func Mux(ws func(w http.ResponseWriter, r *http.Request, topic string), echo http.HandlerFunc) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		ws(w, r, Name(r.URL.Query().Get("topic")))
	})
	mux.HandleFunc("/echo", echo)
	return mux
}

// Name returns the name of the topic that a client asks for with the given parameter.
func Name(parameter string) string {
	if parameter == "" {
		return "lobby"
	}
	return parameter
}
