package wire

import (
	"github.com/gobwas/ws"
	"github.com/valyala/bytebufferpool"
)

// keepBuffer is the capacity in bytes above which a message buffer isn't kept
// for reuse. The pool learns from what it gets back how large to make new
// buffers, so this also bounds what a peer holds that sends one byte of a
// message and no more, after others have sent big ones.
const keepBuffer = 4 << 10

var messageBuffers bytebufferpool.Pool

// Message is a whole message or control frame, unmasked.
type Message struct {
	Op      OpCode // OpText, OpBinary, OpClose, OpPing or OpPong; 0 for none
	Payload []byte // valid until the Decoder or the buffer it lies in is used again
}

// Rules say which peer a Decoder listens to and what it puts up with.
type Rules struct {
	// Client is set on a client: frames come from a server, unmasked.
	Client bool
	// MaxMessage is the largest message in bytes, all its fragments together;
	// of a compressed one, what comes out.
	MaxMessage int
	// Deflate is set where permessage-deflate was agreed on, without context
	// takeover by the peer.
	Deflate bool
}

// Decoder turns the bytes of one connection into messages. It resumes at any
// byte. The zero value is ready to use; a Decoder that has Settled is as good
// as a new one, so idle connections need not hold any.
//
// A frame that is whole in the input is unmasked and returned in place. Only
// what is cut off is copied, and memory grows with what has arrived, never
// with what a header declares. Bad text is noticed at its first bad byte.
type Decoder struct {
	head  [maxHeader]byte // of a header that is cut off
	nhead uint8

	inside bool // in the payload of frame h, of which pos bytes have been seen
	h      ws.Header
	pos    int64

	empty int // fragments without payload, since Empty was asked

	ctl  [maxControl]byte // payload of a control frame that is cut off
	nctl uint8

	// The data message being put together: op is zero between messages.
	op       OpCode
	deflated bool
	msg      *bytebufferpool.ByteBuffer
	valid    int  // bytes of msg known to be valid UTF-8
	spent    bool // msg was returned and has to be let go
}

// Settle lets go of the message last returned and reports whether the Decoder
// holds nothing: no frame and no message is in the middle.
func (d *Decoder) Settle() bool {
	if d.spent {
		d.spent = false
		putMessage(d.msg)
		d.msg = nil
	}
	return d.nhead == 0 && !d.inside && d.op == 0
}

// Reset lets go of everything, for a connection that has ended.
func (d *Decoder) Reset() {
	if d.msg != nil {
		putMessage(d.msg)
	}
	*d = Decoder{}
}

// Held returns the size in bytes of the buffer for a message that hasn't come whole.
func (d *Decoder) Held() int {
	if d.msg == nil {
		return 0
	}
	return cap(d.msg.B)
}

// Empty returns how many fragments without payload have come since it was last
// asked. They cost a peer next to nothing.
func (d *Decoder) Empty() int {
	n := d.empty
	d.empty = 0
	return n
}

// Next takes bytes from p up to the end of the next message or control frame
// and returns that with the number of bytes taken. A message with Op zero
// means that all of p is used up and more is needed. p is modified.
//
// The error is a *ProtocolError; the connection can't be read any further
// then.
func (d *Decoder) Next(p []byte, r *Rules) (Message, int, error) {
	if d.spent {
		d.Settle()
	}
	n := 0
	for {
		if !d.inside {
			used, err := d.header(p[n:], r)
			n += used
			if err != nil || !d.inside {
				return Message{}, n, err
			}
		}
		m, used, err := d.payload(p[n:], r)
		n += used
		if err != nil || m.Op != 0 || d.inside {
			return m, n, err
		}
	}
}

// header reads a frame's header and checks it, cut off or not, so that a frame
// that can't be accepted is refused as soon as that shows. d.inside tells
// whether the header was all there.
func (d *Decoder) header(p []byte, r *Rules) (used int, err error) {
	b := p
	if d.nhead > 0 {
		n := copy(d.head[d.nhead:], p)
		b = d.head[:int(d.nhead)+n]
	}
	var size int
	if d.h, size, err = parseHeader(b); err != nil {
		return 0, err
	}
	if len(b) >= 2 {
		if err = d.check(r); err != nil {
			return 0, err
		}
	}
	if size == 0 {
		used = len(b) - int(d.nhead)
		d.nhead = uint8(copy(d.head[:], b))
		return used, nil
	}
	used = size - int(d.nhead)
	d.nhead = 0
	d.inside = true
	d.pos = 0
	if !d.h.OpCode.IsControl() {
		if d.h.Length == 0 && !d.h.Fin {
			d.empty++
		}
		if d.op == 0 {
			d.op = d.h.OpCode
			d.deflated = d.h.Rsv != 0
		}
	} else {
		d.nctl = 0
	}
	return used, nil
}

// check checks d.h, of which the length may not have come yet: it is zero then.
func (d *Decoder) check(r *Rules) error {
	state := ws.StateServerSide
	if r.Client {
		state = ws.StateClientSide
	}
	if d.op != 0 {
		state = state.Set(ws.StateFragmented)
	}
	if !checkRSV(d.h, r, d.op != 0) {
		return errRSV
	}
	if err := ws.CheckHeader(d.h, state.Set(ws.StateExtended)); err != nil {
		return &ProtocolError{CloseProtocolError, err.Error()}
	}
	if !d.h.OpCode.IsControl() {
		have := 0
		if d.msg != nil {
			have = len(d.msg.B)
		}
		limit := r.MaxMessage
		if d.deflated && d.op != 0 || d.op == 0 && d.h.Rsv != 0 {
			limit += deflatedSlack(limit)
		}
		if d.h.Length > int64(limit-have) {
			return errTooBig
		}
	}
	return nil
}

// payload reads what is there of the current frame's payload.
func (d *Decoder) payload(p []byte, r *Rules) (Message, int, error) {
	left := d.h.Length - d.pos
	whole := int64(len(p)) >= left
	if whole {
		p = p[:left]
	}
	if d.h.Masked {
		ws.Cipher(p, d.h.Mask, int(d.pos&3))
	}
	d.pos += int64(len(p))
	if whole {
		d.inside = false
	}
	if d.h.OpCode.IsControl() {
		m := d.control(p, whole)
		return m, len(p), nil
	}
	m, err := d.data(p, whole && d.h.Fin, r)
	return m, len(p), err
}

func (d *Decoder) control(p []byte, whole bool) Message {
	if whole && d.nctl == 0 {
		return Message{d.h.OpCode, p}
	}
	d.nctl += uint8(copy(d.ctl[d.nctl:], p))
	if !whole {
		return Message{}
	}
	return Message{d.h.OpCode, d.ctl[:d.nctl]}
}

// data adds p to the message; last is set when the message ends with it.
func (d *Decoder) data(p []byte, last bool, r *Rules) (Message, error) {
	if last && d.msg == nil && !d.deflated { // all in one piece: no copy
		op := d.op
		d.op = 0
		if op == OpText {
			if _, ok := checkUTF8(p, 0, true); !ok {
				return Message{}, errBadUTF8
			}
		}
		return Message{op, p}, nil
	}
	if last && d.deflated {
		return d.inflated(p, r)
	}
	d.keep(p)
	if d.op == OpText && !d.deflated {
		var ok bool
		if d.valid, ok = checkUTF8(d.msg.B, d.valid, last); !ok {
			return Message{}, errBadUTF8
		}
	}
	if !last {
		return Message{}, nil
	}
	return d.message(), nil
}

// keep copies a piece of the message. The buffer doubles, so that each byte is moved
// once or twice, but not beyond where the message ends, if that is known.
func (d *Decoder) keep(p []byte) {
	if d.msg == nil {
		d.msg = messageBuffers.Get()
		d.valid = 0
	}
	b := d.msg.B
	if need := len(b) + len(p); need > cap(b) {
		size := 2 * need
		if left := d.h.Length - d.pos; d.h.Fin && left < int64(need) {
			size = need + int(left)
		}
		b = append(make([]byte, 0, size), b...)
	}
	d.msg.B = append(b, p...)
}

// message ends the message that d.msg holds.
func (d *Decoder) message() Message {
	op := d.op
	d.op, d.spent = 0, true
	return Message{op, d.msg.B}
}

// inflated ends a compressed message with its last piece.
func (d *Decoder) inflated(p []byte, r *Rules) (Message, error) {
	if d.msg != nil {
		d.keep(p)
		p = d.msg.B
	}
	out := messageBuffers.Get()
	var err error
	out.B, err = inflate(out.B[:0], p, r.MaxMessage)
	if d.msg != nil {
		putMessage(d.msg)
	}
	d.msg = out
	if err != nil {
		return Message{}, err
	}
	if d.op == OpText {
		if _, ok := checkUTF8(out.B, 0, true); !ok {
			return Message{}, errBadUTF8
		}
	}
	return d.message(), nil
}

func putMessage(b *bytebufferpool.ByteBuffer) {
	if cap(b.B) <= keepBuffer {
		messageBuffers.Put(b)
	}
}
