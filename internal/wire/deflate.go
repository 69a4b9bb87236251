package wire

import (
	"errors"
	"io"
	"sync"

	"github.com/gobwas/httphead"
	"github.com/gobwas/ws"
	"github.com/klauspost/compress/flate"
	"github.com/valyala/bytebufferpool"
)

// Permessage-deflate (RFC 7692), with no context taken over from one message to
// the next in either direction: a connection holds neither a compressor nor a
// window, and a broadcast is compressed once for everybody.

const extensionDeflate = "permessage-deflate"

// Window is the largest distance, in bytes, that compressed output looks back.
type Window int

// The windows that output is compressed with.
const (
	FullWindow  Window = 32 << 10 // what a peer takes that asks for nothing else
	SmallWindow Window = 256      // what every peer takes (server_max_window_bits=8)
)

// Agreement is what a handshake has agreed on.
type Agreement struct {
	Protocol string // subprotocol, "" for none
	Window   Window // to compress with; 0 when permessage-deflate wasn't agreed on
}

// agreeOn answers one offer of an extension (RFC 7692 section 7.1). An offer that
// isn't exactly right is declined; the client may have made another.
func agreeOn(offer httphead.Option) (answer httphead.Option, w Window, ok bool) {
	if string(offer.Name) != extensionDeflate {
		return answer, 0, false
	}
	answer.Name = []byte(extensionDeflate)
	answer.Parameters.Set([]byte("server_no_context_takeover"), nil)
	answer.Parameters.Set([]byte("client_no_context_takeover"), nil)
	w, ok = FullWindow, true
	seen := map[string]bool{}
	offer.Parameters.ForEach(func(key, value []byte) bool {
		name := string(key)
		switch name {
		case "server_no_context_takeover", "client_no_context_takeover":
			ok = len(value) == 0
		case "client_max_window_bits":
			ok = len(value) == 0 || windowBits(value) > 0
		case "server_max_window_bits":
			bits := windowBits(value)
			ok = bits > 0
			if bits < maxWindowBits {
				w = SmallWindow
			}
			answer.Parameters.Set([]byte(name), []byte(string(value)))
		default:
			ok = false
		}
		ok = ok && !seen[name]
		seen[name] = true
		return ok
	})
	return answer, w, ok
}

const maxWindowBits = 15

// windowBits reads a number from 8 to 15 without leading zeros, and returns zero
// for anything else.
func windowBits(v []byte) int {
	switch {
	case len(v) == 1 && (v[0] == '8' || v[0] == '9'):
		return int(v[0] - '0')
	case len(v) == 2 && v[0] == '1' && v[1] >= '0' && v[1] <= '5':
		return 10 + int(v[1]-'0')
	}
	return 0
}

// maxDeflate is the size in bytes above which a message isn't compressed: that
// would hold up everyone who is served after it.
const maxDeflate = 1 << 20

// deflater is a compressor that can be used again. Its output has no relation
// to what it has compressed before.
type deflater struct {
	w   *flate.Writer
	out bytebufferpool.ByteBuffer
}

var deflaters = map[Window]*sync.Pool{
	FullWindow: {New: func() any {
		return newDeflater(func(w io.Writer) (*flate.Writer, error) { return flate.NewWriter(w, deflateLevel) })
	}},
	SmallWindow: {New: func() any {
		return newDeflater(func(w io.Writer) (*flate.Writer, error) { return flate.NewWriterWindow(w, int(SmallWindow)) })
	}},
}

// deflateLevel is the highest that is still about as fast as the lowest.
const deflateLevel = 5

func newDeflater(make func(io.Writer) (*flate.Writer, error)) *deflater {
	d := new(deflater)
	w, err := make(&d.out)
	if err != nil {
		panic(err) // a constant is wrong
	}
	d.w = w
	return d
}

// DeflateFrame compresses an unmasked, final frame of a message, and calls use
// with the new frame's header and payload, which are valid until it returns. It
// reports false, without a call, if the frame had better go as it is: a control
// frame, one with a payload of less than least or more than a mebibyte, or one that
// compressing wouldn't make smaller.
func DeflateFrame(frame []byte, w Window, least int, use func(head, payload []byte)) bool {
	h, size, err := parseHeader(frame)
	if err != nil || size == 0 || h.OpCode.IsControl() {
		return false
	}
	payload := frame[size:]
	if len(payload) < least || len(payload) > maxDeflate {
		return false
	}
	pool := deflaters[w]
	d := pool.Get().(*deflater)
	defer pool.Put(d)
	d.out.Reset()
	d.w.Reset(&d.out)
	_, _ = d.w.Write(payload) // writing to a buffer
	_ = d.w.Flush()           // cannot fail
	// The flush ends with an empty stored block, of which the four bytes that
	// are always the same aren't sent (RFC 7692 section 7.2.1).
	out := d.out.B[:len(d.out.B)-len(flushed)]
	if len(out) >= len(payload) {
		return false
	}
	var head [maxHeader]byte
	b := AppendHeader(head[:0], h.OpCode, len(out))
	b[0] |= bitRSV1
	use(b, out)
	return true
}

const flushed = "\x00\x00\xff\xff"

// inflater decompresses messages, one after the other.
type inflater struct {
	src flateSource
	r   io.ReadCloser
}

var inflaters = sync.Pool{New: func() any {
	in := new(inflater)
	in.r = flate.NewReader(&in.src)
	return in
}}

// flateSource is a compressed message with what was cut off its end, and an
// empty last block, by which the reader knows that it is over. It is an
// io.ByteReader, so that no more is read of it than is used.
type flateSource struct {
	p    []byte
	tail string
}

const flateTail = flushed + "\x01\x00\x00\xff\xff"

func (s *flateSource) Read(p []byte) (int, error) {
	n := copy(p, s.p)
	s.p = s.p[n:]
	if n == 0 {
		n = copy(p, s.tail)
		s.tail = s.tail[n:]
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (s *flateSource) ReadByte() (c byte, err error) {
	switch {
	case len(s.p) > 0:
		c, s.p = s.p[0], s.p[1:]
	case len(s.tail) > 0:
		c, s.tail = s.tail[0], s.tail[1:]
	default:
		err = io.EOF
	}
	return c, err
}

// deflatedSlack is how much larger than MaxMessage a message may be while it is
// compressed: what can't be compressed grows a little.
func deflatedSlack(limit int) int { return limit/8 + 64 }

// inflate appends the message that p was compressed from to dst (RFC 7692
// section 7.2.2). It takes memory in proportion to what comes out, and no more
// than limit bytes of it. The error is a *ProtocolError.
func inflate(dst, p []byte, limit int) ([]byte, error) {
	in := inflaters.Get().(*inflater)
	defer func() {
		in.src = flateSource{}
		inflaters.Put(in)
	}()
	in.src = flateSource{p, flateTail}
	// A sender may end a stream and begin another inside of a message (section
	// 7.2.3.4), which has hardly a use: a message of nothing but ends must not
	// cost more than one of data.
	ends := 16 + len(p)/128
	for ; ends > 0; ends-- {
		if err := in.r.(flate.Resetter).Reset(&in.src, dst[max(0, len(dst)-int(FullWindow)):]); err != nil {
			return dst, errDeflate
		}
		var err error
		if dst, err = in.stream(dst, limit); err != nil {
			return dst, err
		}
		if len(in.src.p) == 0 && len(in.src.tail) == 0 {
			return dst, nil
		}
	}
	return dst, errDeflate
}

// stream appends one deflate stream's output to dst.
func (in *inflater) stream(dst []byte, limit int) ([]byte, error) {
	for {
		if len(dst) == cap(dst) {
			dst = append(dst, 0)[:len(dst)]
		}
		n, err := in.r.Read(dst[len(dst):min(cap(dst), limit+1)])
		dst = dst[:len(dst)+n]
		switch {
		case len(dst) > limit:
			return dst, errTooBig
		case errors.Is(err, io.EOF):
			return dst, nil
		case err != nil:
			return dst, errDeflate
		}
	}
}

// negotiate is ws.Upgrader's callback: it agrees on the first offer that it can.
func (u *Upgrader) negotiate(offer httphead.Option) (httphead.Option, error) {
	if u.agreed.Window != 0 {
		return httphead.Option{}, nil
	}
	answer, w, ok := agreeOn(offer)
	if !ok {
		return httphead.Option{}, nil
	}
	u.agreed.Window = w
	return answer, nil
}

// checkRSV refuses reserved bits that mean nothing here: the first one is set on
// the first frame of a compressed message (RFC 7692 section 6), the others never.
func checkRSV(h ws.Header, r *Rules, inMessage bool) bool {
	const rsv1 = 4
	return h.Rsv == 0 || h.Rsv == rsv1 && r.Deflate && !inMessage && (h.OpCode == OpText || h.OpCode == OpBinary)
}
