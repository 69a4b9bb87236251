package hubbub

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/prometheus/client_golang/prometheus"
)

// rawFrom opens a TCP connection from a local address.
func rawFrom(t *testing.T, from, addr string) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}).Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

// over has a Dialer use a connection that is there already.
func over(c net.Conn) ws.Dialer {
	return ws.Dialer{NetDial: func(context.Context, string, string) (net.Conn, error) { return c, nil }}
}

// counted returns how many connections are counted for all addresses together.
func (p *perIP) counted() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, k := range p.conns {
		n += k
	}
	return n
}

// of returns how many are counted for an address.
func (p *perIP) of(a netip.Addr) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conns[origin(a)]
}

// empty reports whether nothing is left of anybody.
func (p *perIP) empty() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns) == 0
}

func TestMaxConnsPerIP(t *testing.T) {
	hold := make(chan struct{})
	s, addr, secure := startTLS(t, Config{Endpoints: relayEndpoints(), MaxConnsPerIP: 4,
		HTTP: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hold })})
	reg := prometheus.NewRegistry()
	reg.MustRegister(s)
	page := rawFrom(t, "127.0.0.1", addr)
	io.WriteString(page, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	waitFor(t, "the page to be served", func() bool { return s.http.conns.Load() == 1 })
	silent := rawFrom(t, "127.0.0.1", addr)
	waitFor(t, "the silent one to be accepted", func() bool { return s.Connections() == 2 })
	first := dialWith(t, over(rawFrom(t, "127.0.0.1", addr)), "ws://x/echo")
	dialTLS(t, secure, "/echo", 0) // of any kind, on any listener

	for i := range 5 {
		expectEnd(t, rawFrom(t, "127.0.0.1", [...]string{addr, secure}[i%2]))
	}
	if got := metric(t, reg, `hubbub_handshakes_refused_total{reason="per_ip"}`); got != 5 {
		t.Errorf("%v refusals were counted, want 5", got)
	}
	second := dialWith(t, over(rawFrom(t, "127.0.0.2", addr)), "ws://x/echo")
	for _, c := range []*client{first, second} {
		c.send(ws.OpText, "in")
		c.expect(ws.OpText, "in")
	}

	for i, leave := range []func(){
		func() { first.conn.Close() },
		func() { silent.Close() },
		func() { close(hold); io.Copy(io.Discard, page) },
	} {
		leave()
		waitFor(t, "room again", func() bool { return s.perIP.counted() == 4 })
		c := dialWith(t, over(rawFrom(t, "127.0.0.1", addr)), "ws://x/echo")
		c.send(ws.OpText, "in")
		c.expect(ws.OpText, "in")
		expectEnd(t, rawFrom(t, "127.0.0.1", addr))
		if got := s.refused(refusedPerIP); got != uint64(6+i) {
			t.Errorf("%d refusals were counted, want %d", got, 6+i)
		}
	}
}

// However connections come, end, and are turned away, nobody ever has more than
// the limit, and in the end nothing is left of them.
func TestPerIPChurn(t *testing.T) {
	const limit = 3
	var mu sync.Mutex
	open := map[netip.Addr]int{}
	count := func(a netip.Addr, by int) {
		mu.Lock()
		defer mu.Unlock()
		if open[a] += by; open[a] > limit {
			t.Errorf("%v has %d connections", a, open[a])
		}
	}
	s, addr, secure := startTLS(t, Config{MaxConnsPerIP: limit, Loops: 2, MaxHandshakes: 8, Endpoints: map[string]Endpoint{"/": {
		OnOpen: func(c *Conn, r *Request) error {
			c.SetSession(r.RemoteAddr().Addr())
			count(r.RemoteAddr().Addr(), +1)
			return nil
		},
		OnClose: func(c *Conn, _ uint16, _ string) { count(c.Session().(netip.Addr), -1) },
	}}})
	var served atomic.Int64
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			die := rand.New(rand.NewPCG(seed, uint64(g)))
			for range 100 {
				to := [...]string{addr, secure}[die.IntN(2)]
				from := &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(1+die.IntN(3)))}
				conn, err := (&net.Dialer{LocalAddr: from, Timeout: patience}).Dial("tcp", to)
				if err != nil {
					t.Error(err)
					return
				}
				conn.SetDeadline(time.Now().Add(patience))
				d := over(conn)
				if to == secure {
					_, d.TLSConfig = identity()
				}
				scheme := map[string]string{addr: "ws", secure: "wss"}[to]
				switch die.IntN(5) {
				case 0, 1:
					if _, _, _, err := d.Dial(t.Context(), scheme+"://x/"); err == nil {
						served.Add(1)
					}
				case 2:
					io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
					io.Copy(io.Discard, conn)
				case 3:
					io.WriteString(conn, "nonsense\r\n\r\n")
				}
				if die.IntN(2) == 0 {
					conn.(*net.TCPConn).SetLinger(0)
				}
				conn.Close()
			}
		})
	}
	wg.Wait()
	waitFor(t, "the connections to be gone", func() bool { return s.Connections() == 0 })
	if !s.perIP.empty() {
		t.Errorf("what is left: %v", s.perIP.conns)
	}
	if served.Load() == 0 || s.refused(refusedPerIP) == 0 {
		t.Errorf("%d connections were served and %d refused: nothing was tested", served.Load(), s.refused(refusedPerIP))
	}
}

func TestOrigin(t *testing.T) {
	for _, tt := range []struct{ a, want string }{
		{"192.0.2.1", "192.0.2.1"},
		{"::ffff:192.0.2.1", "192.0.2.1"},
		{"2001:db8:1:2::", "2001:db8:1:2::"},
		{"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"},
		{"2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::"},
		{"2001:db8:1:3:3:4:5:6", "2001:db8:1:3::"},
		{"fe80::1%eth0", "fe80::"},
		{"::1", "::"},
	} {
		if got := origin(netip.MustParseAddr(tt.a)); got != netip.MustParseAddr(tt.want) {
			t.Errorf("%s is taken for %v, want %s", tt.a, got, tt.want)
		}
	}
}

func TestPerIPCounts(t *testing.T) {
	p := perIP{max: 2}
	enter := func(a string, want bool) {
		t.Helper()
		if got := p.enter(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s may enter: %v, want %v", a, got, want)
		}
	}
	leave := func(a string) { p.leave(netip.MustParseAddr(a)) }
	enter("2001:db8::1", true)
	enter("2001:db8::ffff", true) // the same /64
	enter("2001:db8::2", false)
	enter("2001:db8:0:1::2", true)
	enter("192.0.2.1", true)
	enter("::ffff:192.0.2.1", true)
	enter("192.0.2.1", false)
	enter("192.0.2.2", true)
	leave("2001:db8::3")
	enter("2001:db8::2", true)
	for _, a := range []string{"2001:db8::", "2001:db8::", "2001:db8:0:1::", "192.0.2.1", "192.0.2.1", "192.0.2.2"} {
		leave(a)
	}
	if !p.empty() {
		t.Errorf("what is left: %v", p.conns)
	}
}
