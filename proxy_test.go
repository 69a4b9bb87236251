package hubbub

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/prometheus/client_golang/prometheus"
)

// proxyHeader builds a PROXY protocol header of version 2 from its version and
// command, its family and protocol, and what follows the length.
func proxyHeader(command, family byte, rest string) string {
	b := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), command, family)
	return string(binary.BigEndian.AppendUint16(b, uint16(len(rest)))) + rest
}

// proxyAddrs are the addresses in such a header, from client to somewhere.
func proxyAddrs(client string) string {
	a := netip.MustParseAddrPort(client)
	ip := a.Addr().AsSlice()
	b := append(bytes.Clone(ip), ip...)
	return string(binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, a.Port()), 443))
}

// The commands and families of such a header.
const (
	cmdLocal, cmdProxy                    = 0x20, 0x21
	famUnspec, famTCP4, famUDP4, famTCP6  = 0x00, 0x11, 0x12, 0x21
	tlvs                                  = "\x04\x00\x05nothi\x02\x00\x0bexample.com"
	ownAddress, clientAddr4, clientAddr6  = "", "203.0.113.7:1234", "[2001:db8::7]:443"
	largestProxyPayload, mappedClientAddr = maxProxyHeader - proxyFixed, "[::ffff:203.0.113.7]:1234"
)

// whoAmI are an endpoint and a page that tell the client's address, which the
// endpoint knows from two places.
func whoAmI(cfg Config) Config {
	cfg.Endpoints = map[string]Endpoint{"/who": {
		OnOpen: func(c *Conn, r *Request) error {
			c.Send(Text, fmt.Append(nil, r.RemoteAddr()))
			return nil
		},
		OnText: func(c *Conn, text []byte) { c.Send(Text, fmt.Append(nil, c.RemoteAddr())) },
	}}
	cfg.HTTP = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RemoteAddr) })
	return cfg
}

func loopback(last byte) []netip.Prefix {
	return []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 0, 0, last}), 32)}
}

// who asks the server, as a WebSocket client, for the address it is taken to have.
func (c *client) who() string {
	c.t.Helper()
	_, first := c.read()
	c.send(ws.OpText, "and now?")
	if _, then := c.read(); then != first {
		c.t.Errorf("Request.RemoteAddr was %s, Conn.RemoteAddr is %s", first, then)
	}
	return first
}

// whoPage does the same over HTTP.
func whoPage(t *testing.T, conn net.Conn, header string) string {
	t.Helper()
	io.WriteString(conn, "GET / HTTP/1.0\r\n"+header+"\r\n")
	all, err := io.ReadAll(conn)
	_, body, ok := strings.Cut(string(all), "\r\n\r\n")
	if err != nil || !ok {
		t.Fatalf("answered %q, %v", all, err)
	}
	return body
}

func TestProxyProtocol(t *testing.T) {
	_, plain, secure := startTLS(t, whoAmI(Config{TrustedProxies: loopback(1), ProxyProtocol: true}))
	kinds := map[string]func(t *testing.T, conn net.Conn) string{
		"plain": func(t *testing.T, conn net.Conn) string { return dialWith(t, over(conn), "ws://x/who").who() },
		"TLS": func(t *testing.T, conn net.Conn) string {
			d := over(conn)
			_, d.TLSConfig = identity()
			return dialWith(t, d, "wss://127.0.0.1/who").who()
		},
		"page": func(t *testing.T, conn net.Conn) string { return whoPage(t, conn, "") },
		"page over TLS": func(t *testing.T, conn net.Conn) string {
			_, trust := identity()
			return whoPage(t, tls.Client(conn, trust), "")
		},
	}
	for _, tt := range []struct{ name, header, want string }{
		{"TCP4", proxyHeader(cmdProxy, famTCP4, proxyAddrs(clientAddr4)), clientAddr4},
		{"TCP6", proxyHeader(cmdProxy, famTCP6, proxyAddrs(clientAddr6)), clientAddr6},
		{"IPv4 in TCP6", proxyHeader(cmdProxy, famTCP6, proxyAddrs(mappedClientAddr)), clientAddr4},
		{"with TLVs", proxyHeader(cmdProxy, famTCP4, proxyAddrs(clientAddr4)+tlvs), clientAddr4},
		{"the longest", proxyHeader(cmdProxy, famTCP4, proxyAddrs(clientAddr4)+strings.Repeat("x", largestProxyPayload-12)), clientAddr4},
		{"UDP4", proxyHeader(cmdProxy, famUDP4, proxyAddrs(clientAddr4)), ownAddress},
		{"LOCAL", proxyHeader(cmdLocal, famUnspec, ""), ownAddress},
		{"LOCAL with TLVs", proxyHeader(cmdLocal, famUnspec, tlvs), ownAddress},
		{"LOCAL with addresses", proxyHeader(cmdLocal, famTCP4, proxyAddrs(clientAddr4)), ownAddress},
	} {
		for kind, ask := range kinds {
			t.Run(tt.name+" "+kind, func(t *testing.T) {
				conn := raw(t, map[bool]string{false: plain, true: secure}[strings.HasSuffix(kind, "TLS")])
				var through net.Conn = &preceded{Conn: conn, first: tt.header} // in one piece with what follows
				want := tt.want
				if want == ownAddress {
					want = conn.LocalAddr().String()
				}
				if got := ask(t, through); got != want {
					t.Errorf("the client has address %s, want %s", got, want)
				}
			})
		}
	}
	t.Run("byte by byte", func(t *testing.T) {
		for _, kind := range []string{"plain", "page"} {
			conn := dribble{&preceded{Conn: dribble{raw(t, plain)}, first: proxyHeader(cmdProxy, famTCP6, proxyAddrs(clientAddr6)+tlvs)}}
			if got := kinds[kind](t, conn); got != clientAddr6 {
				t.Errorf("%s: the client has address %s, want %s", kind, got, clientAddr6)
			}
		}
		conn := raw(t, secure)
		io.WriteString(dribble{conn}, proxyHeader(cmdProxy, famTCP4, proxyAddrs(clientAddr4)))
		if got := kinds["TLS"](t, conn); got != clientAddr4 {
			t.Errorf("TLS: the client has address %s, want %s", got, clientAddr4)
		}
	})
}

// preceded writes something in front of what is written first.
type preceded struct {
	net.Conn
	first string
}

func (c *preceded) Write(p []byte) (int, error) {
	if c.first == "" {
		return c.Conn.Write(p)
	}
	n, err := c.Conn.Write(append([]byte(c.first), p...))
	n = max(0, n-len(c.first))
	c.first = ""
	return n, err
}

// A proxy of ours that doesn't begin as it should isn't listened to.
func TestProxyProtocolRefusals(t *testing.T) {
	s, plain, secure := startTLS(t, whoAmI(Config{TrustedProxies: loopback(1), ProxyProtocol: true}))
	reg := prometheus.NewRegistry()
	reg.MustRegister(s)
	good := proxyHeader(cmdProxy, famTCP4, proxyAddrs(clientAddr4))
	for _, tt := range []struct {
		name, send string
	}{
		{"none", handshake},
		{"none, in front of TLS", longHello},
		{"version 1", "PROXY TCP4 203.0.113.7 203.0.113.8 1234 443\r\n" + handshake},
		{"garbage", "\x00\x01\x02"},
		{"another signature", strings.Replace(good, "QUIT", "QUIP", 1)},
		{"another version", proxyHeader(0x11, famTCP4, proxyAddrs(clientAddr4))},
		{"an unknown command", proxyHeader(0x22, famTCP4, proxyAddrs(clientAddr4))},
		{"an unknown family", proxyHeader(cmdProxy, 0x41, proxyAddrs(clientAddr4))},
		{"an unknown protocol", proxyHeader(cmdProxy, 0x13, proxyAddrs(clientAddr4))},
		{"an address cut off", proxyHeader(cmdProxy, famTCP4, proxyAddrs(clientAddr4)[:11])},
		{"an IPv4 address for IPv6", proxyHeader(cmdProxy, famTCP6, proxyAddrs(clientAddr4))},
		{"UNSPEC", proxyHeader(cmdProxy, famUnspec, "")},
		{"too long", proxyHeader(cmdProxy, famTCP4, strings.Repeat("x", largestProxyPayload+1))[:proxyFixed]},
		{"as long as can be said", proxyHeader(cmdLocal, famUnspec, strings.Repeat("x", 65535))[:proxyFixed]},
	} {
		for _, addr := range []string{plain, secure} {
			before := s.refused(refusedProxy)
			conn := raw(t, addr)
			io.WriteString(conn, tt.send)
			expectEnd(t, conn)
			if got := s.refused(refusedProxy) - before; got != 1 {
				t.Errorf("%s: counted %d times, want once", tt.name, got)
			}
		}
	}
	if got := metric(t, reg, `hubbub_handshakes_refused_total{reason="proxy_protocol"}`); got != float64(s.refused(refusedProxy)) || got == 0 {
		t.Errorf("the metric says %v, want %d", got, s.refused(refusedProxy))
	}
	conn := raw(t, plain)
	io.WriteString(conn, good[:20])
	conn.Close()
	waitFor(t, "the one that left to be counted", func() bool { return s.refused(refusedGone) == 1 })
	waitFor(t, "the connections to be gone", func() bool { return s.Connections() == 0 })

	s, plain, secure = startTLS(t, whoAmI(Config{TrustedProxies: loopback(1), ProxyProtocol: true, HandshakeTimeout: 200 * time.Millisecond}))
	var late []net.Conn
	for _, addr := range []string{plain, secure} {
		for _, send := range []string{"", good[:20], good} { // the header, too, is part of the handshake
			conn := raw(t, addr)
			io.WriteString(conn, send)
			late = append(late, conn)
		}
	}
	for _, conn := range late {
		expectEnd(t, conn)
	}
	if got := s.refused(refusedTimeout); got != uint64(len(late)) {
		t.Errorf("%d were counted as timed out, want %d", got, len(late))
	}
}

// Whoever isn't a proxy of ours needs no header, and has no use for one.
func TestProxyProtocolFromOthers(t *testing.T) {
	s, plain, secure := startTLS(t, whoAmI(Config{TrustedProxies: loopback(9), ProxyProtocol: true}))
	conn := raw(t, plain)
	if got := dialWith(t, over(conn), "ws://x/who").who(); got != conn.LocalAddr().String() {
		t.Errorf("the client has address %s, want %s", got, conn.LocalAddr())
	}
	c := dialTLS(t, secure, "/who", 0)
	if got := c.who(); got != c.conn.LocalAddr().String() {
		t.Errorf("the client has address %s, want %s", got, c.conn.LocalAddr())
	}
	conn = raw(t, plain)
	if got := whoPage(t, conn, ""); got != conn.LocalAddr().String() {
		t.Errorf("the client has address %s, want %s", got, conn.LocalAddr())
	}
	header := proxyHeader(cmdProxy, famTCP4, proxyAddrs(clientAddr4))
	if resp, _ := ask(t, plain, header+handshake); resp.StatusCode != http.StatusBadRequest || s.refused(refusedMalformed) != 1 {
		t.Errorf("answered %s, counted %d times as malformed", resp.Status, s.refused(refusedMalformed))
	}
	conn = rawFrom(t, "127.0.0.9", plain)
	io.WriteString(conn, header)
	if got := dialWith(t, over(conn), "ws://x/who").who(); got != clientAddr4 {
		t.Errorf("the client has address %s, want %s", got, clientAddr4)
	}
	conn = rawFrom(t, "127.0.0.9", plain)
	io.WriteString(conn, handshake)
	expectEnd(t, conn)
	if got := s.refused(refusedProxy); got != 1 {
		t.Errorf("%d were counted, want 1", got)
	}
}

// Behind a proxy it is the clients that are counted, not the proxy.
func TestProxyProtocolPerIP(t *testing.T) {
	s, plain, secure := startTLS(t, whoAmI(Config{TrustedProxies: loopback(1), ProxyProtocol: true, MaxConnsPerIP: 2}))
	through := func(addr, client string) net.Conn {
		conn := raw(t, addr)
		family := byte(famTCP4)
		if netip.MustParseAddrPort(client).Addr().Is6() {
			family = famTCP6
		}
		io.WriteString(conn, proxyHeader(cmdProxy, family, proxyAddrs(client)))
		return conn
	}
	var first net.Conn
	for i := range 10 { // of /64 networks
		for j := range 2 {
			first = through(plain, fmt.Sprintf("[2001:db8:0:%d::%d]:1", i, j))
			dialWith(t, over(first), "ws://x/who").who()
		}
		expectEnd(t, through(secure, fmt.Sprintf("[2001:db8:0:%d::2]:1", i)))
	}
	if got := s.refused(refusedPerIP); got != 10 {
		t.Errorf("%d refusals were counted, want 10", got)
	}
	first.Close()
	waitFor(t, "room again", func() bool { return s.perIP.counted() == 19 })
	conn := through(plain, "[2001:db8:0:9::3]:1")
	if got := whoPage(t, conn, ""); got != "[2001:db8:0:9::3]:1" {
		t.Errorf("the client has address %s", got)
	}
	for range 5 { // the proxy speaks for itself
		conn := raw(t, plain)
		io.WriteString(conn, proxyHeader(cmdLocal, famUnspec, ""))
		dialWith(t, over(conn), "ws://x/who").who()
	}
	waitFor(t, "the page to be taken off", func() bool { return s.perIP.counted() == 19 })
}

// Whatever it is given, it takes a header or refuses it, and an address comes
// from where the header says. All that is shorter has to wait for more.
func FuzzParseProxyHeader(f *testing.F) {
	for _, command := range []byte{cmdLocal, cmdProxy, 0x22, 0x10} {
		for _, family := range []byte{famUnspec, famTCP4, famUDP4, famTCP6, 0x31, 0x13} {
			for _, rest := range []string{"", tlvs, proxyAddrs(clientAddr4), proxyAddrs(clientAddr6) + tlvs, strings.Repeat("u", 216)} {
				f.Add([]byte(proxyHeader(command, family, rest) + "GET /"))
			}
		}
	}
	f.Add([]byte("PROXY TCP4 203.0.113.7 203.0.113.8 1234 443\r\n"))
	f.Add([]byte(proxyHeader(cmdLocal, famUnspec, strings.Repeat("x", largestProxyPayload+1))))
	f.Fuzz(func(t *testing.T, p []byte) {
		size, client, err := parseProxyHeader(p)
		switch {
		case size == 0 || err != nil:
			if client.IsValid() {
				t.Errorf("an address, %v, of a header that isn't there", client)
			}
			return
		case size < proxyFixed || size > min(len(p), maxProxyHeader):
			t.Fatalf("%d bytes of %d", size, len(p))
		}
		if client.IsValid() {
			a := client.Addr()
			if at := bytes.Index(p[proxyFixed:size], a.AsSlice()); at < 0 || p[12] != cmdProxy || a.Is4In6() {
				t.Errorf("%v isn't in %q", a, p[:size])
			}
		}
		for n := range size {
			if k, a, err := parseProxyHeader(p[:n]); k != 0 || a.IsValid() || err != nil {
				t.Fatalf("of %d bytes, %d are found to be %d, %v, %v", size, n, k, a, err)
			}
		}
	})
}
