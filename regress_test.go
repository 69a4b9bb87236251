package hubbub

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"golang.org/x/sys/unix"

	"hubbub/internal/broadcast"
)

// A loop that was held up, by a handler or with the whole machine, doesn't
// take the peers it hasn't listened to for dead.
func TestKeepaliveAfterAStall(t *testing.T) {
	dead := make(chan uint64, 10)
	s, addr := start(t, Config{Loops: 1, Endpoints: map[string]Endpoint{"/": {
		Keepalive: minKeepalive,
		OnDead:    func(c *Conn) { dead <- c.ID() },
		OnText:    func(c *Conn, text []byte) { c.Send(Text, text) },
	}}})
	c := dial(t, addr, "/")
	stall := func() { time.Sleep(3 * minKeepalive) } // a handler that holds the loop up for so long is what is tested; nothing is waited for
	s.onShards(func(*shard) { stall() })
	f, err := ws.ReadFrame(c.rw)
	if err != nil || f.Header.OpCode != ws.OpPing {
		t.Fatalf("received %v, %v, want a ping", f.Header, err)
	}
	s.onShards(func(*shard) { // the answer arrives while the loop is held up
		c.send(ws.OpPong, "")
		stall()
	})
	c.send(ws.OpText, "still here")
	for {
		f, err := ws.ReadFrame(c.rw)
		if err != nil {
			t.Fatal(err)
		}
		if f.Header.OpCode == ws.OpText {
			break
		}
	}
	if len(dead) != 0 {
		t.Error("a peer that answers was found dead")
	}
}

// A handshake behind an ordinary request must not end up at net/http: the
// connection is closed after one request.
func TestOrdinaryRequestsAreOneToAConnection(t *testing.T) {
	_, addr := start(t, Config{Endpoints: relayEndpoints(), HTTP: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "page "+r.URL.Path)
	})})
	c := raw(t, addr)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"+handshake)
	br := bufio.NewReader(c)
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	if string(body) != "page /" || !resp.Close {
		t.Errorf("answered %q, closing: %v", body, resp.Close)
	}
	if rest, _ := io.ReadAll(br); len(rest) > 0 {
		t.Errorf("then came %q", rest)
	}
}

// What a reader that takes nothing holds is bounded for messages of any size.
func TestTinyMessagesToSlowReader(t *testing.T) {
	sys := &blocked{}
	opened := make(chan *Conn, 1)
	s, addr := startSys(t, Config{MaxBacklog: 10000, Endpoints: map[string]Endpoint{"/": {
		OnOpen: func(c *Conn, r *Request) error { opened <- c; return nil },
	}}}, sys)
	dial(t, addr, "/")
	c := <-opened
	sys.block(c, unix.EAGAIN)
	defer sys.unblock()
	before := broadcast.LiveFrames()
	for range 1000 {
		c.Send(Binary, nil)
	}
	if n, most := broadcast.LiveFrames()-before, 10000/broadcast.FrameCost+1; n > most {
		t.Errorf("%d frames wait, want at most %d", n, most)
	}
	sys.unblock()
	waitFor(t, "the slow reader to go", func() bool { return s.ended(endSlow) == 1 })
}

// The answer to the handshake comes first and comes, however little the socket
// takes of it.
func TestAnswerComesFirst(t *testing.T) {
	sys := &blocked{}

	s, addr := startSys(t, Config{MaxBacklog: 4000, Loops: 1, Endpoints: map[string]Endpoint{"/echo": {
		OnOpen: func(c *Conn, r *Request) error {
			sys.block(c, unix.EAGAIN)
			c.Send(Binary, make([]byte, 3000))
			return nil
		},
		OnText: func(c *Conn, text []byte) { c.Send(Binary, make([]byte, 3000)) },
	}}}, sys)

	c := raw(t, addr)
	ping := ws.MustCompileFrame(ws.MaskFrameInPlace(ws.NewPingFrame([]byte("hi"))))
	text := ws.MustCompileFrame(ws.MaskFrameInPlace(ws.NewTextFrame([]byte("more"))))
	io.WriteString(c, handshake+string(ping)+string(text))
	waitFor(t, "the reader to be too slow", func() bool {
		slow := false
		s.onShards(func(sh *shard) {
			for _, c := range sh.lists[0] {
				slow = c.state.Load() == stateClosing
			}
		})
		return slow
	})
	s.onShards(func(sh *shard) { // what the kernel would report
		sys.unblock()
		for _, c := range sh.lists[0] {
			c.flush()
		}
	})
	all := make([]byte, 12)
	if _, err := io.ReadFull(c, all); err != nil || string(all) != "HTTP/1.1 101" {
		t.Errorf("the first bytes are %q, %v", all, err)
	}
}

// A peer that has broken the protocol isn't listened to any more, even while
// our close frame has to wait.
func TestNothingIsReadAfterAnError(t *testing.T) {
	ep, words := lastWords(relayEndpoints()["/echo"])
	_, addr := start(t, Config{MaxMessage: 8 << 20, MaxBacklog: 64 << 20, Endpoints: map[string]Endpoint{"/": ep}})
	c := dial(t, addr, "/")
	big := bytes.Repeat([]byte("x"), 8<<20)
	wsutil.WriteClientBinary(c.conn, big) // its echo fills the socket
	io.WriteString(c.conn, "\xc1\x80\x00\x00\x00\x00")
	io.WriteString(c.conn, "\x88\x8a\x00\x00\x00\x00\x0f\xa1made up.")
	if op, got := c.read(); op != ws.OpBinary || len(got) != len(big) {
		t.Errorf("received %v of %d bytes", op, len(got))
	}
	c.expectClose(1002, "reserved bit is set")
	c.conn.Close()
	if got := <-words; !strings.HasPrefix(got, "1002") {
		t.Errorf("OnClose was told %s", got)
	}
}

// A peer that sends its FIN early still gets what it asked for.
func TestPeerShutsDownItsSide(t *testing.T) {
	_, addr := start(t, Config{MaxMessage: 8 << 20, Endpoints: relayEndpoints()})
	c := dial(t, addr, "/echo")
	big := bytes.Repeat([]byte("x"), 8<<20)
	wsutil.WriteClientBinary(c.conn, big)
	c.send(ws.OpClose, "\x03\xe8")
	c.conn.(interface{ CloseWrite() error }).CloseWrite()
	if op, got := c.read(); op != ws.OpBinary || len(got) != len(big) {
		t.Errorf("received %v of %d bytes, want all %d", op, len(got), len(big))
	}
	c.expectClose(1000, "")
	c.expectEOF()
}
