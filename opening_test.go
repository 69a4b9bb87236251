package hubbub

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"hubbub/internal/wire"
)

const handshake = "GET /echo HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

// raw opens a TCP connection.
func raw(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

// ask sends a request as it is and returns the answer, whose connection must
// be closed by the server.
func ask(t *testing.T, addr, request string) (*http.Response, string) {
	t.Helper()
	c := raw(t, addr)
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("behind the answer came %d bytes and %v, want the end of the stream", n, err)
	}
	return resp, string(body)
}

func TestHandshakeRefusals(t *testing.T) {
	s, addr := start(t, Config{
		Origins: []string{"https://*.friend.example"},
		Endpoints: map[string]Endpoint{
			"/echo": {},
			"/teapot": {OnOpen: func(c *Conn, r *Request) error {
				c.Subscribe("lobby")
				c.Send(Text, []byte("never sent"))
				return Refuse(http.StatusTeapot, "short and stout")
			}},
			"/broken": {OnOpen: func(*Conn, *Request) error { return errors.New("secret detail") }},
			"/panics": {OnOpen: func(*Conn, *Request) error { panic("at the start") }},
		},
	})
	with := func(old, new string) string { return strings.Replace(handshake, old, new, 1) }
	tests := []struct {
		name, request string
		status        int
		header, value string
		counted       refusal
	}{
		{"unknown path", with("/echo", "/nowhere"), 404, "", "", refusedPath},
		{"foreign origin", with("\r\n\r\n", "\r\nOrigin: https://evil.example\r\n\r\n"), 403, "", "", refusedOrigin},
		{"version 8", with("Version: 13", "Version: 8"), 426, "Sec-WebSocket-Version", "13", refusedVersion},
		{"POST", with("GET", "POST"), 405, "Allow", "GET", refusedMalformed},
		{"no key", with("Sec-WebSocket-Key", "X-Key"), 400, "", "", refusedMalformed},
		{"line ends", strings.ReplaceAll(handshake, "Host: example.com\r\n", "Host: example.com\n"), 400, "", "", refusedMalformed},
		{"endless head", "GET /echo HTTP/1.1\r\nX: " + strings.Repeat("x", 16<<10), 431, "", "", refusedTooLarge},
		{"refused by OnOpen", with("/echo", "/teapot"), 418, "", "", refusedEndpoint},
		{"error in OnOpen", with("/echo", "/broken"), 500, "", "", refusedEndpoint},
		{"panic in OnOpen", with("/echo", "/panics"), 500, "", "", refusedEndpoint},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			count := func() (n uint64) {
				for _, sh := range s.shards {
					n += sh.stats.refused[tt.counted].Load()
				}
				return n
			}
			before := count()
			resp, body := ask(t, addr, tt.request)
			if resp.StatusCode != tt.status || tt.header != "" && resp.Header.Get(tt.header) != tt.value {
				t.Errorf("answered %s %v, want %d with %s: %s", resp.Status, resp.Header, tt.status, tt.header, tt.value)
			}
			if strings.Contains(body, "secret") || strings.Contains(body, "at the start") {
				t.Errorf("the answer tells what went wrong inside: %q", body)
			}
			if got := count() - before; got != 1 {
				t.Errorf("counted %d times under %q, want once", got, refusalNames[tt.counted])
			}
		})
	}
	if n := s.hub.Topics(); n != 0 {
		t.Errorf("%d topics are left of refused connections", n)
	}
}

func TestHandshakeOrigins(t *testing.T) {
	_, addr := start(t, Config{Origins: []string{"https://*.friend.example"}, Endpoints: relayEndpoints()})
	for _, origin := range []string{"http://" + addr, "https://chat.friend.example"} {
		if _, err := tryDial(t, addr, "/echo", ws.HandshakeHeaderHTTP{"Origin": {origin}}); err != nil {
			t.Errorf("a page from %s may not connect: %v", origin, err)
		}
	}
}

// The head may come a byte at a time, and frames may come with it.
func TestHandshakeInPieces(t *testing.T) {
	_, addr := start(t, Config{Endpoints: relayEndpoints()})
	frame := ws.MustCompileFrame(ws.MaskFrameInPlace(ws.NewTextFrame([]byte("early"))))
	for _, piece := range []int{1, 7, len(handshake) - 1, len(handshake) + len(frame)} {
		t.Run(fmt.Sprintf("%d bytes", piece), func(t *testing.T) {
			c := raw(t, addr)
			for p := handshake + string(frame); p != ""; p = p[min(piece, len(p)):] {
				if _, err := io.WriteString(c, p[:min(piece, len(p))]); err != nil {
					t.Fatal(err)
				}
			}
			br := bufio.NewReader(c)
			resp, err := http.ReadResponse(br, nil)
			if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
				t.Fatalf("answered %v, %v", resp, err)
			}
			if got := resp.Header.Get("Sec-WebSocket-Accept"); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" { // RFC 6455 section 1.3
				t.Errorf("Sec-WebSocket-Accept is %q", got)
			}
			msg, err := wsutil.ReadServerText(struct {
				io.Reader
				io.Writer
			}{br, c})
			if err != nil || string(msg) != "early" {
				t.Errorf("received %q, %v", msg, err)
			}
		})
	}
}

func TestHandshakeTimeout(t *testing.T) {
	s, addr := start(t, Config{HandshakeTimeout: 200 * time.Millisecond, Endpoints: relayEndpoints()})
	silent, slow := raw(t, addr), raw(t, addr)
	io.WriteString(slow, handshake[:20])
	for _, c := range []net.Conn{silent, slow} {
		if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("read %d bytes and %v, want the connection to end", n, err)
		}
	}
	total := uint64(0)
	for _, sh := range s.shards {
		total += sh.stats.refused[refusedTimeout].Load()
	}
	if total != 2 {
		t.Errorf("%d timeouts were counted, want 2", total)
	}
}

func TestRequest(t *testing.T) {
	seen := make(chan string, 1)
	_, addr := start(t, Config{Endpoints: map[string]Endpoint{"/r": {
		Subprotocols: []string{"chat", "superchat"},
		OnOpen: func(c *Conn, r *Request) error {
			id, ok := r.Cookie("id")
			_, other := r.Cookie("other")
			hr, err := r.HTTP()
			if err != nil {
				return err
			}
			seen <- fmt.Sprintln(r.Path(), r.Query()["q"], r.Param("q"), r.Param("none"), r.Header("x-custom"), r.Host() != "", id, ok, other,
				r.Subprotocol(), r.RemoteAddr().Addr(), hr.URL.Path, c.RemoteAddr() == r.RemoteAddr())
			return nil
		},
	}}})
	conn, _, hs, err := ws.Dialer{
		Protocols: []string{"unknown", "superchat", "chat"},
		Header:    ws.HandshakeHeaderHTTP{"X-Custom": {"yes"}, "Cookie": {"a=b; id=42"}},
	}.Dial(t.Context(), "ws://"+addr+"/r?q=1&q=2")
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if hs.Protocol != "superchat" {
		t.Errorf("agreed on subprotocol %q, want superchat: the client's order decides", hs.Protocol)
	}
	if got, want := <-seen, "/r [1 2] 1  yes true 42 true false superchat 127.0.0.1 /r true\n"; got != want {
		t.Errorf("OnOpen saw %q, want %q", got, want)
	}
}

// Param is Query().Get, for whatever a peer makes of a query.
func TestParam(t *testing.T) {
	for _, query := range []string{
		"", "q=1", "q=1&q=2", "x=1&q=2", "q", "q=", "=q", "&&q=1", "q=a%20b+c", "%71=1", "a+b=1", "a%2Bb=1",
		"q=%zz&q=2", "%zz=1&q=2", "q=1;x=2&q=3", "q=a=b", "Q=1", "q%=1&q=2",
	} {
		var h wire.Head
		if n, err := h.Parse([]byte("GET /?"+query+" HTTP/1.1\r\nHost: x\r\n\r\n"), 0); n == 0 || err != nil {
			t.Fatalf("%q: %d, %v", query, n, err)
		}
		r := &Request{head: &h}
		for _, name := range []string{"q", "a+b", "a b", "", "%71", "q%"} {
			if got, want := r.Param(name), r.Query().Get(name); got != want {
				t.Errorf("parameter %q of %q is %q, want %q", name, query, got, want)
			}
		}
	}
}

// What isn't a handshake is net/http's, with all that was read of it.
func TestOrdinaryHTTP(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /sum", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%d bytes from %s", len(body), strings.Split(r.RemoteAddr, ":")[0])
	})
	s, addr := start(t, Config{HTTP: mux})
	client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
	defer client.CloseIdleConnections()
	for range 3 {
		resp, err := client.Post("http://"+addr+"/sum", "text/plain", strings.NewReader(strings.Repeat("x", 100000)))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(body) != "100000 bytes from 127.0.0.1" {
			t.Errorf("answered %q", body)
		}
	}
	resp, _ := ask(t, addr, "GET / HTTP/1.0\r\n\r\n")
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("an HTTP/1.0 request for what isn't there is answered %s", resp.Status)
	}
	client.CloseIdleConnections()
	waitFor(t, "ordinary connections to end", func() bool { return s.Connections() == 0 })
}

func TestOrdinaryHTTPIsBounded(t *testing.T) {
	hold := make(chan struct{})
	s, addr := start(t, Config{MaxHTTP: 1, HTTP: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hold })})
	first := raw(t, addr)
	io.WriteString(first, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	waitFor(t, "the first to be served", func() bool { return s.http.conns.Load() == 1 })
	second := raw(t, addr)
	io.WriteString(second, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if n, err := second.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("one too many reads %d bytes and %v, want the connection to end", n, err)
	}
	close(hold)
	if s.stats.httpRejected.Load() != 1 {
		t.Errorf("%d were counted, want 1", s.stats.httpRejected.Load())
	}
}
