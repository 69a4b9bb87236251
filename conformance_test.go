package hubbub

import (
	"bufio"
	"bytes"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"
)

// The conformance suite holds a real server to RFC 6455 and RFC 7692, byte by
// byte: what it sends is built, and what it receives is taken apart, here and
// not by a library, least of all by the server's own packages.

// echoes is a server whose /echo sends back what it gets.
func echoes() Config {
	return Config{MaxMessage: 1 << 20, MaxBacklog: 16 << 20, Endpoints: relayEndpoints()}
}

// hung counts the peers that have waited in vain. The run has failed with the
// first, and those that come after it needn't be as patient.
var hung atomic.Int32

// peer is the client's side of a connection.
type peer struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

// reach opens a connection, without a handshake.
func reach(t *testing.T, dial transport) *peer {
	t.Helper()
	conn := dial(t)
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(max(patience>>min(3*hung.Load(), 9), 50*time.Millisecond)))
	return &peer{t, conn, bufio.NewReader(conn)}
}

// openEcho opens a connection to /echo.
func openEcho(t *testing.T, dial transport) *peer {
	t.Helper()
	p := reach(t, dial)
	p.send(handshake)
	p.answered()
	return p
}

// answered reads the 101 and returns its fields.
func (p *peer) answered() http.Header {
	p.t.Helper()
	resp, err := http.ReadResponse(p.in, nil)
	if err != nil {
		p.t.Fatalf("the handshake: %v", p.noted(err))
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		p.t.Fatalf("the handshake is answered %s", resp.Status)
	}
	return resp.Header
}

func (p *peer) noted(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		hung.Add(1)
	}
	return err
}

// send sends each of s by a write of its own. A server that has ended the
// connection meanwhile makes writing fail: that shows when its last words are
// read.
func (p *peer) send(s ...string) {
	for _, s := range s {
		io.WriteString(p.conn, s)
	}
}

// chop sends s in pieces of so many bytes.
func (p *peer) chop(s string, size int) {
	for ; s != ""; s = s[min(size, len(s)):] {
		io.WriteString(p.conn, s[:min(size, len(s))])
	}
}

// Bits and opcodes of a frame's first byte (RFC 6455 section 5.2), and the first
// byte of frames that are whole messages. maskBit is the second byte's.
const (
	finBit  = 0x80
	rsv1Bit = 0x40
	rsv2Bit = 0x20
	rsv3Bit = 0x10
	maskBit = 0x80

	opCont   = 0
	opText   = 1
	opBinary = 2
	opClose  = 8
	opPing   = 9
	opPong   = 10

	wholeText   = finBit | opText
	wholeBinary = finBit | opBinary
	wholeClose  = finBit | opClose
	wholePing   = finBit | opPing
	wholePong   = finBit | opPong
)

// frameHeader is a frame's header: its first byte, and n in its shortest form.
func frameHeader(b0, mask byte, n int) string {
	switch {
	case n < 126:
		return string([]byte{b0, mask | byte(n)})
	case n < 1<<16:
		return string(binary.BigEndian.AppendUint16([]byte{b0, mask | 126}, uint16(n)))
	}
	return string(binary.BigEndian.AppendUint64([]byte{b0, mask | 127}, uint64(n)))
}

func xorMask(s string, mask [4]byte) string {
	b := make([]byte, len(s))
	subtle.XORBytes(b, []byte(s), bytes.Repeat(mask[:], len(b)/4+1))
	return string(b)
}

// cutFrame is a client's frame of which only the first bytes of the payload, of n,
// are there.
func cutFrame(b0 byte, n int, payload string) string {
	mask := [4]byte{0x37 ^ b0, 0xfa, byte(n), 0x3d}
	return frameHeader(b0, maskBit, n) + string(mask[:]) + xorMask(payload, mask)
}

// toServer is a client's frame, toClient a server's. b0 is its first byte.
func toServer(b0 byte, payload string) string { return cutFrame(b0, len(payload), payload) }
func toClient(b0 byte, payload string) string { return frameHeader(b0, 0, len(payload)) + payload }

// inFrames is a message in frames of up to size bytes. first is its first
// byte but for FIN.
func inFrames(first byte, payload string, size int) string {
	var b strings.Builder
	for b0 := first; ; b0 = opCont {
		n := min(size, len(payload))
		if n == len(payload) {
			b0 |= finBit
		}
		b.WriteString(toServer(b0, payload[:n]))
		if payload = payload[n:]; payload == "" {
			return b.String()
		}
	}
}

func closeWith(code int, reason string) string {
	return toServer(wholeClose, closePayload(code, reason))
}

func closePayload(code int, reason string) string {
	if code == 1005 {
		return ""
	}
	return string(binary.BigEndian.AppendUint16(nil, uint16(code))) + reason
}

// frame reads one frame. It has to be as a server must send it.
func (p *peer) frame() (b0 byte, payload string, err error) {
	h := make([]byte, 2, 10)
	if _, err = io.ReadFull(p.in, h); err != nil {
		return 0, "", p.noted(err)
	}
	n := int(h[1])
	switch n {
	case 126:
		h = h[:4]
	case 127:
		h = h[:10]
	}
	if _, err = io.ReadFull(p.in, h[2:]); err != nil {
		return 0, "", p.noted(err)
	}
	switch n {
	case 126:
		n = int(binary.BigEndian.Uint16(h[2:]))
	case 127:
		n = int(binary.BigEndian.Uint64(h[2:]))
	}
	if n < 0 || n > 1<<28 || string(h) != frameHeader(h[0], 0, n) {
		return 0, "", fmt.Errorf("the header % x: a server doesn't mask, and lengths are in their shortest form", h)
	}
	b := make([]byte, n)
	if _, err = io.ReadFull(p.in, b); err != nil {
		return 0, "", p.noted(err)
	}
	return h[0], string(b), nil
}

// expect reads just the frames in want.
func (p *peer) expect(want string) {
	p.t.Helper()
	var got strings.Builder
	got.Grow(len(want))
	for got.Len() < len(want) {
		b0, payload, err := p.frame()
		if err != nil {
			p.t.Fatalf("received %s and %v, want %s", clipped(got.String()), err, clipped(want))
		}
		got.WriteString(toClient(b0, payload))
	}
	if got.String() != want {
		p.t.Fatalf("received %s, want %s", clipped(got.String()), clipped(want))
	}
}

// expectEnd reads to the end of the stream: the frames in want, a close frame
// with code, and the FIN. It returns the close frame's reason.
func (p *peer) expectEnd(want string, code int) (reason string) {
	p.t.Helper()
	var got strings.Builder
	got.Grow(len(want))
	for {
		b0, payload, err := p.frame()
		if err != nil {
			p.t.Fatalf("received %s and %v, want %s and a close frame with %d", clipped(got.String()), err, clipped(want), code)
		}
		if b0&0x0f != opClose {
			got.WriteString(toClient(b0, payload))
			continue
		}
		if len(payload) > 2 {
			reason = payload[2:]
		}
		if got.String() != want {
			p.t.Errorf("received %s before the close frame %q, want %s", clipped(got.String()), payload, clipped(want))
		}
		if b0 != wholeClose || payload != closePayload(code, reason) || len(payload) > 125 || !utf8.ValidString(reason) {
			p.t.Errorf("received the close frame %02x %q, want one with %d", b0, payload, code)
		}
		break
	}
	if rest, err := io.ReadAll(p.in); err != nil || len(rest) > 0 {
		p.t.Errorf("behind the close frame came %q and %v, want the end of the stream", rest, p.noted(err))
	}
	return reason
}

func clipped(s string) string {
	if len(s) <= 200 {
		return fmt.Sprintf("% x", s)
	}
	return fmt.Sprintf("% x... (%d bytes)", s[:40], len(s))
}

// exchange is one row of the tables: what is sent to /echo, and what has to
// come back.
type exchange struct {
	section string // of RFC 6455, unless it says otherwise
	name    string
	want    string // the frames that come back, but for the close frame
	code    int    // of the close frame that comes behind them; goesOn if none does
	chunks  []string
}

// goesOn, as the code, means that nothing has ended the connection: the server
// answers when the client closes it.
const goesOn = 0

func ex(section, name, want string, code int, chunks ...string) exchange {
	return exchange{section, name, want, code, chunks}
}

// octetwise is how many bytes are worth a segment each.
const octetwise = 600

// run runs the exchange: chunk by chunk, all at once, a byte at a time. The
// first, because in "fail fast" nothing may follow the last chunk.
func (e *exchange) run(t *testing.T, dial transport) {
	all := strings.Join(e.chunks, "")
	ways := []struct {
		name string
		send func(p *peer)
	}{
		{"in chunks", func(p *peer) { p.send(e.chunks...) }},
		{"at once", func(p *peer) { p.send(all) }},
		{"octet-wise", func(p *peer) { p.chop(all, 1) }},
	}
	for _, way := range ways {
		if way.name == "at once" && len(e.chunks) == 1 || way.name == "octet-wise" && len(all) > octetwise {
			continue
		}
		t.Run(way.name, func(t *testing.T) { e.runBy(t, dial, way.send) })
	}
}

func (e *exchange) runBy(t *testing.T, dial transport, send func(p *peer)) {
	t.Helper()
	p := openEcho(t, dial)
	send(p)
	code := e.code
	if code == goesOn {
		code = 1000
		p.send(closeWith(1000, "that was all"))
	}
	reason := p.expectEnd(e.want, code)
	if e.code == goesOn && reason != "" {
		t.Errorf("closed with the reason %q, want none", reason)
	}
}

func runAll(t *testing.T, dial transport, exchanges []exchange) {
	for _, e := range exchanges {
		t.Run(e.section+" "+e.name, func(t *testing.T) { e.run(t, dial) })
	}
}
