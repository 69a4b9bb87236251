package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gobwas/ws"
)

// site is one address of a server.
type site struct {
	t     *testing.T
	name  string         // as the server says it
	trust *x509.CertPool // nil if it isn't encrypted
}

// sites returns the server's addresses, those with ports encrypted if trust is
// given.
func (p *process) sites(trust *x509.CertPool) []site {
	var all []site
	for name := range strings.SplitSeq(p.addr, ",") {
		s := site{t: p.t, name: name}
		if s.network() == "tcp" {
			s.trust = trust
		}
		all = append(all, s)
	}
	return all
}

func (s site) network() string {
	if strings.HasPrefix(s.name, unixPrefix) {
		return "unix"
	}
	return "tcp"
}

func (s site) dialNet(ctx context.Context, _, _ string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, s.network(), strings.TrimPrefix(s.name, unixPrefix))
}

func (s site) tlsConfig() *tls.Config { return &tls.Config{RootCAs: s.trust, ServerName: "127.0.0.1"} }

// scheme returns http or ws, or what is encrypted of it.
func (s site) scheme(plain string) string {
	if s.trust != nil {
		return plain + "s"
	}
	return plain
}

// tryDialWith opens a WebSocket with what the dialer has besides.
func (s site) tryDialWith(d ws.Dialer, path string) (*client, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	d.NetDial = s.dialNet
	d.TLSConfig = s.tlsConfig()
	conn, br, _, err := d.Dial(ctx, s.scheme("ws")+"://127.0.0.1"+path)
	if err != nil {
		return nil, fmt.Errorf("dialling %s at %s: %w", path, s.name, err)
	}
	return newClient(s.t, conn, br), nil
}

func (s site) tryDial(path string) (*client, error) { return s.tryDialWith(ws.Dialer{}, path) }

func (s site) dial(path string) *client {
	s.t.Helper()
	c, err := s.tryDial(path)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// get asks by HTTP, on a connection of its own.
func (s site) get(path string) (status int, body string) {
	s.t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: s.dialNet, TLSClientConfig: s.tlsConfig()}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport, Timeout: patience}).Get(s.scheme("http") + "://127.0.0.1" + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	p, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatalf("%s at %s: %v", path, s.name, err)
	}
	return resp.StatusCode, string(p)
}

// ask sends a request as it is, without encryption, and returns the answer and
// its bytes.
func (s site) ask(request string) (*http.Response, string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	conn, err := s.dialNet(ctx, "", "")
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	io.WriteString(conn, request)
	p, err := io.ReadAll(conn)
	if err != nil {
		s.t.Fatalf("%q at %s: %v", request, s.name, err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(string(p))), nil)
	if err != nil {
		s.t.Fatalf("%q at %s: %v in %q", request, s.name, err, p)
	}
	resp.Body.Close()
	return resp, string(p)
}

// expectAllTogether looks at all that is served at each of the sites, which are
// one server. It returns a client of each that is on the default topic.
func expectAllTogether(t *testing.T, sites []site) []*client {
	t.Helper()
	var members []*client
	for _, s := range sites {
		if status, page := s.get("/"); status != 200 || !strings.Contains(page, "<!doctype html>") {
			t.Errorf("/ at %s: %d and %.40q, want the page", s.name, status, page)
		}
		if status, body := s.get("/healthz"); status != 200 || body != "ok\n" {
			t.Errorf("/healthz at %s: %d %q", s.name, status, body)
		}
		echo := s.dial("/echo")
		echo.send("echo at " + s.name)
		echo.expect("echo at " + s.name)
		echo.conn.Close()
		members = append(members, s.dial("/ws"))
	}
	expectRelay(members)
	for _, s := range sites {
		expectSubscribers(t, s.get, "", len(members))
	}
	return members
}

// expectRelay has everyone send, and everyone receive it. Who was there before
// gets nothing else.
func expectRelay(members []*client) {
	for i, from := range members {
		from.t.Helper()
		text := fmt.Sprint("from ", i)
		from.send(text)
		for _, to := range members {
			to.expect(text)
		}
	}
}

// socketPath is a name for a Unix socket; those have to be short.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hubbub")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "socket")
}

// endWith asks the server to end, and wants it to part from everybody in order.
func (p *process) endWith(members []*client) {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	for _, c := range members {
		c.expectClose(ws.StatusGoingAway)
		c.answerClose(ws.StatusGoingAway)
	}
	p.expectGone()
}
