package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	proxyproto "github.com/pires/go-proxyproto"
)

func TestProxies(t *testing.T) {
	for _, tt := range []struct{ asked, want string }{
		{"", "[]"},
		{"10.0.0.0/8", "[10.0.0.0/8]"},
		{"10.1.2.3/8", "[10.0.0.0/8]"},
		{"10.1.2.3", "[10.1.2.3/32]"},
		{"fd00::1:2/16,::1", "[fd00::/16 ::1/128]"},
		{"0.0.0.0/0, ::/0", "[0.0.0.0/0 ::/0]"},
		{"::ffff:10.1.2.3", "[10.1.2.3/32]"}, // as peers have no such addresses
		{"::ffff:10.1.2.3/104", "[10.0.0.0/8]"},
	} {
		nets, err := mustParse(t, "-trusted-proxies", tt.asked).proxies()
		if got := fmt.Sprint(nets); err != nil || got != tt.want {
			t.Errorf("%q: %s and %v, want %s", tt.asked, got, err, tt.want)
		}
	}
	for _, asked := range []string{"10.0.0.0/33", "10.0.0", "proxy.example", "10.0.0.1:80", "[::1]", "fe80::1%eth0/64", "10.0.0.1-10.0.0.9", "*"} {
		if got := mistake(t, "-trusted-proxies", asked); !strings.Contains(got, fmt.Sprintf("-trusted-proxies: %q is no network", asked)) {
			t.Errorf("%q: %q", asked, got)
		}
	}
}

// dialFor dials as a proxy does that names its client in the request.
func (s site) dialFor(forwarded string) (*client, error) {
	header := ws.HandshakeHeaderHTTP(http.Header{"X-Forwarded-For": {forwarded}})
	return s.tryDialWith(ws.Dialer{Header: header}, "/ws")
}

// TestTrustedProxies: their clients are told apart, by whatever address they come.
func TestTrustedProxies(t *testing.T) {
	for _, form := range forms {
		t.Run(form.name, func(t *testing.T) {
			path := socketPath(t)
			p := start(t, append(form.args, "-addr", "unix:"+path, "-trusted-proxies", "127.0.0.0/8", "-max-conns-per-ip", "1")...)
			processes := max(1, len(p.workers()))
			for i, s := range p.sites(nil) {
				same, other := fmt.Sprintf("192.0.2.%d", i), fmt.Sprintf("198.51.100.%d", i)
				var inside []*client
				var refused ws.StatusError
				for {
					c, err := s.dialFor("203.0.113.9, " + same) // what it claims itself counts for nothing
					if err != nil {
						if !errors.As(err, &refused) || refused != http.StatusTooManyRequests {
							t.Errorf("one too many at %s: %v, want 429", s.name, err)
						}
						break
					}
					if inside = append(inside, c); len(inside) > processes {
						t.Fatalf("%d connections from one address at %s, and there is room for %d", len(inside), s.name, processes)
					}
				}
				c, err := s.dialFor(other)
				if err != nil {
					t.Fatalf("of another client: %v", err)
				}
				c.conn.Close()
				for _, c := range inside {
					c.conn.Close()
				}
			}
			if n := p.count(refusals, "per_ip"); n != 2 {
				t.Errorf("%v are counted as refused, want 2", n)
			}
		})
	}
}

// behindHeader dials with a PROXY protocol header in front, from port 1 of an
// address.
func behindHeader(t *testing.T, addr, client string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	newClient(t, conn, nil) // closes it, and doesn't wait for ever
	h := proxyproto.HeaderProxyFromAddrs(2, &net.TCPAddr{IP: net.ParseIP(client), Port: 1}, conn.RemoteAddr())
	if _, err := h.WriteTo(conn); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestProxyProtocol(t *testing.T) {
	files := newPKI(t, 1)
	p, redirect := startRedirect(t, files, "-max-conns", "100", "-trusted-proxies", "127.0.0.1", "-proxy-protocol", "-max-conns-per-ip", "1")
	s := p.sites(files.trust)[0]
	open := func(from string) error {
		conn := behindHeader(t, p.addr, from)
		secure := tls.Client(conn, s.tlsConfig())
		br, _, err := ws.Dialer{}.Upgrade(secure, &url.URL{Scheme: "wss", Host: "127.0.0.1", Path: "/echo"})
		if err != nil {
			return err
		}
		c := newClient(t, secure, br)
		c.send(from)
		c.expect(from)
		return nil
	}
	for _, from := range []string{"192.0.2.1", "192.0.2.2", "2001:db8::1"} {
		if err := open(from); err != nil {
			t.Errorf("from %s: %v", from, err)
		}
	}
	if err := open("192.0.2.1"); err == nil {
		t.Error("one too many was let in")
	}

	for _, addr := range []string{p.addr, redirect.name} {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		newClient(t, conn, nil)
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
		if p, err := io.ReadAll(conn); len(p) != 0 {
			t.Errorf("without a header at %s: %q and %v, want the end of the stream", addr, p, err)
		}
	}
	got := []float64{p.count(refusals, "per_ip"), p.count(refusals, "proxy_protocol")}
	if !slices.Equal(got, []float64{1, 1}) {
		t.Errorf("refused: %v, want one for its address and one without a header", got)
	}

	conn := behindHeader(t, redirect.name, "192.0.2.1")
	io.WriteString(conn, "GET /p HTTP/1.1\r\nHost: a.example\r\n\r\n")
	if p, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(p), "HTTP/1.1 308 ") {
		t.Errorf("to be redirected, with a header: %q and %v, want 308", p, err)
	}
}
