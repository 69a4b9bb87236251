package hubbub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"hubbub/internal/poller"
)

// lastWords is an endpoint that reports how its connections end.
func lastWords(ep Endpoint) (Endpoint, <-chan string) {
	words := make(chan string, 1024) // a handler must not wait
	ep.OnClose = func(c *Conn, code uint16, reason string) { words <- fmt.Sprintf("%d %q", code, reason) }
	return ep, words
}

func TestPeerCloses(t *testing.T) {
	tests := []struct {
		name    string
		payload string
		want    ws.StatusCode // of the answer
		reason  string
		told    string
		why     ending
	}{
		{"with a code", "\x03\xe8bye", 1000, "", `1000 "bye"`, endPeer},
		{"without a code", "", 1005, "", `1005 ""`, endPeer},
		{"application code", "\x0f\xa0", 4000, "", `4000 ""`, endPeer},
		{"half a code", "\x03", 1002, "close frame with half a code", `1002 "close frame with half a code"`, endProtocol},
		{"code 1005", "\x03\xed", 1002, "close code that must not be sent", `1002 "close code that must not be sent"`, endProtocol},
		{"bad reason", "\x03\xe8\xff", 1007, "close reason is not valid UTF-8", `1007 "close reason is not valid UTF-8"`, endProtocol},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ep, words := lastWords(Endpoint{})
			s, addr := start(t, Config{Endpoints: map[string]Endpoint{"/": ep}})
			c := dial(t, addr, "/")
			c.send(ws.OpClose, tt.payload)
			if tt.want == 1005 {
				f, err := ws.ReadFrame(c.rw)
				if err != nil || f.Header.OpCode != ws.OpClose || f.Header.Length != 0 {
					t.Errorf("answered %v, %v, want an empty close frame", f.Header, err)
				}
			} else {
				c.expectClose(tt.want, tt.reason)
			}
			c.expectEOF()
			if got := <-words; got != tt.told {
				t.Errorf("OnClose was told %s, want %s", got, tt.told)
			}
			c.conn.Close()
			waitFor(t, "the connection to be counted", func() bool { return s.ended(tt.why) == 1 })
		})
	}
}

func TestProtocolErrors(t *testing.T) {
	masked := func(f ws.Frame) string { return string(ws.MustCompileFrame(ws.MaskFrameInPlace(f))) }
	tests := []struct {
		name, bytes string
		code        ws.StatusCode
	}{
		{"unmasked frame", string(ws.MustCompileFrame(ws.NewTextFrame([]byte("x")))), 1002},
		{"reserved opcode", "\x83\x80\x00\x00\x00\x00", 1002},
		{"reserved bit", "\xc1\x80\x00\x00\x00\x00", 1002},
		{"bad text", masked(ws.NewTextFrame([]byte("\xff"))), 1007},
		{"bad text in a frame that hasn't arrived", masked(ws.NewTextFrame([]byte("\xff" + strings.Repeat("x", 100))))[:20], 1007},
		{"message too big", "\x82\xff\x00\x00\x00\x00\x00\x01\x00\x01", 1009},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, addr := start(t, Config{Endpoints: relayEndpoints()})
			c := dial(t, addr, "/echo")
			c.send(ws.OpText, "before") // is delivered before the end
			io.WriteString(c.conn, tt.bytes)
			c.expect(ws.OpText, "before")
			f, err := ws.ReadFrame(c.rw)
			if err != nil {
				t.Fatal(err)
			}
			if code, _ := ws.ParseCloseFrameData(f.Payload); code != tt.code {
				t.Errorf("closed with %d, want %d", code, tt.code)
			}
			c.expectEOF()
			c.conn.Close()
			waitFor(t, "the connection to be counted", func() bool { return s.ended(endProtocol) == 1 })
		})
	}
}

func TestServerCloses(t *testing.T) {
	ep, words := lastWords(Endpoint{OnText: func(c *Conn, text []byte) {
		c.Send(Text, []byte("first this"))
		c.Close(4001, "enough")
		c.Send(Text, []byte("never sent"))
		c.Close(4002, "never sent either")
	}})
	s, addr := start(t, Config{Endpoints: map[string]Endpoint{"/": ep}})
	c := dial(t, addr, "/")
	c.send(ws.OpText, "go")
	c.expect(ws.OpText, "first this")
	c.expectClose(4001, "enough")
	c.send(ws.OpText, "ignored")
	c.send(ws.OpClose, "\x0f\xa1ok")
	c.expectEOF()
	if got, want := <-words, `4001 "ok"`; got != want {
		t.Errorf("OnClose was told %s, want %s", got, want)
	}
	c.conn.Close()
	waitFor(t, "the connection to be counted", func() bool { return s.ended(endServer) == 1 })
}

func TestCloseInOnOpen(t *testing.T) {
	ep, words := lastWords(Endpoint{OnOpen: func(c *Conn, r *Request) error {
		c.Send(Text, []byte("hello"))
		c.Close(4000, "and goodbye")
		return nil
	}})
	_, addr := start(t, Config{Endpoints: map[string]Endpoint{"/": ep}})
	c := dial(t, addr, "/")
	c.expect(ws.OpText, "hello")
	c.expectClose(4000, "and goodbye")
	c.send(ws.OpClose, "\x0f\xa0")
	c.expectEOF()
	<-words
}

// looker is a kernel that tells when there was nothing to read.
type looker struct {
	poller.OS
	nothing chan struct{}
}

func (l *looker) Read(fd int, p []byte) (int, error) {
	n, err := l.OS.Read(fd, p)
	if wouldBlock(err) {
		l.nothing <- struct{}{}
	}
	return n, err
}

// A peer that has said goodbye may take its time to hang up.
func TestPeerHangsUpLate(t *testing.T) {
	sys := &looker{nothing: make(chan struct{}, 1000)}
	s, addr := startSys(t, Config{Endpoints: relayEndpoints()}, sys)
	c := dial(t, addr, "/echo")
	for len(sys.nothing) > 0 {
		<-sys.nothing
	}
	c.send(ws.OpClose, "\x03\xe8")
	c.expectClose(1000, "")
	c.expectEOF()
	<-sys.nothing // the server has looked after it
	if n := s.Connections(); n != 1 {
		t.Errorf("the server has %d connections, want the one that hasn't hung up", n)
	}
	c.conn.Close()
	waitFor(t, "it to be gone", func() bool { return s.Connections() == 0 })
	if n := s.ended(endPeer); n != 1 {
		t.Errorf("%d connections were ended by their peers, want 1", n)
	}
}

// The loop isn't woken when a peer hangs up that has said goodbye, unless somebody else may wait for its place.
func TestWhoSaidGoodbyeIsWatched(t *testing.T) {
	for _, tt := range []struct {
		perIP int
		want  bool
	}{{0, false}, {1, true}} {
		opened := make(chan *Conn, 1)
		_, addr := start(t, Config{MaxConnsPerIP: tt.perIP, Endpoints: map[string]Endpoint{"/": {
			OnOpen: func(c *Conn, _ *Request) error { opened <- c; return nil },
		}}})
		p := dial(t, addr, "/")
		c := <-opened
		p.send(ws.OpClose, "\x03\xe8")
		p.expectClose(1000, "")
		p.expectEOF()
		watched := make(chan bool, 1)
		c.shard.loop.Post(poller.Func(func() { watched <- c.quiet&bitWatched != 0 }))
		if got := <-watched; got != tt.want {
			t.Errorf("with %d connections from an address, it is watched: %v, want %v", tt.perIP, got, tt.want)
		}
	}
}

func TestPeerVanishes(t *testing.T) {
	ep, words := lastWords(Endpoint{})
	s, addr := start(t, Config{Endpoints: map[string]Endpoint{"/": ep}})
	c := dial(t, addr, "/")
	c.conn.Close()
	if got, want := <-words, `1006 ""`; got != want {
		t.Errorf("OnClose was told %s, want %s", got, want)
	}
	reset := dial(t, addr, "/")
	reset.conn.(*net.TCPConn).SetLinger(0)
	reset.conn.Close()
	<-words
	waitFor(t, "both to be counted", func() bool { return s.ended(endEOF) == 1 && s.ended(endReset) == 1 })
}

// A close frame reaches a peer whose input the server hasn't read: no RST may
// overtake it.
func TestCloseFrameArrivesDespiteUnreadInput(t *testing.T) {
	_, addr := start(t, Config{MaxMessage: 1000, Endpoints: relayEndpoints()})
	for range 20 {
		c := dial(t, addr, "/echo")
		// Declares more than is allowed, and goes on sending.
		c.conn.Write(append([]byte("\x82\xfe\xff\xff\x00\x00\x00\x00"), make([]byte, 200<<10)...))
		c.expectClose(1009, "message exceeds the size limit")
	}
}

func TestPanickingHandlers(t *testing.T) {
	boom := func(*Conn, []byte) { panic("boom") }
	_, addr := start(t, Config{Endpoints: map[string]Endpoint{
		"/echo":  relayEndpoints()["/echo"],
		"/text":  {OnText: boom},
		"/close": {OnClose: func(*Conn, uint16, string) { panic("boom") }},
	}})
	other := dial(t, addr, "/echo")
	c := dial(t, addr, "/text")
	// Two frames and a half: what the decoder holds of them must not reach
	// another connection.
	one := string(ws.MustCompileFrame(ws.MaskFrameInPlace(ws.NewTextFrame([]byte("boom")))))
	io.WriteString(c.conn, one+one+one[:5])
	c.expectClose(1011, "internal error")
	dial(t, addr, "/close").conn.Close()
	other.send(ws.OpText, "still here")
	other.expect(ws.OpText, "still here")
	dial(t, addr, "/echo")
}

func TestShutdown(t *testing.T) {
	ep, words := lastWords(relayEndpoints()["/ws"])
	s, addr := start(t, Config{Endpoints: map[string]Endpoint{"/ws": ep}})
	clients := make([]*client, 20)
	for i := range clients {
		clients[i] = dial(t, addr, "/ws")
	}
	inHandshake := raw(t, addr)
	io.WriteString(inHandshake, handshake[:10])
	waitFor(t, "all to be accepted", func() bool { return s.Connections() == len(clients)+1 })
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(context.Background()) }()
	for _, c := range clients {
		c.expectClose(1001, "server is shutting down")
		c.send(ws.OpClose, "\x03\xe9")
		c.expectEOF()
		c.conn.Close()
	}
	for range clients {
		if got := <-words; got != `1001 ""` {
			t.Errorf("OnClose was told %s", got)
		}
	}
	if err := <-done; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if n := s.Connections(); n != 0 {
		t.Errorf("%d connections are left", n)
	}
	if _, err := net.Dial("tcp", addr); err == nil {
		t.Error("the port still accepts")
	}
	if err := s.Shutdown(context.Background()); !errors.Is(err, ErrServerClosed) {
		t.Errorf("a second Shutdown returns %v", err)
	}
}

// Peers that don't answer are cut off when the context is done.
func TestShutdownCutsOff(t *testing.T) {
	ep, words := lastWords(Endpoint{})
	s, addr := start(t, Config{Endpoints: map[string]Endpoint{"/": ep}})
	dial(t, addr, "/")
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v", err)
	}
	if got := <-words; got != `1001 "server is shutting down"` {
		t.Errorf("OnClose was told %s", got)
	}
	if n := s.Connections(); n != 0 {
		t.Errorf("%d connections are left", n)
	}
}

func TestShutdownBeforeServe(t *testing.T) {
	s, err := New(Config{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(ln); err == nil {
		t.Error("a server that was shut down serves")
	}
}
