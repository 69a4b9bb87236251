package hubbub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/httphead"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"
)

// listenUnix returns a listener on a Unix socket and its path.
func listenUnix(t *testing.T) (net.Listener, string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "hubbub") // t.TempDir can be too long for an address
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	return ln, path
}

// rawUnix opens a connection to a Unix socket.
func rawUnix(t *testing.T, path string) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("unix", path, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

// A server has as many addresses as it is given, of every kind, and one hub.
func TestSeveralListeners(t *testing.T) {
	s, err := New(whoAmI(Config{Logger: quiet(), Loops: 2}))
	if err != nil {
		t.Fatal(err)
	}
	s.endpoints[0].OnOpen = func(c *Conn, r *Request) error {
		c.Subscribe("t")
		c.Send(Text, fmt.Append(nil, r.RemoteAddr()))
		return nil
	}
	if s.Addr() != nil {
		t.Errorf("before Serve the address is %v", s.Addr())
	}
	served := make(chan error, 10)
	serve := func(ln net.Listener) {
		before := len(served)
		go func() { served <- s.Serve(ln) }()
		waitFor(t, "the listener to be taken", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			for _, l := range s.listeners {
				if l.Listener == ln {
					return true
				}
			}
			return len(served) > before
		})
	}
	listen := func(addr string) net.Listener {
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		return ln
	}
	first, second := listen("127.0.0.1:0"), listen("127.0.0.1:0")
	unixLn, path := listenUnix(t)
	serve(first)
	serve(second)
	serve(unixLn)
	addrs := []string{first.Addr().String(), second.Addr().String()}
	if six, err := net.Listen("tcp", "[::1]:0"); err == nil {
		serve(six)
		addrs = append(addrs, six.Addr().String())
	} else {
		t.Logf("without IPv6, which this machine doesn't have: %v", err)
	}
	if s.Addr().String() != addrs[0] {
		t.Errorf("the address is %v, want that of the first listener, %s", s.Addr(), addrs[0])
	}

	var clients []*client
	for _, addr := range addrs {
		conn := raw(t, addr)
		c := dialWith(t, over(conn), "ws://x/who")
		if got := c.who(); got != conn.LocalAddr().String() {
			t.Errorf("on %s the client has address %s, want %s", addr, got, conn.LocalAddr())
		}
		clients = append(clients, c)
		conn = raw(t, addr)
		if got := whoPage(t, conn, ""); got != conn.LocalAddr().String() {
			t.Errorf("on %s a page's client has address %s, want %s", addr, got, conn.LocalAddr())
		}
	}
	c := dialWith(t, over(rawUnix(t, path)), "ws://x/who")
	if got := c.who(); got != (netip.AddrPort{}).String() {
		t.Errorf("on a Unix socket the client has address %s", got)
	}
	whoPage(t, rawUnix(t, path), "")
	clients = append(clients, c)
	s.Publish("t", Text, []byte("to all"))
	for _, c := range clients {
		c.expect(ws.OpText, "to all")
	}

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	shut := make(chan error, 1)
	go func() { shut <- s.Shutdown(ctx) }()
	for _, c := range clients {
		c.expectClose(1001, "server is shutting down")
		c.conn.Close()
	}
	if err := <-shut; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	for range len(addrs) + 1 {
		if err := <-served; !errors.Is(err, ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	}
	for _, addr := range addrs {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			t.Errorf("%s is still listened on", addr)
		}
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the Unix socket is still there: %v", err)
	}
}

// After Shutdown a listener is closed at once, whatever it is.
func TestServeAfterShutdown(t *testing.T) {
	s, err := New(Config{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	secure, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	unixLn, path := listenUnix(t)
	server, _ := identity()
	for name, err := range map[string]error{"TCP": s.Serve(tcp), "TLS": s.ServeTLS(secure, server), "Unix": s.Serve(unixLn), "ListenAndServe": s.ListenAndServe("127.0.0.1:0")} {
		if !errors.Is(err, ErrServerClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, ln := range []net.Listener{tcp, secure, unixLn} {
		if c, err := net.Dial(ln.Addr().Network(), ln.Addr().String()); err == nil {
			c.Close()
			t.Errorf("%v is still listened on", ln.Addr())
		}
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the Unix socket is still there: %v", err)
	}
	if s.Addr() != nil {
		t.Errorf("the address is %v", s.Addr())
	}
}

// odd is a listener without a descriptor.
type odd struct{ net.Listener }

func TestServeNeedsADescriptor(t *testing.T) {
	s, addr := start(t, Config{Endpoints: relayEndpoints()})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(odd{ln}); err == nil || errors.Is(err, ErrServerClosed) || !strings.Contains(err.Error(), "odd") {
		t.Errorf("Serve: %v, want an error that names what it was given", err)
	}
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener isn't closed: %v", err)
	}
	dial(t, addr, "/echo") // the other one goes on
}

// Whoever is on this machine may speak for others if there is any proxy, with a
// PROXY protocol header where that is asked for; and isn't an address to count.
func TestUnixSocketBehindAProxy(t *testing.T) {
	serve := func(t *testing.T, cfg Config) (*Server, string) {
		s, _ := start(t, whoAmI(cfg))
		ln, path := listenUnix(t)
		go s.Serve(ln) // ends with the server
		return s, path
	}
	as := func(client string) ws.Dialer {
		return ws.Dialer{Header: ws.HandshakeHeaderHTTP{"X-Forwarded-For": {client}}}
	}
	who := func(t *testing.T, d ws.Dialer, conn net.Conn) string {
		d.NetDial = over(conn).NetDial
		return dialWith(t, d, "ws://x/who").who()
	}
	t.Run("without proxies", func(t *testing.T) {
		_, path := serve(t, Config{})
		if got := who(t, as("203.0.113.7"), rawUnix(t, path)); got != (netip.AddrPort{}).String() {
			t.Errorf("the client has address %s", got)
		}
	})
	t.Run("X-Forwarded-For", func(t *testing.T) {
		s, path := serve(t, Config{TrustedProxies: loopback(9), MaxConnsPerIP: 1})
		if got := who(t, as("203.0.113.7"), rawUnix(t, path)); got != "203.0.113.7:0" {
			t.Errorf("the client has address %s", got)
		}
		d := as("203.0.113.7")
		d.NetDial = over(rawUnix(t, path)).NetDial
		if _, err := tryDialWith(t, d, "ws://x/who"); !errors.Is(err, ws.StatusError(429)) || s.refused(refusedPerIP) != 1 {
			t.Errorf("one too many: %v, %d counted", err, s.refused(refusedPerIP))
		}
		for range 3 { // speaking for themselves
			who(t, ws.Dialer{}, rawUnix(t, path))
		}
	})
	t.Run("PROXY protocol", func(t *testing.T) {
		s, path := serve(t, Config{TrustedProxies: loopback(9), ProxyProtocol: true})
		conn := rawUnix(t, path)
		io.WriteString(conn, proxyHeader(cmdProxy, famTCP6, proxyAddrs(clientAddr6)))
		if got := who(t, ws.Dialer{}, conn); got != clientAddr6 {
			t.Errorf("the client has address %s, want %s", got, clientAddr6)
		}
		conn = rawUnix(t, path)
		io.WriteString(conn, handshake)
		expectEnd(t, conn)
		if s.refused(refusedProxy) != 1 {
			t.Errorf("%d were counted, want 1", s.refused(refusedProxy))
		}
	})
}

// One message goes to all, each in the form it takes: compressed or not,
// encrypted or not.
func TestOneBroadcastInEveryForm(t *testing.T) {
	s, plain, secure := startTLS(t, Config{Endpoints: relayEndpoints(), Compress: true, CompressMin: 200})
	_, trust := identity()
	small := wsflate.Parameters{ServerMaxWindowBits: 9}
	type member struct {
		*client
		compressed bool
	}
	var all []member
	for range 3 {
		for _, offer := range [][]httphead.Option{nil, {wsflate.DefaultParameters.Option()}, {small.Option()}} {
			all = append(all,
				member{dialWith(t, ws.Dialer{Extensions: offer}, "ws://"+plain+"/ws"), offer != nil},
				member{dialWith(t, ws.Dialer{Extensions: offer, TLSConfig: trust}, "wss://"+secure+"/ws"), offer != nil})
		}
	}
	waitFor(t, "everybody to be subscribed", func() bool { return s.hub.Subscribers("lobby") == len(all) })
	for i, size := range []int{5, 199, 200, 5000, 60_000, 3} {
		want := strings.Repeat(fmt.Sprint("message ", i, " "), 10_000)[:size]
		s.Publish("lobby", Text, []byte(want))
		for k, m := range all {
			f, err := ws.ReadFrame(m.rw)
			if err != nil {
				t.Fatal(err)
			}
			if got := f.Header.Rsv1(); got != (m.compressed && size >= 200) || f.Header.OpCode != ws.OpText {
				t.Errorf("member %d received %d bytes as %v", k, size, f.Header)
			}
			if f.Header.Rsv1() {
				if f, err = wsflate.DecompressFrame(f); err != nil {
					t.Fatal(err)
				}
			}
			if string(f.Payload) != want {
				t.Errorf("member %d received %.20q of %d bytes, want %.20q of %d", k, f.Payload, len(f.Payload), want, size)
			}
		}
	}
}
