package hubbub

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/prometheus/client_golang/prometheus"

	"hubbub/internal/poller"
)

// refused returns how many handshakes were refused for a reason.
func (s *Server) refused(why refusal) (n uint64) {
	for _, sh := range s.shards {
		n += sh.stats.refused[why].Load()
	}
	return n
}

// young returns how many connections haven't got through their handshake.
func (s *Server) young() int {
	counts := make(chan int, len(s.shards))
	s.onShards(func(sh *shard) { counts <- sh.young.len })
	n := 0
	for range s.shards {
		n += <-counts
	}
	return n
}

// expectEnd waits for the server to end a connection, with FIN or RST, without
// a word.
func expectEnd(t *testing.T, c net.Conn) {
	t.Helper()
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read %d bytes and %v, want the connection to end", n, err)
	}
}

// longHello begins a TLS handshake of which nearly all is still to come.
const longHello = "\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03"

// Peers who begin a handshake and never get to the point, in whatever numbers,
// give way to others, the oldest first, and hold no more than MaxHandshakes
// connections and goroutines.
func TestSlowHandshakesGiveWay(t *testing.T) {
	const most, crowd = 64, 1500
	for _, kind := range []string{"plain", "TLS"} {
		t.Run(kind, func(t *testing.T) {
			s, addr, secure := startTLS(t, Config{Endpoints: relayEndpoints(), MaxHandshakes: most, Loops: 1, HandshakeTimeout: time.Hour})
			reg := prometheus.NewRegistry()
			reg.MustRegister(s)
			script := handshake
			honest := func() *client { return dial(t, addr, "/echo") }
			if kind == "TLS" {
				addr = secure
				script = longHello + strings.Repeat("\x00", 100)
				honest = func() *client { return dialTLS(t, secure, "/echo", 0) }
			}
			honest().conn.Close() // what is started once is there now
			waitFor(t, "the first to be gone", func() bool { return s.Connections() == 0 })
			goroutines := runtime.NumGoroutine()

			var slow []net.Conn
			said := make([]int, crowd) // bytes of the script
			say := func(i, n int) {
				io.WriteString(slow[i], script[said[i]:said[i]+n]) // may be cut off by now
				said[i] += n
			}
			for i := range crowd {
				slow = append(slow, raw(t, addr))
				say(i, i%20) // some say nothing
				if i%250 != 249 {
					continue
				}
				for j := range slow { // a byte now and then
					say(j, 1)
				}
				c := honest()
				c.send(ws.OpText, "in")
				c.expect(ws.OpText, "in")
				c.conn.Close()
			}

			waitFor(t, "everybody to be accepted", func() bool { return s.refused(refusedCrowded)+uint64(s.young()) == crowd })
			if n := s.young(); n > most || n < most/2 {
				t.Errorf("%d handshakes are in progress, want at most %d, and no fewer than there is room for on a loop", n, most)
			}
			waitFor(t, "the honest to be gone", func() bool { return s.Connections() == s.young() })
			waitFor(t, "the goroutines of the others to end", func() bool { return runtime.NumGoroutine() <= goroutines+most })
			if got, want := metric(t, reg, `hubbub_handshakes_refused_total{reason="crowded"}`), s.refused(refusedCrowded); got != float64(want) {
				t.Errorf("the metric says %v, want %d", got, want)
			}
			for _, c := range slow[:crowd/2] {
				expectEnd(t, c)
			}
			if kind == "plain" { // the newest isn't too late
				c := slow[crowd-1]
				io.WriteString(c, script[said[crowd-1]:])
				if status := make([]byte, 12); !readFull(c, status) || string(status) != "HTTP/1.1 101" {
					t.Errorf("the newest is answered %q", status)
				}
			}
		})
	}
}

func readFull(r io.Reader, p []byte) bool {
	_, err := io.ReadFull(r, p)
	return err == nil
}

// Who was refused and hasn't gone yet takes up a place, but has been counted.
func TestCrowdedCountsOnce(t *testing.T) {
	s, addr := start(t, Config{Endpoints: relayEndpoints(), MaxHandshakes: 1, Loops: 1})
	first := raw(t, addr)
	io.WriteString(first, "nonsense\r\n\r\n")
	if status := make([]byte, 12); !readFull(first, status) || string(status) != "HTTP/1.1 400" {
		t.Fatalf("nonsense is answered %q", status)
	}
	second := dial(t, addr, "/echo")
	second.send(ws.OpText, "in")
	second.expect(ws.OpText, "in")
	if m, c := s.refused(refusedMalformed), s.refused(refusedCrowded); m != 1 || c != 0 {
		t.Errorf("one connection was counted %d times as malformed and %d times as crowded, want once and never", m, c)
	}
}

// A burst of clients who have something to say, of which far more are accepted at
// a time than may be in handshake: nobody goes unheard.
func TestBurstIsHeard(t *testing.T) {
	s, _ := start(t, Config{Endpoints: relayEndpoints(), MaxHandshakes: 2, Loops: 1})
	ln, err := poller.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all []net.Conn
	for range 100 { // all before the first is accepted
		c := raw(t, ln.Addr().String())
		io.WriteString(c, handshake)
		all = append(all, c)
	}
	go s.Serve(ln) // ends with the server
	for i, c := range all {
		if status := make([]byte, 12); !readFull(c, status) || string(status) != "HTTP/1.1 101" {
			t.Fatalf("client %d is answered %q; %d were turned away", i, status, s.refused(refusedCrowded))
		}
	}
}

// A peer that says something all the time has no longer than one who is silent.
func TestHandshakeTimeoutIsNotExtended(t *testing.T) {
	s, plain, secure := startTLS(t, Config{Endpoints: relayEndpoints(), HandshakeTimeout: 300 * time.Millisecond})
	reg := prometheus.NewRegistry()
	reg.MustRegister(s)
	var conns []net.Conn
	for i := range 20 {
		c := raw(t, [...]string{plain, secure}[i%2])
		io.WriteString(c, [...]string{"GET /echo HTTP/1.1\r\nX: ", longHello}[i%2])
		conns = append(conns, c)
	}
	waitFor(t, "all of them to be timed out", func() bool {
		for _, c := range conns {
			io.WriteString(c, "x")
		}
		return s.refused(refusedTimeout) == 20
	})
	for _, c := range conns {
		expectEnd(t, c)
	}
	if got := metric(t, reg, `hubbub_handshakes_refused_total{reason="timeout"}`); got != 20 {
		t.Errorf("the metric says %v, want 20", got)
	}
	waitFor(t, "the connections to be gone", func() bool { return s.Connections() == 0 })
}

// Heads that are too big, or mean one thing to us and another to somebody in
// between, are refused, and the connection is closed.
func TestHostileHeads(t *testing.T) {
	s, addr := start(t, Config{Endpoints: relayEndpoints()})
	with := func(old, new string) string { return strings.Replace(handshake, old, new, 1) }
	and := func(lines string) string { return with("\r\n\r\n", "\r\n"+lines+"\r\n\r\n") }
	upTo := func(size int) string { return and("X: " + strings.Repeat("x", size-len(handshake)-len("X: \r\n"))) }
	for _, tt := range []struct {
		name, request string
		status        int
	}{
		{"16 KiB", upTo(16 << 10), 101},
		{"a byte more", upTo(16<<10 + 1), 431},
		{"endless header lines", "GET /echo HTTP/1.1\r\n" + strings.Repeat("X: y\r\n", 20_000), 431},
		{"one endless line", "GET /" + strings.Repeat("a", 100_000), 431},
		{"an endless name", "GET /echo HTTP/1.1\r\n" + strings.Repeat("a", 100_000), 431},
		{"128 fields", and(strings.Repeat("X: y\r\n", 122) + "X: y"), 101},
		{"129 fields", and(strings.Repeat("X: y\r\n", 123) + "X: y"), 431},

		{"garbage", "\x00\xff\x16\x03\r\n\r\n", 400},
		{"empty lines", "\r\n\r\n" + handshake, 400},
		{"no method", with("GET ", " "), 400},
		{"two spaces", with("GET ", "GET  "), 400},
		{"more in the request line", with(" HTTP/1.1", " x HTTP/1.1"), 400},
		{"no version", with(" HTTP/1.1", ""), 400},
		{"another protocol", with("HTTP/1.1", "http/1.1"), 400},
		{"HTTP/1.0", with("HTTP/1.1", "HTTP/1.0"), 505},
		{"HTTP/2.0", with("HTTP/1.1", "HTTP/2.0"), 505},
		{"absolute target", with("/echo", "http://example.com/echo"), 101},
		{"absolute target of another host", with("/echo", "http://evil.example/echo"), 400},
		{"absolute target of another scheme", with("/echo", "ftp://example.com/echo"), 400},
		{"target *", with("/echo", "*"), 400},
		{"bad escape", with("/echo", "/%zz"), 400},

		{"no Host", with("Host: example.com\r\n", ""), 400},
		{"two Hosts", and("Host: example.com"), 400},
		{"two Hosts, written differently", and("hOST: evil.example"), 400},
		{"two Hosts in an ordinary request", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
		{"Host with a space before its colon", with("Host:", "Host :"), 400},
		{"LF alone ends all lines", strings.ReplaceAll(handshake, "\r\n", "\n"), 400},
		{"LF alone ends one line", with("example.com\r\n", "example.com\n"), 400},
		{"LF alone ends the head", strings.TrimSuffix(handshake, "\r\n") + "\n", 400},
		{"LF alone, and no end", "GET /echo HTTP/1.1\nHost: x\r\n", 400},
		{"CR alone ends a line", with("example.com\r\n", "example.com\r"), 400},
		{"CR alone in a value", and("X: a\rb"), 400},
		{"CR alone in the request line", with("/echo", "/ec\rho"), 400},
		{"NUL in a value", and("X: a\x00b"), 400},
		{"a folded line", and("X: a\r\n b"), 400},
		{"a folded line with a colon", and("X: a\r\n\tY: b"), 400},
		{"the first line folded", with("Host", " Host"), 400},
		{"no colon", and("X"), 400},
		{"no name", and(": x"), 400},
		{"space in a name", and("X Y: z"), 400},

		{"Content-Length", and("Content-Length: 5") + "hello", 400},
		{"Content-Length of zero", and("Content-Length: 0"), 101},
		{"Content-Length of another zero", and("Content-Length: +0"), 400},
		{"two Content-Lengths", and("Content-Length: 0\r\nContent-Length: 0"), 400},
		{"two Content-Lengths that differ", and("Content-Length: 0\r\nContent-Length: 5"), 400},
		{"a list of Content-Lengths", and("Content-Length: 0, 5"), 400},
		{"Content-Length with a space before its colon", and("Content-Length : 5"), 400},
		{"Transfer-Encoding", and("Transfer-Encoding: chunked") + "0\r\n\r\n", 400},
		{"Transfer-Encoding and Content-Length", and("Transfer-Encoding: chunked\r\nContent-Length: 0"), 400},
		{"an empty Transfer-Encoding", and("Transfer-Encoding:"), 400},
		{"two keys", and("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), 400},
		{"two versions", and("Sec-WebSocket-Version: 13"), 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.status == 101 {
				c := raw(t, addr)
				io.WriteString(c, tt.request)
				if status := make([]byte, 12); !readFull(c, status) || string(status) != "HTTP/1.1 101" {
					t.Errorf("answered %q", status)
				}
				return
			}
			why := refusedMalformed
			if tt.status == 431 {
				why = refusedTooLarge
			}
			before := s.refused(why)
			if resp, body := ask(t, addr, tt.request); resp.StatusCode != tt.status {
				t.Errorf("answered %s, want %d: %s", resp.Status, tt.status, body)
			}
			if got := s.refused(why) - before; got != 1 {
				t.Errorf("counted %d times under %q, want once", got, refusalNames[why])
			}
		})
	}
	total := uint64(0)
	for why := range numRefusals {
		total += s.refused(why)
	}
	if got := s.refused(refusedMalformed) + s.refused(refusedTooLarge); got != total {
		t.Errorf("%d refusals of %d were counted under other reasons", total-got, total)
	}
}

// What stands behind an ordinary request is neither answered nor taken for a
// handshake, however the request says where it ends.
func TestSmuggledHandshakes(t *testing.T) {
	seen := make(chan string, 100)
	s, addr := start(t, Config{Endpoints: relayEndpoints(), HTTP: recordPaths(seen)})
	for _, tt := range []struct{ name, request, path string }{
		{"behind a GET", "GET /1 HTTP/1.1\r\nHost: x\r\n\r\n", "/1"},
		{"behind a body", "POST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", "/2"},
		{"as the body", fmt.Sprintf("POST /3 HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", len(handshake)), "/3"},
		{"two lengths, of which one counts", "POST /4 HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "/4"},
		{"two Content-Lengths", "POST /5 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 4\r\n\r\n", ""},
		{"an unknown Transfer-Encoding", "POST /6 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: x\r\n\r\n", ""},
		{"asked to keep alive", "GET /7 HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n", "/7"},
		{"HTTP/1.0, asked to keep alive", "GET /8 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "/8"},
		{"another Upgrade", "GET /9 HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", "/9"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ask(t, addr, tt.request+handshake+"GET /second HTTP/1.1\r\nHost: x\r\n\r\n") // which wants one answer and the end
			got := ""
			if len(seen) > 0 {
				got = <-seen
			}
			if got != tt.path || len(seen) > 0 {
				t.Errorf("the handler saw %q and %d requests more, want %q", got, len(seen), tt.path)
			}
		})
	}
	for _, sh := range s.shards {
		if n := sh.stats.handshakes.Load(); n > 0 {
			t.Errorf("%d handshakes were accepted", n)
		}
	}
}
