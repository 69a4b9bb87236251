package client

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"hubbub/cmd/loadgen/internal/plan"
	"hubbub/internal/poller"
)

// TLS between a lane and its sockets. To the lane it is the system calls on
// sockets that happen to encrypt; to crypto/tls each connection is a net.Conn
// that passes EAGAIN through, which crypto/tls takes for a temporary error and
// goes on from. Only the handshake can't be interrupted: it borrows a goroutine,
// which waits for what the loop reads. There are no more of them than attempts
// under way, and no more of them compute at a time than the process has loops.

// encryption is what the encrypted connections of a process have in common.
type encryption struct {
	config *tls.Config
	turn   chan struct{} // held by the handshakes that compute
}

func newEncryption(t *plan.TLS, atATime int) (*encryption, error) {
	config, err := t.Config()
	if err != nil {
		return nil, err
	}
	config.ClientSessionCache = forgetful{}
	// A message is a record, as far as it goes.
	config.DynamicRecordSizingDisabled = true
	// The same for all: what is wrong with a certificate that has expired has the
	// time in it, and would be another reason every second.
	now := time.Now()
	config.Time = func() time.Time { return now }
	return &encryption{config: config, turn: make(chan struct{}, atATime)}, nil
}

// forgetful makes every handshake a full one, as a browser's first is: the
// server is asked for a session ticket, and it isn't used.
type forgetful struct{}

func (forgetful) Get(string) (*tls.ClientSessionState, bool) { return nil, false }
func (forgetful) Put(string, *tls.ClientSessionState)        {}

// secure is the Sys of a lane whose connections are encrypted. All its methods
// must be called on the loop, or when it has stopped.
type secure struct {
	poller.Sys // of the sockets
	*encryption
	loop    *poller.Loop
	tunnels map[int]*tunnel // by descriptor
	shaking sync.WaitGroup
}

func newSecure(e *encryption, loop *poller.Loop) *secure {
	return &secure{Sys: loop.Sys(), encryption: e, loop: loop, tunnels: make(map[int]*tunnel)}
}

// tunnel is the TLS of one connection, and the net.Conn that crypto/tls sees. It
// is the loop's, but for the time of the handshake: then tls is the handshake's,
// and shake is both's.
type tunnel struct {
	net.Conn // nil: crypto/tls calls nothing of it but what is below
	sys      *secure
	fd       int
	event    func(poller.Events) // the lane's callback

	tls   *tls.Conn // nil until the first Write
	shake *shake    // nil once the handshake is over
	err   error     // what the handshake failed of
	early []byte    // what the loop has read during the handshake and tls hasn't
	out   []byte    // records that the socket hasn't taken
	ahead int       // bytes of the next Write that are encrypted already
	dry   bool      // the socket has said that it is empty
}

// shake is what a handshake needs while it lasts.
type shake struct {
	request []byte // what follows the handshake

	mu   sync.Mutex // guards what follows, and the descriptor against being closed
	more sync.Cond
	in   []byte // what the loop has read and tls hasn't
	end  error  // why no more will come
}

const (
	maxRecord = 16 << 10 // largest plaintext of a TLS record in bytes (RFC 8446 section 5.1)
	maxEarly  = 1 << 20  // far more than a server sends before it has the request
)

var errTooEarly = errors.New("tls: the server sends and sends before the handshake is over")

// open is told of a new socket. event is called, as by the poller, when there is
// something to be had from Read of which the poller doesn't know.
func (s *secure) open(fd int, event func(poller.Events)) {
	s.tunnels[fd] = &tunnel{sys: s, fd: fd, event: event}
}

// Close implements poller.Sys.
func (s *secure) Close(fd int) error {
	t := s.tunnels[fd]
	delete(s.tunnels, fd)
	switch {
	case t == nil, t.tls == nil:
	case t.shake != nil:
		t.shake.add(nil, net.ErrClosed)
	default:
		_ = t.tls.CloseWrite() // a courtesy: a peer that is gone can do without
	}
	return s.Sys.Close(fd)
}

// Write implements poller.Sys. The first one is the request: it begins the
// handshake and is sent behind it. What a Write doesn't accept has to be the
// beginning of the next one, since some of it may be encrypted already.
func (s *secure) Write(fd int, p []byte) (int, error) {
	t := s.tunnels[fd]
	if t.tls == nil {
		return t.begin(p)
	}
	if t.shake != nil {
		return 0, unix.EAGAIN
	}
	if err := t.flush(); err != nil {
		return 0, err
	}
	n := t.ahead
	t.ahead = 0
	for n < len(p) {
		k := min(len(p)-n, maxRecord)
		if _, err := t.tls.Write(p[n : n+k]); err != nil {
			return n, err
		}
		if len(t.out) > 0 {
			t.ahead = k // not accepted, so that the lane waits for the socket
			break
		}
		n += k
	}
	return n, nil
}

// begin starts the handshake, if the socket is connected.
func (t *tunnel) begin(request []byte) (int, error) {
	if err := poller.ConnectError(t.fd); err != nil {
		return 0, err
	}
	if !poller.PeerAddr(t.fd).IsValid() {
		return 0, unix.ENOTCONN
	}
	t.shake = &shake{request: append([]byte(nil), request...)}
	t.shake.more.L = &t.shake.mu
	t.tls = tls.Client(t, t.sys.config)
	t.sys.shaking.Go(t.handshake)
	return len(request), nil
}

// handshake runs on a goroutine of its own.
func (t *tunnel) handshake() {
	t.sys.turn <- struct{}{}
	err := t.tls.Handshake()
	if err == nil {
		_, err = t.tls.Write(t.shake.request)
	}
	<-t.sys.turn
	t.sys.loop.Post(task(func() { t.shaken(err) }))
}

// shaken goes on, on the loop, when the handshake is over. The answer may have
// come already, and no new edge will tell.
func (t *tunnel) shaken(err error) {
	if t.sys.tunnels[t.fd] != t {
		return // closed meanwhile
	}
	t.early, t.shake, t.err = t.shake.in, nil, err
	t.event(poller.Readable)
}

// Read implements poller.Sys. A short count means, as it does of a socket, that
// there is nothing more for now: nothing that is decrypted stays behind.
func (s *secure) Read(fd int, p []byte) (n int, err error) {
	t := s.tunnels[fd]
	if t.shake != nil {
		return t.feed(p)
	}
	t.dry = false
	for err = t.err; n < len(p) && err == nil; {
		var m int
		m, err = t.tls.Read(p[n:])
		n += m
	}
	switch {
	case n == 0 && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)):
		return 0, nil // with a close_notify or without: what matters is the close frame
	case n == 0:
		return 0, err
	case err != nil && !errors.Is(err, unix.EAGAIN): // it is the next one's, and may be all that there is to come
		s.loop.Post(task(func() {
			if s.tunnels[fd] == t {
				t.event(poller.Readable)
			}
		}))
	}
	return n, nil
}

// feed gives the handshake what the socket has. p serves as a buffer.
func (t *tunnel) feed(p []byte) (int, error) {
	for early := 0; ; {
		n, err := t.sys.Sys.Read(t.fd, p)
		if errors.Is(err, unix.EAGAIN) {
			return 0, err
		}
		if n == 0 && err == nil {
			err = io.EOF
		}
		if early += n; early > maxEarly {
			err = errTooEarly
		}
		t.shake.add(p[:n], err)
		if err != nil {
			return 0, unix.EAGAIN // what comes of it is the handshake's to say
		}
	}
}

// add gives a handshake something to read, or a reason why no more will come.
func (h *shake) add(p []byte, end error) {
	h.mu.Lock()
	h.in = append(h.in, p...)
	if h.end == nil || errors.Is(end, net.ErrClosed) {
		h.end = end
	}
	h.more.Signal()
	h.mu.Unlock()
}

// read waits for something to read. Others may compute meanwhile.
func (h *shake) read(p []byte, turn chan struct{}) (int, error) {
	<-turn
	h.mu.Lock()
	for len(h.in) == 0 && h.end == nil {
		h.more.Wait()
	}
	h.mu.Unlock()
	turn <- struct{}{}

	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.in) == 0 || errors.Is(h.end, net.ErrClosed) {
		return 0, h.end
	}
	return consume(p, &h.in), nil
}

// consume moves the beginning of b to p, and lets go of b when it is used up.
func consume(p []byte, b *[]byte) int {
	n := copy(p, *b)
	if *b = (*b)[n:]; len(*b) == 0 {
		*b = nil
	}
	return n
}

// flush writes the records that wait. EAGAIN means that some are left.
func (t *tunnel) flush() error {
	if len(t.out) == 0 {
		return nil
	}
	n, err := t.sys.Sys.Write(t.fd, t.out)
	if err != nil {
		return err
	}
	if t.out = t.out[n:]; len(t.out) > 0 {
		return unix.EAGAIN
	}
	t.out = nil
	return nil
}

// Read implements net.Conn, for crypto/tls.
func (t *tunnel) Read(p []byte) (int, error) {
	if t.shake != nil {
		return t.shake.read(p, t.sys.turn)
	}
	if len(t.early) > 0 {
		return consume(p, &t.early), nil
	}
	if t.dry {
		return 0, unix.EAGAIN
	}
	n, err := t.sys.Sys.Read(t.fd, p)
	if n == 0 && err == nil {
		err = io.EOF
	}
	t.dry = n < len(p) // no need to have the socket say so
	return n, err
}

// Write implements net.Conn, for crypto/tls. It takes everything.
func (t *tunnel) Write(p []byte) (n int, err error) {
	if h := t.shake; h != nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		if errors.Is(h.end, net.ErrClosed) {
			return 0, h.end
		}
		if n, err = t.sys.Sys.Write(t.fd, p); err == nil && n < len(p) {
			err = fmt.Errorf("a new socket took only %d of %d bytes", n, len(p))
		}
		return n, err
	}
	if len(t.out) == 0 {
		if n, err = t.sys.Sys.Write(t.fd, p); err != nil && !errors.Is(err, unix.EAGAIN) {
			return n, err
		}
	}
	t.out = append(t.out, p[n:]...)
	return len(p), nil
}

// SetWriteDeadline implements net.Conn: nothing here waits.
func (t *tunnel) SetWriteDeadline(time.Time) error { return nil }
