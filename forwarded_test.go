package hubbub

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"hubbub/internal/wire"
)

// proxyNets are the trusted networks of the tests here.
var proxyNets = []netip.Prefix{
	netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8"),
}

// The client is the last that isn't a proxy of ours: what stands before it,
// anybody could have written.
func TestForwarded(t *testing.T) {
	s := &Server{cfg: Config{TrustedProxies: proxyNets}}
	for _, tt := range []struct {
		name, fields, want string // want "" for none
	}{
		{"nothing", "", ""},
		{"an empty field", "X-Forwarded-For:\r\n", ""},
		{"one", "X-Forwarded-For: 203.0.113.7\r\n", "203.0.113.7:0"},
		{"a name of other letters", "x-forwarded-FOR: 203.0.113.7\r\n", "203.0.113.7:0"},
		{"another name", "X-Forwarded-Fo: 203.0.113.7\r\nForwarded: for=203.0.113.7\r\nX-Real-IP: 203.0.113.7\r\n", ""},
		{"with a port", "X-Forwarded-For: 203.0.113.7:99\r\n", "203.0.113.7:99"},
		{"IPv6", "X-Forwarded-For: 2001:db8::7\r\n", "[2001:db8::7]:0"},
		{"IPv6 in brackets", "X-Forwarded-For: [2001:db8::7]\r\n", "[2001:db8::7]:0"},
		{"IPv6 with a port", "X-Forwarded-For: [2001:db8::7]:99\r\n", "[2001:db8::7]:99"},
		{"what the client made up", "X-Forwarded-For: 1.1.1.1, 203.0.113.7\r\n", "203.0.113.7:0"},
		{"in two fields", "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 203.0.113.7\r\n", "203.0.113.7:0"},
		{"in two fields, and others between", "X-Forwarded-For: 203.0.113.7\r\nY: z\r\nX-Forwarded-For: 10.0.0.2\r\n", "203.0.113.7:0"},
		{"several hops", "X-Forwarded-For: 1.1.1.1, 203.0.113.7,10.0.0.1 ,\tfd00::1\r\n", "203.0.113.7:0"},
		{"a hop in IPv6 clothes", "X-Forwarded-For: 203.0.113.7, ::ffff:10.0.0.1\r\n", "203.0.113.7:0"},
		{"a hop with a zone", "X-Forwarded-For: 203.0.113.7, fd00::1%eth0\r\n", "203.0.113.7:0"},
		{"a hop with a port", "X-Forwarded-For: 203.0.113.7, 10.0.0.1:80\r\n", "203.0.113.7:0"},
		{"a client in IPv6 clothes", "X-Forwarded-For: ::ffff:203.0.113.7\r\n", "203.0.113.7:0"},
		{"proxies only", "X-Forwarded-For: 10.0.0.9, 10.0.0.1\r\n", "10.0.0.9:0"},
		{"garbage last", "X-Forwarded-For: 203.0.113.7, unknown\r\n", ""},
		{"garbage before a proxy", "X-Forwarded-For: 203.0.113.7, _hidden, 10.0.0.1\r\n", "10.0.0.1:0"},
		{"garbage before the client", "X-Forwarded-For: <script>, 203.0.113.7, 10.0.0.1\r\n", "203.0.113.7:0"},
		{"a comma at the end", "X-Forwarded-For: 203.0.113.7,\r\n", ""},
		{"half an address", "X-Forwarded-For: 203.0.113\r\n", ""},
		{"a port that isn't one", "X-Forwarded-For: 203.0.113.7:66000\r\n", ""},
		{"a name", "X-Forwarded-For: example.com\r\n", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var h wire.Head
			if _, err := h.Parse([]byte("GET / HTTP/1.1\r\n"+tt.fields+"\r\n"), 0); err != nil {
				t.Fatal(err)
			}
			got := ""
			if a := s.forwarded(&h); a.IsValid() {
				got = a.String()
			}
			if got != tt.want {
				t.Errorf("the client is %q, want %q", got, tt.want)
			}
		})
	}
}

// Those we trust are believed, others aren't.
func TestForwardedFor(t *testing.T) {
	_, addr := start(t, whoAmI(Config{TrustedProxies: proxyNets}))
	for _, tt := range []struct{ from, value, want string }{
		{"127.0.0.1", "203.0.113.7, 10.0.0.1", "203.0.113.7:0"},
		{"127.0.0.1", "[2001:db8::7]:99", "[2001:db8::7]:99"},
		{"127.0.0.1", "garbage", ownAddress},
		{"127.0.0.2", "203.0.113.7", ownAddress},
		{"127.0.0.2", "203.0.113.7, 10.0.0.1", ownAddress},
	} {
		conn := rawFrom(t, tt.from, addr)
		d := over(conn)
		d.Header = ws.HandshakeHeaderHTTP{"X-Forwarded-For": {tt.value}}
		want := tt.want
		if want == ownAddress {
			want = conn.LocalAddr().String()
		}
		if got := dialWith(t, d, "ws://x/who").who(); got != want {
			t.Errorf("%q from %s: the client is %s, want %s", tt.value, tt.from, got, want)
		}
		conn = rawFrom(t, tt.from, addr)
		if want = tt.want; want == ownAddress {
			want = conn.LocalAddr().String()
		}
		if got := whoPage(t, conn, "X-Forwarded-For: "+tt.value+"\r\n"); got != want {
			t.Errorf("%q from %s: to a page the client is %s, want %s", tt.value, tt.from, got, want)
		}
	}
}

// A proxy may pass on another's header: what that says is only believed if the
// one it says it of is trusted, too.
func TestForwardedBehindProxyProtocol(t *testing.T) {
	s, addr := start(t, whoAmI(Config{TrustedProxies: proxyNets, ProxyProtocol: true, MaxConnsPerIP: 5}))
	for _, tt := range []struct{ header, want string }{
		{proxyHeader(cmdProxy, famTCP4, proxyAddrs("10.0.0.1:5")), "203.0.113.7:0"},
		{proxyHeader(cmdProxy, famTCP4, proxyAddrs("198.51.100.1:5")), "198.51.100.1:5"},
		{proxyHeader(cmdLocal, famUnspec, ""), "203.0.113.7:0"},
	} {
		conn := raw(t, addr)
		io.WriteString(conn, tt.header)
		d := over(conn)
		d.Header = ws.HandshakeHeaderHTTP{"X-Forwarded-For": {"1.1.1.1, 203.0.113.7"}}
		if got := dialWith(t, d, "ws://x/who").who(); got != tt.want {
			t.Errorf("the client is %s, want %s", got, tt.want)
		}
		if got := s.perIP.of(netip.MustParseAddrPort(tt.want).Addr()); got != 1 || s.perIP.counted() != 1 {
			t.Errorf("%s has %d connections of %d, want 1 of 1", tt.want, got, s.perIP.counted())
		}
		conn.Close()
		waitFor(t, "it to be taken off", s.perIP.empty)
	}
}

// A client behind a proxy that has too many connections is told so; others
// behind the same proxy have nothing to do with it.
func TestForwardedPerIP(t *testing.T) {
	hold := make(chan struct{})
	cfg := whoAmI(Config{TrustedProxies: proxyNets, MaxConnsPerIP: 2})
	cfg.HTTP = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-hold })
	s, addr := start(t, cfg)
	as := func(client string) string {
		return strings.Replace(handshake, "/echo", "/who", 1)[:len(handshake)-3] + "X-Forwarded-For: " + client + "\r\n\r\n"
	}
	in := func(client string) net.Conn {
		conn := raw(t, addr)
		io.WriteString(conn, as(client))
		if status := make([]byte, 12); !readFull(conn, status) || string(status) != "HTTP/1.1 101" {
			t.Fatalf("%s is answered %q", client, status)
		}
		return conn
	}
	var last net.Conn
	for i := range 10 {
		client := fmt.Sprintf("203.0.113.%d", i)
		in(client)
		last = in(client)
		resp, body := ask(t, addr, as("1.1.1.1, "+client+", 10.0.0.1"))
		if resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" {
			t.Errorf("%s is answered %s %v: %s", client, resp.Status, resp.Header, body)
		}
	}
	if got := s.refused(refusedPerIP); got != 10 {
		t.Errorf("%d refusals were counted, want 10", got)
	}
	last.Close()
	waitFor(t, "room again", func() bool { return s.perIP.counted() == 19 })

	page := raw(t, addr) // counts, too
	io.WriteString(page, "GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n")
	waitFor(t, "the page to be served", func() bool { return s.http.conns.Load() == 1 })
	for _, request := range []string{as("203.0.113.9"), "GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n"} {
		if resp, _ := ask(t, addr, request); resp.StatusCode != http.StatusTooManyRequests {
			t.Errorf("one too many is answered %s", resp.Status)
		}
	}
	close(hold)
	io.Copy(io.Discard, page)
	waitFor(t, "the page to be taken off", func() bool { return s.perIP.counted() == 19 })
}

// Whatever stands there: the client is one of the list, and after it there are
// proxies of ours only.
func FuzzForwarded(f *testing.F) {
	for _, v := range []string{"", "203.0.113.7", "1.1.1.1, 203.0.113.7,10.0.0.1", "[2001:db8::7]:99", "fe80::1%eth0", "unknown, ::ffff:10.0.0.1", ",,,", "[[::1"} {
		f.Add(v, v)
	}
	s := &Server{cfg: Config{TrustedProxies: proxyNets}}
	f.Fuzz(func(t *testing.T, first, second string) {
		h := wire.Head{Fields: []wire.Field{
			{Name: []byte("X-Forwarded-For"), Value: []byte(first)},
			{Name: []byte("Y"), Value: []byte("192.0.2.99")},
			{Name: []byte("x-forwarded-for"), Value: []byte(second)},
		}}
		got := s.forwarded(&h)
		if !got.IsValid() {
			return
		}
		list := strings.Split(first+","+second, ",")
		for i := len(list) - 1; i >= 0; i-- {
			v := strings.TrimSpace(list[i])
			a, err := netip.ParseAddr(strings.Trim(v, "[]"))
			if full, fullErr := netip.ParseAddrPort(v); fullErr == nil {
				a, err = full.Addr(), nil
			}
			if err == nil && a.Unmap() == got.Addr() {
				return
			}
			if err != nil || !s.trusts(a) {
				break
			}
		}
		t.Errorf("%q and %q make the client %v", first, second, got)
	})
}
