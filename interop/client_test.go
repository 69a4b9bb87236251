package interop

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
)

// client is a WebSocket library.
type client struct {
	name string
	// dial connects, or fails the test. The connection ends with the test.
	dial func(t *testing.T, o options) conn
}

var clients = []client{{"gorilla", dialGorilla}, {"coder", dialCoder}, {"ws", dialNode}}

// options are what a connection is dialed with.
type options struct {
	url      string
	compress bool   // offer permessage-deflate
	ca       string // file with the certificates to trust
	window   int    // server_max_window_bits to offer, 0 for none; ws alone can
}

// conn is a connection of a client. Its methods are for the test's goroutine.
type conn interface {
	// extensions returns Sec-WebSocket-Extensions of the answer.
	extensions() string
	// send sends a message, or a part of one: last tells whether it ends there.
	send(k kind, data []byte, last bool) error
	// ping returns what it has sent: coder doesn't let one choose.
	ping(payload string) (sent string, err error)
	// close starts the closing handshake.
	close(code int, reason string) error
	// events is what has come, in order.
	events() <-chan event
	// traffic returns the number of bytes that have crossed the socket, as of
	// the last event.
	traffic() (read, written int64)
}

// kind is what an event is about.
type kind string

const (
	text   kind = "text"
	binary kind = "binary"
	ping   kind = "ping"
	pong   kind = "pong"
	closed kind = "closed"
)

// event is what a client has told: a message, a ping or pong, or the end.
type event struct {
	kind   kind
	data   []byte
	code   int    // closed: of the peer's close frame, 1006 if there was none
	reason string // closed: likewise
	err    string // closed: what the library said about it
}

// noCloseFrame is the code of an end without one (RFC 6455 section 7.4.1).
const noCloseFrame = 1006

// inbox passes events from a client's reader to the test.
type inbox struct {
	ch   chan event
	left chan struct{} // closed when the test is over
	done sync.WaitGroup
}

func newInbox() *inbox {
	// The buffer is for what comes while the test waits in a call of the
	// library's own.
	return &inbox{ch: make(chan event, 16), left: make(chan struct{})}
}

func (in *inbox) events() <-chan event { return in.ch }

func (in *inbox) put(e event) {
	select {
	case in.ch <- e:
	case <-in.left:
	}
}

// meter counts the bytes that cross a Go client's socket.
type meter struct{ in, out atomic.Int64 }

func (m *meter) traffic() (read, written int64) { return m.in.Load(), m.out.Load() }

// dial is a dialer's NetDialContext.
func (m *meter) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &meteredConn{c, m}, nil
}

type meteredConn struct {
	net.Conn
	meter *meter
}

func (c *meteredConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.meter.in.Add(int64(n))
	return n, err
}

func (c *meteredConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.meter.out.Add(int64(n))
	return n, err
}

// trust returns the TLS configuration that trusts a file of certificates and
// nothing else; nil for no file.
func trust(t *testing.T, file string) *tls.Config {
	t.Helper()
	if file == "" {
		return nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatalf("%s has no certificate", file)
	}
	return &tls.Config{RootCAs: pool}
}
