package hubbub

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/valyala/bytebufferpool"
	"golang.org/x/sys/unix"

	"hubbub/internal/poller"
	"hubbub/internal/wire"
)

// TLS on the event loop. crypto/tls is made to read from and write to the
// connection's non-blocking socket: its Read takes a temporary error without
// losing its place, so that EAGAIN goes straight through, and its Write gets a
// socket that takes everything, since what the kernel doesn't take is kept here.
// Only the handshake can't be interrupted: it borrows a goroutine, which waits
// for what the loop reads. There are no more of them than handshakes in progress
// (Config.MaxHandshakes), and no more of them compute at a time than there are
// broadcast workers (Config.Workers, turns.go).

// secure is the TLS layer of a connection, and the net.Conn that crypto/tls
// sees.
type secure struct {
	c   *Conn
	tls *tls.Conn

	// Guarded by the connection's lock, which is held whenever tls is used,
	// but for the handshake and by net/http.
	out     *bytebufferpool.ByteBuffer // records that the socket hasn't taken, nil if there are none
	in      []byte                     // what the loop has read during the handshake and tls hasn't
	reading bool                       // tls is reading: what it writes now are answers to what carries nothing
	answers int                        // since they were charged
	budget  int                        // bytes that may still be read before the others get their turn
	shake   *shake                     // nil once the handshake is over

	plain net.Conn // the socket, once it is net/http's
}

// shake is what a handshake needs while it lasts.
type shake struct {
	more    sync.Cond     // something has come, or the connection has ended; on the connection's lock
	started bool          // owned by the loop
	fed     int           // bytes that it was given; owned by the loop
	turn    bool          // the goroutine's
	gone    chan struct{} // closed when the connection has ended
}

// maxRecord is the largest plaintext of a TLS record in bytes (RFC 8446 section
// 5.1).
const maxRecord = 16 << 10

// maxHello is how many bytes are read before the handshake is over: a record and
// more, which is what the longest takes. What follows it waits in the socket.
const maxHello = 20 << 10

// maxHeld is how many bytes of records may wait for the socket, after the handshake,
// when another is made: that is the answer to a KeyUpdate, of which a peer that
// doesn't read could ask for any number.
const maxHeld = 64 << 10

var records bytebufferpool.Pool

func newSecure(c *Conn, cfg *tls.Config) *secure {
	s := &secure{c: c, shake: &shake{gone: make(chan struct{})}}
	s.shake.more.L = &c.mu
	s.tls = tls.Server(s, cfg)
	return s
}

// feed gives the handshake what the loop has read.
func (s *secure) feed(p []byte) {
	c := s.c
	c.mu.Lock()
	s.in = append(s.in, p...)
	s.shake.fed += len(p)
	full := s.shake.fed >= maxHello
	s.shake.more.Signal()
	c.mu.Unlock()
	if full {
		c.quiet |= bitPaused
		if c.watch(); c.state.Load() == stateClosed {
			return
		}
	}
	if !s.shake.started {
		s.shake.started = true
		c.shard.server.borrowed.Go(s.handshake)
	}
}

// handshake runs on a goroutine of its own.
func (s *secure) handshake() {
	var err error = net.ErrClosed
	if s.shake.turn = s.c.shard.server.turns.take(s.shake.gone); s.shake.turn {
		err = s.tls.Handshake()
	}
	if s.shake.turn {
		s.c.shard.server.turns.give()
	}
	s.c.shard.loop.Post(poller.Func(func() { s.shaken(err) }))
}

// shaken goes on, on the loop, when the handshake is over.
func (s *secure) shaken(err error) {
	c := s.c
	c.mu.Lock()
	s.shake = nil
	c.mu.Unlock()
	if c.state.Load() != stateHandshake {
		return
	}
	if err == nil {
		if c.quiet&bitPaused != 0 {
			c.quiet &^= bitPaused
			if c.watch(); c.state.Load() == stateClosed {
				return
			}
		}
		c.readHandshake() // the request may have come with the end of the handshake
		return
	}
	var rec tls.RecordHeaderError
	if errors.As(err, &rec) && looksLikeHTTP(rec.RecordHeader) {
		c.kind &^= kindSecure
		c.refuse(errPlainHTTP)
		return
	}
	c.giveUp(refusedTLS)
}

var errPlainHTTP = &wire.Refusal{Status: http.StatusBadRequest, Reason: "this is a TLS port: use https:// or wss://"}

func looksLikeHTTP(b [5]byte) bool {
	switch string(b[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO":
		return true
	}
	return false
}

// waiting reports whether the handshake isn't over.
func (s *secure) waiting() bool { return s.shake != nil }

// receive decrypts what the socket has into p. io.EOF is the end of the stream,
// EAGAIN means that there is nothing more for now.
func (s *secure) receive(p []byte) (int, error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.reading = true
	n, err := s.tls.Read(p)
	s.reading = false
	if n > 0 || !errors.Is(err, io.ErrUnexpectedEOF) {
		return n, err
	}
	return n, io.EOF // without a close_notify: whether that matters is WebSocket's business
}

// refill lets the loop read so many bytes from the socket.
func (s *secure) refill(budget int) {
	s.c.mu.Lock()
	s.budget = budget
	s.c.mu.Unlock()
}

// charge takes note of the records that were written in answer to others while
// reading (KeyUpdate, RFC 8446 section 4.6.3): they carry nothing.
func (s *secure) charge() {
	if n := s.answers; n > 0 && s.c.state.Load() == stateOpen {
		s.answers = 0
		s.c.chatter(n)
	}
}

// writeLocked encrypts what the socket takes, and the rest of the record that
// it doesn't.
func (s *secure) writeLocked(p []byte) (n int, ok bool) {
	for n < len(p) && n < maxWrite && s.out == nil {
		k := min(len(p)-n, maxRecord)
		if _, err := s.tls.Write(p[n : n+k]); err != nil {
			s.c.breakLocked()
			return n, false
		}
		n += k
	}
	return n, s.c.bit&bitBroken == 0
}

// flushLocked writes the records that wait, and reports whether none is left.
func (s *secure) flushLocked() bool {
	if s.out == nil {
		return true
	}
	n, _ := s.c.writeRawLocked(s.out.B)
	if s.out.B = s.out.B[:copy(s.out.B, s.out.B[n:])]; len(s.out.B) > 0 {
		return false
	}
	s.dropLocked()
	return true
}

func (s *secure) dropLocked() {
	if s.out != nil {
		if cap(s.out.B) <= 2*maxRecord {
			records.Put(s.out)
		}
		s.out = nil
	}
}

// sayGoodbyeLocked sends a close_notify, if the socket takes it.
func (s *secure) sayGoodbyeLocked() {
	if s.shake == nil {
		_ = s.tls.CloseWrite() // fails where the peer is gone, which the next read tells
	}
	s.dropLocked()
}

// endLocked ends the handshake, if it isn't over, with the connection.
func (s *secure) endLocked() {
	s.dropLocked()
	if s.shake != nil {
		s.shake.more.Signal()
		close(s.shake.gone)
	}
}

// Read implements net.Conn, for crypto/tls.
func (s *secure) Read(p []byte) (int, error) {
	switch {
	case s.plain != nil:
		if len(s.in) == 0 {
			return s.plain.Read(p)
		}
	case s.shake != nil:
		s.c.mu.Lock()
		defer s.c.mu.Unlock()
		s.awaitLocked()
		if s.c.state.Load() == stateClosed {
			return 0, net.ErrClosed
		}
	}
	if len(s.in) > 0 {
		n := copy(p, s.in)
		if s.in = s.in[n:]; len(s.in) == 0 {
			s.in = nil
		}
		return n, nil
	}
	if s.budget <= 0 {
		return 0, unix.EAGAIN
	}
	n, err := s.c.shard.loop.Sys().Read(int(s.c.fd), p)
	if n == 0 && err == nil {
		err = io.EOF
	}
	if s.budget -= n; n < len(p) {
		s.budget = 0 // the socket is dry: no need to have it say so
	}
	return n, err
}

// awaitLocked waits, during the handshake, for something to read or for the
// connection's end. Others may compute meanwhile.
func (s *secure) awaitLocked() {
	if len(s.in) > 0 || s.c.state.Load() == stateClosed {
		return
	}
	turns := &s.c.shard.server.turns
	if s.shake.turn {
		turns.give()
	}
	for len(s.in) == 0 && s.c.state.Load() != stateClosed {
		s.shake.more.Wait()
	}
	s.c.mu.Unlock()
	s.shake.turn = turns.take(s.shake.gone)
	s.c.mu.Lock()
}

// Write implements net.Conn, for crypto/tls. Outside of the handshake the lock is
// held.
func (s *secure) Write(p []byte) (int, error) {
	if s.plain != nil {
		if s.out != nil { // the end of the handshake, at most
			defer s.dropLocked()
			if _, err := s.plain.Write(s.out.B); err != nil {
				return 0, err
			}
		}
		return s.plain.Write(p)
	}
	c := s.c
	if s.reading {
		s.answers++
	}
	if s.shake != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
	}
	if c.state.Load() == stateClosed || c.bit&bitBroken != 0 {
		return 0, net.ErrClosed
	}
	n := 0
	if s.out == nil {
		var ok bool
		if n, ok = c.writeRawLocked(p); !ok {
			return n, net.ErrClosed
		}
		if n == len(p) {
			return n, nil
		}
		s.out = records.Get()
		s.out.B = s.out.B[:0]
	}
	if s.shake == nil && len(s.out.B) > maxHeld {
		c.breakLocked()
		return 0, net.ErrClosed
	}
	s.out.B = append(s.out.B, p[n:]...)
	if c.bit&bitWriting == 0 {
		c.postLocked()
	}
	return len(p), nil
}

// handOver makes a blocking connection of the socket, for net/http.
func (s *secure) handOver(plain net.Conn) net.Conn {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.plain = plain
	return s.tls
}

// Close implements net.Conn. On the loop, it isn't crypto/tls that closes.
func (s *secure) Close() error {
	if s.plain != nil {
		return s.plain.Close()
	}
	return nil
}

// LocalAddr implements net.Conn.
func (s *secure) LocalAddr() net.Addr {
	if s.plain != nil {
		return s.plain.LocalAddr()
	}
	return nil
}

// RemoteAddr implements net.Conn.
func (s *secure) RemoteAddr() net.Addr {
	if s.plain != nil {
		return s.plain.RemoteAddr()
	}
	return net.TCPAddrFromAddrPort(s.c.peer())
}

// SetDeadline implements net.Conn. On the loop there are timers instead.
func (s *secure) SetDeadline(t time.Time) error {
	if s.plain != nil {
		return s.plain.SetDeadline(t)
	}
	return nil
}

// SetReadDeadline implements net.Conn.
func (s *secure) SetReadDeadline(t time.Time) error {
	if s.plain != nil {
		return s.plain.SetReadDeadline(t)
	}
	return nil
}

// SetWriteDeadline implements net.Conn.
func (s *secure) SetWriteDeadline(t time.Time) error {
	if s.plain != nil {
		return s.plain.SetWriteDeadline(t)
	}
	return nil
}

var _ net.Conn = (*secure)(nil)
