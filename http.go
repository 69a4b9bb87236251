package hubbub

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// httpSide serves the connections whose first request is no WebSocket
// handshake. It is a net.Listener that net/http accepts from.
type httpSide struct {
	server http.Server
	addr   net.Addr
	queue  chan net.Conn
	done   chan struct{}
	once   sync.Once
	ended  chan struct{}

	conns atomic.Int64
}

func (h *httpSide) start(handler http.Handler, addr net.Addr, max int) {
	h.server = http.Server{
		Handler:           withTLS(handler),
		ConnContext:       func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		WriteTimeout:      time.Minute,
	}
	// One request to a connection: the next one on it could be a handshake,
	// which is ours.
	h.server.SetKeepAlivesEnabled(false)
	h.addr = addr
	h.queue = make(chan net.Conn, max)
	h.done = make(chan struct{})
	h.ended = make(chan struct{})
	go func() {
		defer close(h.ended)
		_ = h.server.Serve(h) // ends when Accept does
	}()
}

type connKey struct{}

// withTLS tells handlers of the encryption, of which net/http doesn't know.
func withTLS(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(connKey{}).(*handedConn); ok && c.tls != nil {
			state := c.tls.ConnectionState()
			r.TLS = &state
		}
		next.ServeHTTP(w, r)
	})
}

func (h *httpSide) stop(ctx context.Context) {
	if err := h.server.Shutdown(ctx); err != nil {
		h.server.Close()
	}
	<-h.ended
	for {
		select {
		case c := <-h.queue:
			c.Close()
		default:
			return
		}
	}
}

// Accept implements net.Listener.
func (h *httpSide) Accept() (net.Conn, error) {
	select {
	case c := <-h.queue:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (h *httpSide) Close() error {
	h.once.Do(func() { close(h.done) })
	return nil
}

// Addr implements net.Listener.
func (h *httpSide) Addr() net.Addr { return h.addr }

// handOver gives a connection, with what has been read from it, to net/http.
func (c *Conn) handOver(read []byte) {
	sh := c.shard
	s := sh.server
	if s.stopping.Load() { // Shutdown has passed by: nobody would take it
		c.destroy(endHandshake)
		return
	}
	if s.http.conns.Add(1) > int64(s.cfg.MaxHTTP) {
		s.http.conns.Add(-1)
		s.stats.httpRejected.Add(1)
		c.destroy(endHandshake)
		return
	}
	c.forget()
	file := os.NewFile(uintptr(c.fd), "")
	conn, err := net.FileConn(file) // a duplicate
	file.Close()
	head := bytes.Clone(read)
	if c.phase.head != nil {
		putHead(c.phase.head)
		c.phase.head = nil
	}
	if err != nil {
		s.log.Warn("a connection could not be handed to net/http", "error", err)
		s.http.conns.Add(-1)
		c.ext.unbook(&s.perIP)
		s.gone(sh)
		return
	}
	hc := &handedConn{Conn: conn, read: head, shard: sh, ext: c.ext}
	if sec := c.secure(); sec != nil {
		hc.tls = sec.tls
		hc.Conn = sec.handOver(conn)
	}
	s.http.queue <- hc // has room for MaxHTTP
}

// handedConn is a connection of which some bytes have been read before.
type handedConn struct {
	net.Conn
	read  []byte
	shard *shard
	ext   *extras   // may be nil
	tls   *tls.Conn // nil if it isn't encrypted
	once  sync.Once
}

// RemoteAddr is the client's, behind a proxy that says so.
func (c *handedConn) RemoteAddr() net.Addr {
	if c.ext != nil && c.ext.peer.IsValid() {
		return net.TCPAddrFromAddrPort(c.ext.peer)
	}
	return c.Conn.RemoteAddr()
}

func (c *handedConn) Read(p []byte) (int, error) {
	if len(c.read) > 0 {
		n := copy(p, c.read)
		if c.read = c.read[n:]; len(c.read) == 0 {
			c.read = nil
		}
		return n, nil
	}
	return c.Conn.Read(p)
}

// CloseWrite lets net/http send FIN before it closes.
func (c *handedConn) CloseWrite() error {
	if cw, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (c *handedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		s := c.shard.server
		s.http.conns.Add(-1)
		c.ext.unbook(&s.perIP)
		s.gone(c.shard)
	})
	return err
}
