package hubbub

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/gobwas/ws"

	"hubbub/internal/wire"
)

// note is a message of a player, or of the server's own publisher.
type note struct {
	from, topic byte
	last        bool // published when the storm has passed
	index       uint32
}

const noteHead = 11

func (n note) key() uint64 { return uint64(n.from)<<32 | uint64(n.index) }

// noise fills notes.
var noise = func() []byte {
	p := make([]byte, 80<<10)
	rand.NewChaCha8([32]byte{}).Read(p)
	return p
}()

// encode returns the note with so many bytes behind it.
func (n note) encode(size int) []byte {
	p := make([]byte, noteHead, noteHead+size)
	p[0], p[1] = n.from, n.topic
	if n.last {
		p[2] = 1
	}
	binary.BigEndian.PutUint32(p[3:], n.index)
	p = append(p, noise[n.index%(40<<10):][:size]...)
	binary.BigEndian.PutUint32(p[7:], crc32.ChecksumIEEE(p))
	return p
}

func decodeNote(p []byte) (n note, ok bool) {
	if len(p) < noteHead {
		return note{}, false
	}
	sum := crc32.Update(crc32.Update(crc32.ChecksumIEEE(p[:7]), crc32.IEEETable, make([]byte, 4)), crc32.IEEETable, p[noteHead:])
	n = note{p[0], p[1], p[2] == 1, binary.BigEndian.Uint32(p[3:])}
	return n, sum == binary.BigEndian.Uint32(p[7:])
}

// fate is how a player's part ends.
type fate int

const (
	stays     fate = iota
	leaves         // with a close frame
	vanishes       // with RST
	stops          // with FIN
	errs           // against the protocol
	isClosed       // by the server, asked to
	isRefused      // by OnOpen
	browses        // an ordinary request
	dawdles        // half a handshake
	numFates
)

// player is a client of the torture.
type player struct {
	w       *world
	id      byte
	topic   byte
	fate    fate
	greeted bool // by OnOpen
	eager   bool // doesn't wait for the answer to its handshake
	after   *player
	die     *rand.Rand

	conn    net.Conn
	hold    sync.Mutex    // held by who wants it not to read
	opened  chan struct{} // closed when the handshake is answered, or never will be
	halfway chan struct{} // closed when half of the script is done
	reached sync.Once     // halfway is closed

	// Of the script.
	sent, echoes, pings uint32
	wrong               ws.StatusCode // expected for the error it has made

	// Guarded by the world's lock.
	upgraded bool // it has got the 101
	over     bool // its stream has ended
	survives bool // the storm
	code     ws.StatusCode
	received []uint64
	echoed   []uint32
	ponged   uint32
	hellos   int
	lasts    int // notes received that are last ones
	desc     *descriptor
	before   int // notes that came before it, of all topics
	since    int // notes of its topic that may have come before it
	handled  uint32
}

// frame writes one masked frame.
func (p *player) frame(b []byte, op ws.OpCode, fin bool, payload []byte) []byte {
	f := ws.Frame{Header: ws.Header{Fin: fin, OpCode: op, Length: int64(len(payload))}, Payload: payload}
	f = ws.MaskFrameWith(f, [4]byte{byte(p.die.Uint32()), 2, 3, 4})
	buf := bytes.NewBuffer(b)
	ws.WriteFrame(buf, f)
	return buf.Bytes()
}

func (p *player) ping(b []byte) []byte {
	p.pings++
	body := binary.BigEndian.AppendUint32(nil, p.pings)
	return p.frame(b, ws.OpPing, true, append(body, noise[p.pings:][:p.die.IntN(120)]...))
}

// publish appends a note in one frame or several.
func (p *player) publish(b []byte, topic byte, last bool) []byte {
	size := p.die.IntN(1 << p.die.IntN(9))
	if p.die.IntN(50) == 0 {
		size = p.die.IntN(40 << 10)
	}
	body := note{p.id, topic, last, p.sent}.encode(size)
	p.sent++
	op := ws.OpBinary
	for p.die.IntN(5) == 0 {
		n := p.die.IntN(len(body) + 1)
		b = p.frame(b, op, false, body[:n])
		op, body = ws.OpContinuation, body[n:]
		if p.die.IntN(3) == 0 {
			b = p.ping(b)
		}
	}
	return p.frame(b, op, true, body)
}

// play runs the player's script.
func (p *player) play() {
	half := func() { p.reached.Do(func() { close(p.halfway) }) }
	defer half()
	if p.after != nil {
		<-p.after.halfway
	}
	conn, err := net.DialTimeout("tcp", p.w.addr, patience)
	if err != nil { // when the server is shut down
		close(p.opened)
		p.ended()
		return
	}
	conn.SetDeadline(time.Now().Add(patience))
	p.conn = conn
	p.w.mu.Lock()
	p.w.dialed++
	p.w.mu.Unlock()
	hs := wire.ClientHandshake{Host: "x", Target: fmt.Sprintf("/?id=%d", p.id)}
	if p.fate == browses {
		hs.Target = "/page"
		io.WriteString(conn, "GET /page HTTP/1.1\r\nHost: x\r\n\r\n")
	} else if req := hs.AppendRequest(nil); p.fate == dawdles {
		conn.Write(req[:p.die.IntN(len(req))])
	} else {
		conn.Write(req)
	}
	p.w.readers.Go(func() { p.listen(&hs) })
	switch {
	case p.fate == dawdles && p.w.hasty && p.die.IntN(2) == 0: // until the server has had enough
	case p.fate == dawdles && p.die.IntN(2) == 0:
		conn.(*net.TCPConn).CloseWrite()
	case p.fate == dawdles:
		conn.Close()
	}
	if p.fate >= isRefused {
		<-p.opened
		return
	}
	if !p.eager {
		<-p.opened
	}
	p.act(p.die.IntN(10))
	half()
	p.act(p.die.IntN(10))
	p.leave()
}

// act does so many random things.
func (p *player) act(steps int) {
	holding := false
	for range steps {
		var b []byte
		switch p.die.IntN(10) {
		case 0:
			b = p.ping(b)
		case 1, 2:
			p.echoes++
			n := p.die.IntN(1 << p.die.IntN(9))
			text := fmt.Sprintf("echo %d %d %s", p.echoes, n, strings.Repeat("é", n))
			b = p.frame(b, ws.OpText, true, []byte(text))
		case 3:
			if holding {
				p.hold.Unlock()
			} else {
				p.hold.Lock()
			}
			holding = !holding
		case 4:
			for range p.die.IntN(10) {
				b = p.publish(b, p.topic, false)
			}
		default:
			b = p.publish(b, byte(p.die.IntN(numTopics)), false)
		}
		if len(b) > 1 && p.die.IntN(4) == 0 { // in two pieces
			n := p.die.IntN(len(b))
			p.conn.Write(b[:n])
			b = b[n:]
		}
		if _, err := p.conn.Write(b); err != nil {
			break // the reader finds out why
		}
	}
	if holding {
		p.hold.Unlock()
	}
}

// leave does what the player's fate is.
func (p *player) leave() {
	switch p.fate {
	case leaves:
		p.conn.Write(p.frame(nil, ws.OpClose, true, ws.NewCloseFrameBody(1000, "bye")))
	case vanishes:
		p.conn.(*net.TCPConn).SetLinger(0)
		p.conn.Close()
	case stops:
		p.conn.(*net.TCPConn).CloseWrite()
	case isClosed:
		p.conn.Write(p.frame(nil, ws.OpText, true, []byte("close")))
	case errs:
		wrong := []struct {
			code  ws.StatusCode
			bytes string
		}{
			{1002, "\xc1\x80\x00\x00\x00\x00"},                                 // RSV1
			{1002, "\x81\x00"},                                                 // not masked
			{1002, "\x83\x80\x00\x00\x00\x00"},                                 // unknown opcode
			{1002, "\x09\x80\x00\x00\x00\x00"},                                 // a fragment of a ping
			{1007, "\x81\x81\x00\x00\x00\x00\xff"},                             // not UTF-8
			{1009, "\x82\xff\x00\x00\x00\x00\x40\x00\x00\x00\x00\x00\x00\x00"}, // 1 GiB
		}[p.die.IntN(6)]
		p.wrong = wrong.code
		io.WriteString(p.conn, wrong.bytes)
	}
}

// ended takes note that nothing more comes.
func (p *player) ended() {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.over = true
}

// listen reads and checks what comes, until the end of the stream.
func (p *player) listen(hs *wire.ClientHandshake) {
	defer p.ended()
	defer p.conn.Close()
	br := bufio.NewReader(p.conn)
	err := p.readAnswer(br, hs)
	close(p.opened)
	for err == nil {
		p.hold.Lock()
		p.hold.Unlock() //nolint:staticcheck // SA2001: it waits
		err = p.readFrame(br)
	}
	var ne *net.OpError
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		p.w.problem("player %d: nothing comes any more, nor the end", p.id)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &ne):
	default:
		p.w.problem("player %d: %v", p.id, err)
	}
}

// readAnswer reads the answer to the handshake, to the end if it isn't a 101.
func (p *player) readAnswer(br *bufio.Reader, hs *wire.ClientHandshake) error {
	want := "HTTP/1.1 101 "
	switch p.fate {
	case browses:
		want = "HTTP/1.1 404 "
	case isRefused:
		want = "HTTP/1.1 403 "
	case dawdles:
		want = "HTTP/1.1 400 " // nothing, in fact
	}
	var head []byte
	for !bytes.HasSuffix(head, []byte("\r\n\r\n")) {
		b, err := br.ReadByte()
		if err != nil {
			return err
		}
		head = append(head, b)
		if n := min(len(head), len(want)); string(head[:n]) != want[:n] || p.fate == dawdles {
			return fmt.Errorf("its handshake is answered %q", head)
		}
	}
	if p.fate == browses || p.fate == isRefused {
		io.Copy(io.Discard, br)
		return io.EOF
	}
	if _, err := hs.CheckResponse(head); err != nil {
		return err
	}
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.upgraded = true
	return nil
}

// readFrame reads one frame and checks it. An error that isn't of the stream is
// the server's fault.
func (p *player) readFrame(br *bufio.Reader) error {
	h, err := ws.ReadHeader(br)
	if err != nil {
		return err
	}
	if !h.Fin || h.Rsv != 0 || h.Masked || h.Length > 64<<10 {
		return fmt.Errorf("received the frame header %+v", h)
	}
	body := make([]byte, h.Length)
	if _, err := io.ReadFull(br, body); err != nil {
		return err
	}
	if h.OpCode == ws.OpClose {
		return p.answerClose(br, body)
	}
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	switch h.OpCode {
	case ws.OpBinary:
		n, ok := decodeNote(body)
		if !ok || n.topic != p.topic {
			return fmt.Errorf("subscribed to topic %d, it received %+v of %d bytes, intact: %v", p.topic, n, len(body), ok)
		}
		p.received = append(p.received, n.key())
		if n.last {
			p.lasts++
		}
	case ws.OpText:
		if string(body) == "hello" {
			p.hellos++
			break
		}
		var n, size uint32
		fmt.Sscanf(string(body), "echo %d %d ", &n, &size)
		if text := fmt.Sprintf("echo %d %d %s", n, size, strings.Repeat("é", int(size)%1024)); string(body) != text {
			return fmt.Errorf("received the text %.50q", body)
		}
		p.echoed = append(p.echoed, n)
	case ws.OpPong:
		if len(body) < 4 || binary.BigEndian.Uint32(body) <= p.ponged || !bytes.HasPrefix(noise[binary.BigEndian.Uint32(body):], body[4:]) {
			return fmt.Errorf("after pong %d, it received %x", p.ponged, body)
		}
		p.ponged = binary.BigEndian.Uint32(body)
	default:
		return fmt.Errorf("received opcode %d", h.OpCode)
	}
	return nil
}

// answerClose answers a close frame, if it isn't an answer itself, and reads on
// to the end.
func (p *player) answerClose(br *bufio.Reader, body []byte) error {
	p.w.mu.Lock()
	p.code, _ = ws.ParseCloseFrameData(body)
	answers := p.fate != leaves
	p.w.mu.Unlock()
	if answers {
		p.conn.Write(ws.MustCompileFrame(ws.MaskFrame(ws.NewCloseFrame(body))))
	}
	if b, err := br.ReadByte(); err == nil {
		return fmt.Errorf("behind the close frame comes %#x", b)
	}
	return io.EOF
}
