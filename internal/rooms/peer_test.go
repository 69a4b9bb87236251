package rooms_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/centrifugal/protocol"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"hubbub"
	"hubbub/internal/rooms"
)

// serve serves Rooms and returns their address.
func serve(t *testing.T, cfg rooms.Config) string {
	t.Helper()
	_, addr := serveRooms(t, cfg)
	return addr
}

func serveRooms(t *testing.T, cfg rooms.Config) (*rooms.Rooms, string) {
	t.Helper()
	cfg.Version, cfg.Logger = "test", slog.New(slog.DiscardHandler)
	r := rooms.New(cfg)
	s, err := hubbub.New(hubbub.Config{Loops: 2, Endpoints: map[string]hubbub.Endpoint{"/": r.Endpoint()}, Logger: cfg.Logger})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Attach(t.Context(), s, "/"); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		<-served
	})
	return r, ln.Addr().String()
}

// peer is a client's end of a connection.
type peer struct {
	t    *testing.T
	conn net.Conn
	rw   io.ReadWriter
}

func dial(t *testing.T, addr, query string, protocols ...string) *peer {
	t.Helper()
	d := ws.Dialer{Protocols: protocols, Timeout: patience}
	conn, buffered, _, err := d.Dial(t.Context(), "ws://"+addr+"/"+query)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	p := &peer{t: t, conn: conn, rw: conn}
	if buffered != nil {
		p.rw = struct {
			io.Reader
			io.Writer
		}{io.MultiReader(buffered, conn), conn}
	}
	return p
}

// connected dials and says hello.
func connected(t *testing.T, addr string) *peer {
	t.Helper()
	p := dial(t, addr, "")
	p.send(`{"id":1,"connect":{}}`)
	p.expect(hello)
	return p
}

const hello = `{"id":1,"connect":{"client":"UUID","version":"test","ping":32,"pong":true}}`

func (p *peer) send(message string) {
	p.t.Helper()
	if err := wsutil.WriteClientText(p.conn, []byte(message)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) read() (string, error) {
	message, err := wsutil.ReadServerText(p.rw)
	return string(message), err
}

var uuid = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`)

// expect reads messages until it has as many lines as wanted, which it compares, but for identifiers.
func (p *peer) expect(want ...string) {
	p.t.Helper()
	var got []string
	for len(got) < len(want) {
		message, err := p.read()
		if err != nil {
			p.t.Fatalf("after %q: %v, want %q", got, err, want)
		}
		got = append(got, strings.Split(uuid.ReplaceAllString(message, "UUID"), "\n")...)
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		p.t.Fatalf("received\n%s\nwant\n%s", g, w)
	}
}

// ended reads until the close frame and returns its code and reason.
func (p *peer) ended() (code ws.StatusCode, reason string) {
	p.t.Helper()
	for {
		_, err := p.read()
		var closed wsutil.ClosedError
		switch {
		case err == nil:
		case errors.As(err, &closed):
			return closed.Code, closed.Reason
		default:
			p.t.Fatalf("the connection ended with %v, not with a close frame", err)
		}
	}
}

// expectAny reads a message that is one line.
func (p *peer) expectAny() string {
	p.t.Helper()
	message, err := p.read()
	if err != nil || strings.Contains(message, "\n") {
		p.t.Fatalf("received %q, %v, want a line", message, err)
	}
	return message
}

func (p *peer) sendProtobuf(commands ...*protocol.Command) {
	p.t.Helper()
	var message []byte
	for _, c := range commands {
		text, err := c.MarshalVT()
		if err != nil {
			p.t.Fatal(err)
		}
		message = append(binary.AppendUvarint(message, uint64(len(text))), text...)
	}
	if err := wsutil.WriteClientBinary(p.conn, message); err != nil {
		p.t.Fatal(err)
	}
}

// replies reads messages until they have so many replies.
func (p *peer) replies(n int) (all []*protocol.Reply) {
	p.t.Helper()
	for len(all) < n {
		message, err := wsutil.ReadServerBinary(p.rw)
		if err != nil {
			p.t.Fatalf("after %d of %d replies: %v", len(all), n, err)
		}
		for len(message) > 0 {
			size, head := binary.Uvarint(message)
			var r protocol.Reply
			if err := r.UnmarshalVT(message[head : head+int(size)]); err != nil {
				p.t.Fatal(err)
			}
			all = append(all, &r)
			message = message[head+int(size):]
		}
	}
	return all
}
