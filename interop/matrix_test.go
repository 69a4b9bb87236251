package interop

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// column is a way to connect.
type column struct {
	name          string
	compress, tls bool
}

var columns = []column{
	{name: "plain"},
	{name: "compressed", compress: true},
	{name: "wss", tls: true},
	{name: "wss+compressed", compress: true, tls: true},
}

// everyColumn runs a test in each column, against a server of its own.
func everyColumn(t *testing.T, test func(t *testing.T, s *server), args ...string) {
	for _, col := range columns {
		t.Run(col.name, func(t *testing.T) { test(t, serve(t, col, args...)) })
	}
}

// everyClient runs a test in each column with each client.
func everyClient(t *testing.T, test func(t *testing.T, s *server, c client), args ...string) {
	everyColumn(t, func(t *testing.T, s *server) {
		for _, c := range clients {
			t.Run(c.name, func(t *testing.T) { test(t, s, c) })
		}
	}, args...)
}

// peer is a connection in a test, with whatever may fail in it.
type peer struct {
	conn
	t    *testing.T
	name string
}

// dial connects as the server's column says.
func (s *server) dial(t *testing.T, c client, path string) *peer {
	t.Helper()
	return dial(t, c, s.options(path))
}

// dial connects, and expects compression to have been agreed on if it was
// offered, and no extension otherwise.
func dial(t *testing.T, c client, o options) *peer {
	t.Helper()
	p := &peer{conn: c.dial(t, o), t: t, name: c.name}
	got := p.extensions()
	name, _, _ := strings.Cut(got, ";")
	switch {
	case o.compress && strings.TrimSpace(name) != "permessage-deflate":
		t.Fatalf("%s: the server answered the offer of permessage-deflate with %q", c.name, got)
	case !o.compress && got != "":
		t.Fatalf("%s: the server answered no offer with %q", c.name, got)
	}
	return p
}

// in returns the peer for use in a test within the test.
func (p *peer) in(t *testing.T) *peer { return &peer{p.conn, t, p.name} }

// must ends the test if a client couldn't do something.
func (p *peer) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatalf("%s: %v", p.name, err)
	}
}

func (p *peer) message(k kind, data []byte) {
	p.t.Helper()
	p.must(p.send(k, data, true))
}

// next returns the next event.
func (p *peer) next() event {
	p.t.Helper()
	select {
	case e := <-p.events():
		return e
	case <-time.After(patience):
		p.t.Fatalf("%s: nothing has come", p.name)
		return event{}
	}
}

// expect expects the next event to be of this kind, with this data.
func (p *peer) expect(k kind, data []byte) {
	p.t.Helper()
	e := p.next()
	switch {
	case e.kind == closed:
		p.t.Fatalf("%s: closed with code %d, %q (%s), want %s of %d bytes", p.name, e.code, e.reason, e.err, k, len(data))
	case e.kind != k:
		p.t.Fatalf("%s: got %s of %d bytes, want %s of %d", p.name, e.kind, len(e.data), k, len(data))
	case len(e.data) != len(data):
		p.t.Fatalf("%s: got %s of %d bytes, want %d", p.name, k, len(e.data), len(data))
	case !bytes.Equal(e.data, data):
		at := 0
		for e.data[at] == data[at] {
			at++
		}
		p.t.Fatalf("%s: %s of %d bytes: byte %d is %#02x, want %#02x", p.name, k, len(data), at, e.data[at], data[at])
	}
}

// expectClosed expects the end, with this code of the server's close frame, and
// returns the frame's reason.
func (p *peer) expectClosed(code int) (reason string) {
	p.t.Helper()
	e := p.next()
	if e.kind != closed || e.code != code {
		p.t.Fatalf("%s: got %s, code %d, %q (%s), want closed with code %d", p.name, e.kind, e.code, e.reason, e.err, code)
	}
	return e.reason
}
