package hubbub

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"hubbub/internal/testcert"
)

// identity makes a certificate for 127.0.0.1 and what it takes to trust it.
var identity = sync.OnceValues(func() (*tls.Config, *tls.Config) {
	cert, ca := testcert.Loopback(time.Hour)
	trust := x509.NewCertPool()
	trust.AppendCertsFromPEM(ca)
	return &tls.Config{Certificates: []tls.Certificate{cert}}, &tls.Config{RootCAs: trust, ServerName: "127.0.0.1"}
})

// startTLS is start with a second address that is encrypted.
func startTLS(t *testing.T, cfg Config) (s *Server, plain, secure string) {
	t.Helper()
	s, plain = start(t, cfg)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, _ := identity()
	go s.ServeTLS(ln, server) // ends with the server
	return s, plain, ln.Addr().String()
}

func dialTLS(t *testing.T, addr, path string, version uint16) *client {
	t.Helper()
	_, trust := identity()
	trust = trust.Clone()
	trust.MinVersion, trust.MaxVersion = version, version
	c, err := tryDialWith(t, ws.Dialer{TLSConfig: trust}, "wss://"+addr+path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var tlsVersions = []uint16{tls.VersionTLS12, tls.VersionTLS13}

func eachVersion(t *testing.T, fn func(t *testing.T, version uint16)) {
	for _, v := range tlsVersions {
		t.Run(tls.VersionName(v), func(t *testing.T) { fn(t, v) })
	}
}

func TestTLSEcho(t *testing.T) {
	_, _, addr := startTLS(t, Config{Endpoints: relayEndpoints(), MaxMessage: 4 << 20, MaxBacklog: 16 << 20})
	eachVersion(t, func(t *testing.T, v uint16) {
		c := dialTLS(t, addr, "/echo", v)
		for _, n := range []int{0, 1, 125, 126, 16383, 16384, 16385, 65535, 65536, 1 << 20, 4 << 20} {
			want := strings.Repeat("x", n)
			sent := make(chan error, 1)
			go func() { sent <- wsutil.WriteClientMessage(c.conn, ws.OpText, []byte(want)) }()
			c.expect(ws.OpText, want)
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
		}
		c.send(ws.OpClose, "\x0f\xa1bye")
		c.expectClose(4001, "")
		c.expectEOF()
	})
}

// One message goes to plain and encrypted connections alike, and those that read
// slowly get all of it.
func TestTLSRelay(t *testing.T) {
	s, plain, secure := startTLS(t, Config{Endpoints: relayEndpoints(), MaxBacklog: 64 << 20})
	clients := []*client{dial(t, plain, "/ws")}
	for range 4 {
		for _, v := range tlsVersions {
			clients = append(clients, dialTLS(t, secure, "/ws", v))
		}
	}
	waitFor(t, "everybody to be subscribed", func() bool { return s.hub.Subscribers("lobby") == len(clients) })
	const n = 400
	for i := range n { // far more than the sockets hold: all of it has to wait
		s.Publish("lobby", Text, fmt.Appendf(nil, "%d %s", i, strings.Repeat("y", 60_000)))
	}
	var wg sync.WaitGroup
	for _, c := range clients {
		wg.Go(func() {
			for i := range n {
				p, _, err := wsutil.ReadServerData(c.rw)
				if err != nil || !bytes.HasPrefix(p, fmt.Appendf(nil, "%d y", i)) || len(p) < 60_000 {
					t.Errorf("message %d: %.10q, %v", i, p, err)
					return
				}
			}
		})
	}
	wg.Wait()
	waitFor(t, "the backlogs to be empty", func() bool { return s.stats.backlog.Load() == 0 })
}

// An encrypted connection has a goroutine only while it shakes hands.
func TestTLSGoroutines(t *testing.T) {
	s, _, addr := startTLS(t, Config{Endpoints: relayEndpoints()})
	dialTLS(t, addr, "/ws", tls.VersionTLS13)
	before := runtime.NumGoroutine()
	var clients []*client
	for range 50 {
		clients = append(clients, dialTLS(t, addr, "/ws", tls.VersionTLS13))
	}
	waitFor(t, "the handshakes' goroutines to end", func() bool { return runtime.NumGoroutine() <= before })
	s.Publish("lobby", Text, []byte("hello"))
	for _, c := range clients {
		c.expect(ws.OpText, "hello")
	}
}

// Everything may come a byte at a time: records, the request, frames.
func TestTLSByteByByte(t *testing.T) {
	_, _, addr := startTLS(t, Config{Endpoints: relayEndpoints()})
	raw, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(patience))
	_, trust := identity()
	conn := tls.Client(dribble{raw}, trust)
	frame := ws.MustCompileFrame(ws.MaskFrame(ws.NewTextFrame([]byte("dribbled"))))
	request := "GET /echo HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	for _, b := range append([]byte(request), frame...) { // a record to a byte
		if _, err := conn.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	got := make([]byte, 0, 512)
	for !bytes.HasSuffix(got, []byte("\x81\x08dribbled")) {
		n, err := conn.Read(got[len(got):cap(got)])
		if got = got[:len(got)+n]; err != nil {
			t.Fatalf("%q, %v", got, err)
		}
	}
}

// dribble writes a byte at a time.
type dribble struct{ net.Conn }

func (d dribble) Write(p []byte) (int, error) {
	for i := range p {
		if _, err := d.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

func TestTLSPage(t *testing.T) {
	_, _, addr := startTLS(t, Config{HTTP: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %v %s", r.Method, r.TLS != nil && r.TLS.HandshakeComplete, body)
	})})
	_, trust := identity()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: trust}}
	defer client.CloseIdleConnections()
	resp, err := client.Post("https://"+addr+"/x", "text/plain", strings.NewReader(strings.Repeat("z", 100_000)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); err != nil || string(got) != "POST true "+strings.Repeat("z", 100_000) {
		t.Errorf("%.40q, %v", got, err)
	}
}

// Whoever doesn't speak TLS is told so, or cut off, and counted.
func TestTLSRefusals(t *testing.T) {
	s, _, addr := startTLS(t, Config{Endpoints: relayEndpoints(), HandshakeTimeout: time.Second})
	refused := func(why refusal) (n uint64) {
		for _, sh := range s.shards {
			n += sh.stats.refused[why].Load()
		}
		return n
	}
	for _, tt := range []struct {
		name, send, want string
		why              refusal
	}{
		{"HTTP", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "this is a TLS port", refusedTLS},
		{"garbage", "\x00\x01\x02\x03\x04\x05\x06", "", refusedTLS},
		{"an endless hello", "\x16\x03\x01\x40\x00\x01\xff\xff\xff" + strings.Repeat("a", 200_000), "", refusedTLS},
		{"half a hello", "\x16\x03\x01\x40\x00\x01\x00", "", refusedTimeout},
		{"silence", "", "", refusedTimeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := refused(tt.why)
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(patience))
			io.WriteString(conn, tt.send) // may be cut off
			if got, _ := io.ReadAll(conn); !strings.Contains(string(got), tt.want) || tt.why == refusedTimeout && len(got) > 0 {
				t.Errorf("answer %q, want %q in it", got, tt.want)
			}
			waitFor(t, "the refusal to be counted", func() bool { return refused(tt.why) == before+1 })
		})
	}
	waitFor(t, "the connections to be gone", func() bool { return s.Connections() == 0 })
}
