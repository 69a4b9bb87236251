package main

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"

	"hubbub/internal/wire"
)

// state is how far a connection has got.
type state uint8

const (
	gone       state = iota // stands in line to be opened
	connecting              // TCP
	shaking                 // the request is sent
	up                      // where its kind begins to misbehave
)

// conn is one connection.
type conn struct {
	at     int32 // its number
	fd     int32
	state  state
	been   bool // up, at some time
	shaken bool // frames come, not an answer
	tries  int32
	sent   int32  // how far its kind has got with it
	rest   []byte // output that the socket didn't take
	head   []byte // the beginning of the answer
	dec    *wire.Decoder
	watch  uint32 // what epoll watches
}

// perSource is how many connections leave from one source address; see bench/floor.
const perSource = 100

// sourceAddr returns the loopback address that connection i leaves from at one of its tries: each try
// takes the next one, since a port may not be free again so soon.
func sourceAddr(i, tries, conns int) [4]byte {
	n := (i/perSource + tries) % (conns/perSource + 1)
	return [4]byte{127, byte(100 + n/(250*250)), byte(n / 250 % 250), byte(1 + n%250)}
}

// What keeps a kernel from taking in much for a connection that isn't read: the least receive buffer,
// and segments as on an ethernet, without which loopback's of 64 KiB make the server's send buffer
// take megabytes.
const (
	smallBuffer  = 4 << 10
	smallSegment = 1400
)

// dial begins to open c.
func (h *herd) dial(c *conn) error {
	c.tries++
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	options := []struct{ level, name, value int }{
		{unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1},
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{unix.SOL_SOCKET, unix.SO_RCVBUF, smallBuffer},
		{unix.IPPROTO_TCP, unix.TCP_MAXSEG, smallSegment},
	}
	if !h.kind.small {
		options = options[:2]
	}
	for _, o := range options {
		if err == nil {
			err = unix.SetsockoptInt(fd, o.level, o.name, o.value)
		}
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrInet4{Addr: sourceAddr(int(c.at), int(c.tries), len(h.conns))})
	}
	if err == nil {
		err = unix.Connect(fd, &unix.SockaddrInet4{Addr: h.opts.addr.Addr().As4(), Port: int(h.opts.addr.Port())})
	}
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		unix.Close(fd)
		return err
	}
	c.fd, c.state = int32(fd), connecting
	h.arm(c)
	return nil
}

// arm has epoll watch for what c waits for.
func (h *herd) arm(c *conn) {
	want := uint32(unix.EPOLLRDHUP)
	switch {
	case c.state == connecting:
		want = unix.EPOLLOUT
	case c.state == shaking, h.kind.takes == atOnce:
		want |= unix.EPOLLIN | unix.EPOLLET
	}
	if c.rest != nil {
		want |= unix.EPOLLOUT
	}
	if want == c.watch {
		return
	}
	op := unix.EPOLL_CTL_MOD
	if c.watch == 0 {
		op = unix.EPOLL_CTL_ADD
	}
	c.watch = want
	if err := unix.EpollCtl(h.epoll, op, int(c.fd), &unix.EpollEvent{Events: want, Fd: c.at, Pad: c.tries}); err != nil {
		h.counts.fail("watching", err)
	}
}

// event handles what epoll reports, which is a hint: what a read or write returns is what counts.
func (h *herd) event(c *conn, events uint32) {
	end := events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0
	switch c.state {
	case connecting:
		h.connected(c)
	case shaking:
		h.read(c, end)
	case up:
		if events&unix.EPOLLOUT != 0 && c.rest != nil {
			h.send(c, c.rest)
		}
		if c.state == up && (end || h.kind.takes == atOnce) {
			h.read(c, end)
		}
	}
}

// connected goes on when an attempt to connect is over.
func (h *herd) connected(c *conn) {
	n, err := unix.GetsockoptInt(int(c.fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && n != 0 {
		err = unix.Errno(n)
	}
	switch {
	case err != nil:
		h.counts.fail("connect", err)
		h.drop(c)
	case h.kind.handshakes(int(c.at)):
		h.greet.Target = h.kind.target(int(c.at), h.opts.path, h.opts.query)
		c.state = shaking
		h.send(c, h.greet.AppendRequest(nil))
		if c.state == shaking {
			h.arm(c)
		}
	default:
		h.enter(c)
	}
}

// enter has c up.
func (h *herd) enter(c *conn) {
	c.state = up
	h.counts.Opened++
	h.counts.Up++
	if !c.been {
		c.been = true
		h.been++
	}
	h.arm(c)
	if h.kind.up != nil {
		h.kind.up(h, c)
	}
}

// send writes p, or keeps what the socket doesn't take until it is writable.
func (h *herd) send(c *conn, p []byte) {
	n, err := h.sys.Write(int(c.fd), p)
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
			h.read(c, true) // which knows more
		}
		if c.state != gone {
			h.lose(c, "reset")
		}
		return
	}
	c.rest = nil
	if n < len(p) {
		c.rest = p[n:]
	}
	if c.state == up {
		h.arm(c)
	}
}

// read takes what the connection's kind takes; with end all there is, which tells how it ended.
func (h *herd) read(c *conn, end bool) {
	p := h.buf
	if h.kind.takes == aByte && c.state == up && !end {
		p = p[:1]
	}
	for c.state >= shaking {
		n, err := h.sys.Read(int(c.fd), p)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return
		case err != nil:
			h.lose(c, "reset")
			return
		case n == 0:
			h.lose(c, "eof")
			return
		}
		h.counts.Received += int64(n)
		h.feed(c, p[:n])
		if !end && (n < len(p) || len(p) == 1) {
			return
		}
	}
}

// feed handles what was read.
func (h *herd) feed(c *conn, p []byte) {
	switch {
	case c.state == shaking:
		h.answered(c, p)
	case c.shaken:
		h.frames(c, p)
	default:
		if s := status(p); s != "" {
			h.lose(c, s)
		}
	}
}

// answered looks for the whole answer to the handshake. What follows it are frames.
func (h *herd) answered(c *conn, p []byte) {
	c.head = append(c.head, p...)
	n, err := h.greet.CheckResponse(c.head)
	if err != nil {
		why := status(c.head)
		if why == "" {
			h.counts.fail("handshake", err)
			why = "no answer"
		}
		h.lose(c, why)
		return
	}
	if n == 0 {
		return
	}
	rest := c.head[n:]
	c.head, c.shaken = nil, true
	h.enter(c)
	if c.state == up {
		h.frames(c, rest)
	}
}

// frames takes the server's frames.
func (h *herd) frames(c *conn, p []byte) {
	dec := c.dec
	if dec == nil {
		dec = h.dec
	}
	for len(p) > 0 && c.state == up {
		m, n, err := dec.Next(p, &h.rules)
		if err != nil {
			h.counts.fail("frames", err)
			h.drop(c)
			break
		}
		p = p[n:]
		switch m.Op {
		case wire.OpClose:
			code, _, err := wire.ParseClose(m.Payload)
			if err != nil {
				h.counts.fail("close frame", err)
			}
			h.lose(c, strconv.Itoa(int(code)))
		case wire.OpPing:
			if h.kind.takes == atOnce && c.rest == nil {
				h.send(c, wire.AppendMaskedFrame(nil, wire.OpPong, m.Payload, mask))
			}
		case wire.OpBinary, wire.OpText:
			h.arrived = true
		}
	}
	switch {
	case c.state != up:
		h.dec.Reset()
	case dec.Settle():
		c.dec = nil
	case c.dec == nil:
		c.dec, h.dec = dec, new(wire.Decoder)
	}
}

// lose counts a connection that the server has ended.
func (h *herd) lose(c *conn, why string) {
	h.counts.Ended[why]++
	h.drop(c)
}

// drop closes c, which gets in line to be opened again.
func (h *herd) drop(c *conn) {
	if c.state != gone {
		h.sys.Close(int(c.fd))
	}
	if c.state == up {
		h.counts.Up--
	}
	if c.dec != nil {
		c.dec.Reset()
	}
	*c = conn{at: c.at, fd: -1, been: c.been, tries: c.tries}
	h.gone = append(h.gone, c)
}
