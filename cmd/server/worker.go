package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"hubbub"
	"hubbub/internal/bus"
	"hubbub/internal/neighbours"
)

// roleEnv is the environment variable by which a supervisor tells a process
// that it is a worker.
const roleEnv = "_HUBBUB_WORKER"

// role is what a worker is told by its supervisor.
type role struct {
	Index      int    `json:"index"`
	Conns      int    `json:"conns"`      // connections to hold at most
	Handshakes int    `json:"handshakes"` // of these, at their handshake at most
	Bus        string `json:"bus"`        // NATS URL
	Prefix     string `json:"prefix"`
	ID         string `json:"id"` // on the bus
	Of         int    `json:"of"` // workers of this supervisor
}

// The descriptors a worker inherits.
const (
	fdLifeline   = 3 + iota // a pipe that ends when the supervisor does
	fdAdmin                 // a listening Unix socket for the supervisor's questions
	fdNeighbours            // memory on which workers say that they are busy
	fdPublic                // the listening sockets that all workers share: this and those that follow
)

// inheritedRole returns the role that a supervisor has given this process, if
// one has.
func inheritedRole() (r role, ok bool, err error) {
	v, ok := os.LookupEnv(roleEnv)
	if !ok {
		return role{}, false, nil
	}
	os.Unsetenv(roleEnv)
	if err := json.Unmarshal([]byte(v), &r); err != nil {
		return role{}, false, fmt.Errorf("%s is for the server's own use: %w", roleEnv, err)
	}
	return r, true, nil
}

// runWorker serves a part of the connections, as long as the supervisor lives.
func runWorker(o *options, r role, log *slog.Logger) error {
	go func() {
		// Nothing is ever written to the pipe: it ends with the supervisor,
		// whatever has killed that.
		_, _ = io.Copy(io.Discard, os.NewFile(fdLifeline, "lifeline"))
		os.Exit(1)
	}()
	// A terminal's Ctrl-C goes to all processes; the supervisor decides.
	signal.Ignore(os.Interrupt)
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()

	limitMemory(r.Of+1, log)
	o.shareOut(r.Of)
	secure, err := tlsConfig(o, log)
	if err != nil {
		return err
	}
	var public []net.Listener
	for i := range o.addr {
		ln, err := inheritListener(uintptr(fdPublic + i))
		if err != nil {
			return err
		}
		public = append(public, ln)
	}
	admin, err := inheritListener(fdAdmin)
	if err != nil {
		return err
	}
	others, err := inheritNeighbours(r)
	if err != nil {
		return err
	}
	b, err := dialBus(o, bus.NATSConfig{URL: r.Bus, Prefix: r.Prefix, Name: fmt.Sprintf("hubbub worker %d", r.Index), ID: r.ID}, log)
	if err != nil {
		return err
	}
	defer b.Close()
	logs, err := openLogs(o, b)
	if err != nil {
		return err
	}
	serving, end := context.WithCancel(context.Background())
	defer end()
	verifier, err := newVerifier(serving, o, log)
	if err != nil {
		return err
	}
	srv, channels, err := newServer(o, share{r.Conns, r.Handshakes, b, others, logs, verifier}, log)
	if err != nil {
		return err
	}
	metrics := promhttp.HandlerFor(newRegistry(srv, channels, busLost(b)), promhttp.HandlerOpts{})
	mux := adminMux(metrics, func() health { return healthOf(srv, b.Check) })
	defer serveAdmin(admin, mux, log)()
	forgetStartup()
	return serveUntil(stop, cancel, srv, public, secure, o, log)
}

func inheritListener(fd uintptr) (net.Listener, error) {
	f := os.NewFile(fd, "listener")
	defer f.Close()
	ln, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("inheriting descriptor %d from the supervisor: %w", fd, err)
	}
	return ln, nil
}

func inheritNeighbours(r role) (hubbub.Neighbours, error) {
	f := os.NewFile(fdNeighbours, "descriptor 5")
	defer f.Close()
	board, err := neighbours.Open(f, r.Of)
	if err != nil {
		return nil, err
	}
	return board.As(r.Index), nil
}
