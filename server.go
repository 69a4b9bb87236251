package hubbub

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"hubbub/internal/broadcast"
	"hubbub/internal/poller"
	"hubbub/internal/wire"
)

// ErrServerClosed is what Serve returns after Shutdown.
var ErrServerClosed = http.ErrServerClosed

// idMask covers the bits of a connection's ID that count; those above are the
// server's.
const idMask = 1<<40 - 1

// Server serves WebSocket connections. It is made by New, and ends with
// Shutdown.
type Server struct {
	// Static after construction.
	cfg       Config
	endpoints []Endpoint
	paths     map[string]int // path to index in endpoints
	sys       poller.Sys
	log       *slog.Logger
	shards    []*shard
	hub       *broadcast.Hub
	kept      *keeper
	idBase    uint64

	http     httpSide
	stats    serverStats
	relief   relief
	perIP    perIP
	memory   *memory
	borrowed sync.WaitGroup // goroutines of loops: TLS handshakes, a garbage collection
	turns    turns
	lastID   atomic.Uint64

	conns    atomic.Int64 // descriptors held for peers, those of net/http included
	full     atomic.Bool  // accepting is paused for want of room
	short    atomic.Bool  // memory is
	choked   atomic.Bool  // nothing is read until backlogs have shrunk
	stopping atomic.Bool

	mu        sync.Mutex // guards serving and ending
	listeners []*listener
	stopped   chan struct{} // closed when Shutdown is done
	empty     chan struct{} // closed when Shutdown has begun and the last connection is gone
	emptied   sync.Once
}

// listener is a socket that connections come from.
type listener struct {
	net.Listener
	fd  int         // a duplicate
	tls *tls.Config // nil for none
}

// New returns a Server that is ready to Serve. An error names the Config field
// that is wrong.
func New(cfg Config) (*Server, error) { return newServer(cfg, nil) }

// newServer is New with the system calls given; nil means the real ones.
func newServer(cfg Config, sys poller.Sys) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	poller.MakeRoom(min(cfg.MaxConns, connsAllowed()))
	s := &Server{
		cfg:     cfg,
		paths:   map[string]int{},
		sys:     sys,
		log:     cfg.Logger,
		turns:   turns{free: cfg.Workers},
		perIP:   perIP{max: cfg.MaxConnsPerIP},
		stopped: make(chan struct{}),
		empty:   make(chan struct{}),
	}
	for path, ep := range cfg.Endpoints {
		s.paths[path] = len(s.endpoints)
		s.endpoints = append(s.endpoints, ep)
	}
	var seed [8]byte
	rand.Read(seed[:])
	s.idBase = binary.NativeEndian.Uint64(seed[:]) &^ idMask
	s.stats.init()
	hub := broadcast.Config{
		Workers:    cfg.Workers,
		Threads:    runtime.GOMAXPROCS(0) > cfg.Loops+cfg.Workers,
		OnThread:   cfg.OnWorkerThread,
		Observer:   &s.stats,
		Encoder:    s.encode,
		HighWater:  int64(cfg.MaxPending),
		LowWater:   int64(cfg.MaxPending / 2),
		Relieved:   s.relieved,
		Neighbours: cfg.Neighbours,
	}
	s.hub = broadcast.New(hub)
	s.kept = newKeeper(cfg, s.hub)
	for range cfg.Loops {
		sh, err := newShard(s)
		if err != nil {
			s.release()
			return nil, err
		}
		s.shards = append(s.shards, sh)
	}
	if cfg.MemoryLimit > 0 {
		s.memory = newMemory(cfg.MemoryLimit)
		s.shards[0].loop.Post(poller.Func(s.watchMemory))
	}
	if cfg.Bus != nil {
		err := cfg.Bus.Attach(node{s.hub, s.kept, &s.relief})
		if err == nil {
			err = s.kept.attach(cfg.Bus)
		}
		if err != nil {
			s.release()
			return nil, fmt.Errorf("hubbub: attaching to the bus: %w", err)
		}
	}
	return s, nil
}

// release ends workers and loops, in this order: workers post to loops.
func (s *Server) release() {
	s.hub.Close()
	s.kept.close()
	for _, sh := range s.shards {
		sh.loop.Close()
	}
}

// ListenAndServe listens on a TCP address ("host:port", ":port") and serves
// until Shutdown.
func (s *Server) ListenAndServe(addr string) error {
	ln, err := poller.Listen(addr)
	if err != nil {
		return err
	}
	return s.Serve(ln)
}

// Serve accepts connections from ln, of which it takes possession, until
// Shutdown; it returns ErrServerClosed then. It may be called for several
// listeners. ln has to be a *net.TCPListener or *net.UnixListener, which other
// processes may share. A TCP listener had better not be one for Multipath TCP, Go's
// default (see net.ListenConfig), which knows no TCP_USER_TIMEOUT.
func (s *Server) Serve(ln net.Listener) error { return s.serve(ln, nil) }

// ServeTLS is Serve for connections that are encrypted. cfg needs a certificate,
// or a function that gets one; protocols other than HTTP/1.1 are not negotiated.
func (s *Server) ServeTLS(ln net.Listener, cfg *tls.Config) error {
	cfg = cfg.Clone()
	cfg.NextProtos = []string{"http/1.1"}
	cfg.DynamicRecordSizingDisabled = true // a record to a message, as far as it goes
	return s.serve(ln, cfg)
}

func (s *Server) serve(ln net.Listener, cfg *tls.Config) error {
	fd, err := poller.ListenerFD(ln)
	if err != nil {
		ln.Close()
		return err
	}
	s.mu.Lock()
	if s.stopping.Load() {
		s.mu.Unlock()
		unix.Close(fd)
		ln.Close()
		return ErrServerClosed
	}
	l := &listener{ln, fd, cfg}
	s.listeners = append(s.listeners, l)
	if _, ok := ln.(*net.TCPListener); ok {
		// Go's own poller would be woken by every connection. A Unix socket's
		// listener has to stay: closing it would remove the socket's name.
		ln.Close()
	}
	if len(s.listeners) == 1 {
		s.http.start(s.cfg.HTTP, ln.Addr(), s.cfg.MaxHTTP)
	}
	errs := make(chan error, len(s.shards))
	for _, sh := range s.shards {
		sh.loop.Post(poller.Func(func() {
			a, err := sh.loop.NewAcceptor(fd, taker{sh, l})
			sh.accepting = append(sh.accepting, a)
			errs <- err
		}))
	}
	for range s.shards {
		err = errors.Join(err, <-errs)
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	<-s.stopped
	return ErrServerClosed
}

// Addr returns the address that is served, the first if there are several, nil
// before Serve.
func (s *Server) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.listeners) == 0 {
		return nil
	}
	return s.listeners[0].Addr()
}

func (s *Server) checkEmpty() {
	if s.conns.Load() == 0 {
		s.emptied.Do(func() { close(s.empty) })
	}
}

func (s *Server) relieved() {
	s.relief.signal(false)
	for _, sh := range s.shards {
		sh.loop.Post(poller.Func(sh.resumeAll))
	}
}

// Publish sends a message to everyone who is subscribed to topic, on all
// servers of the bus. Text has to be valid UTF-8. It may be called from any
// goroutine.
func (s *Server) Publish(topic string, t MessageType, payload []byte) {
	s.stats.published(t)
	if s.cfg.Bus == nil {
		publish(s.hub, topic, t, payload)
		return
	}
	s.publishToAll(topic, t, payload)
}

// PublishKept is Publish, and has all servers keep the message for those who come by Conn.SubscribeLast: in memory,
// within the bounds of Config.KeepMessages and KeepBytes, until they end.
func (s *Server) PublishKept(topic string, t MessageType, payload []byte) {
	s.stats.published(t)
	if s.cfg.Bus == nil {
		s.kept.publish(topic, 0, t, payload)
		return
	}
	marked := make([]byte, 0, keptID+len(payload))
	marked = binary.BigEndian.AppendUint64(marked, mathrand.Uint64())
	s.publishToAll(topic, t|wire.Kept, append(marked, payload...))
}

// publishToAll sends to all servers of the bus, this one included.
func (s *Server) publishToAll(topic string, t MessageType, payload []byte) {
	if err := s.cfg.Bus.Publish(topic, t, payload); err != nil {
		if s.stats.busErrors.Add(1)&(s.stats.busErrors.Load()-1) == 0 { // the 1st, 2nd, 4th, 8th ...
			s.log.Error("a message could not be published", "topic", topic, "error", err)
		}
	}
}

// Subscribers returns the number of subscribers of a topic, on all servers of
// the bus; an error if they can't all be asked.
func (s *Server) Subscribers(ctx context.Context, topic string) (int, error) {
	if s.cfg.Bus != nil {
		return s.cfg.Bus.Subscribers(ctx, topic)
	}
	return s.hub.Subscribers(topic), nil
}

// Connections returns the number of connections, of any kind, that this server
// holds.
func (s *Server) Connections() int { return int(s.conns.Load()) }

// Shutdown ends the server: it stops accepting, closes every WebSocket
// connection with code 1001 and lets ordinary requests end. It returns nil when
// all are gone, or the context's error when that is done first and the rest was
// cut off; connections that an HTTP handler has hijacked are left to it. The
// server can't be used afterwards. A second call returns ErrServerClosed at
// once. It must not be called by a handler, which it would wait for.
func (s *Server) Shutdown(ctx context.Context) error {
	if !s.stopping.CompareAndSwap(false, true) {
		return ErrServerClosed
	}
	s.mu.Lock()
	listeners := s.listeners
	s.mu.Unlock()
	s.onShards(func(sh *shard) {
		for _, a := range sh.accepting {
			a.Pause()
		}
	})
	for _, l := range listeners {
		unix.Close(l.fd)
		l.Close()
	}
	for _, sh := range s.shards {
		sh.loop.Post(poller.Func(sh.closeAll))
	}
	if len(listeners) > 0 {
		s.http.stop(ctx)
	}
	s.checkEmpty()
	var err error
	select {
	case <-s.empty:
	case <-ctx.Done():
		err = ctx.Err()
		s.onShards((*shard).destroyAll)
	}
	s.relief.signal(true)
	s.borrowed.Wait() // all have ended with their connections
	s.release()
	close(s.stopped)
	return err
}

// Each has f called with every open connection of the endpoint at path, on its loop, and waits for that. It
// must not be called on a loop.
func (s *Server) Each(path string, f func(*Conn)) {
	list, ok := s.paths[path]
	if !ok {
		return
	}
	s.onShards(func(sh *shard) {
		// From the end: what f does may take the connection out of the list, where the last one takes its place.
		for i := len(sh.lists[list]) - 1; i >= 0; i-- {
			if c := sh.lists[list][i]; c.state.Load() == stateOpen {
				f(c)
			}
		}
	})
}

// onShards runs fn on every loop and waits for that.
func (s *Server) onShards(fn func(*shard)) {
	var wg sync.WaitGroup
	for _, sh := range s.shards {
		wg.Add(1)
		if !sh.loop.Post(poller.Func(func() { defer wg.Done(); fn(sh) })) {
			wg.Done()
		}
	}
	wg.Wait()
}
