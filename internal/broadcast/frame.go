package broadcast

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/bytebufferpool"
)

// keepBuffer is the capacity in bytes above which a frame's buffer is left to
// the garbage collector: a few big messages must not become what every small
// one is stored in.
const keepBuffer = 64 << 10

var (
	frameBuffers bytebufferpool.Pool
	frames       = sync.Pool{New: func() any { return new(Frame) }}
	live         atomic.Int64
)

// Frame is an encoded message, shared by everyone it is for. It is made with
// one reference, which its maker holds; whoever keeps it longer than the call
// that handed it over retains it, and who is done releases it. The last
// Release gives the buffer back to its pool, so that nothing may be used after
// one's own Release. With the build tag hubbubdebug that panics.
type Frame struct {
	// Lossy says that readers who don't keep up go without it. Set before it is shared.
	Lossy bool

	buf  *bytebufferpool.ByteBuffer
	refs atomic.Int32

	// Of a frame that is being fanned out.
	left atomic.Int32 // segments that haven't served it yet
	cost int64        // bytes of memory that it and its mailbox entries take
	born int64        // when it was published, in ns since the process started

	forms atomic.Pointer[forms]
}

// Encoding tells the forms apart in which a message may go out: zero is the
// frame as it was made, the others are its Encoder's business.
type Encoding uint8

// Encodings is the number of encodings, zero included.
const Encodings = 3

// Encoder makes another form of an encoded message, or returns nil if that had
// better go out as it is.
type Encoder func(frame []byte, e Encoding) *Frame

// forms are a frame's other encodings, each made when it is first asked for.
type forms struct {
	mu sync.Mutex
	of [Encodings - 1]*Frame // the frame itself where the Encoder made nothing
}

// In returns the frame in an encoding, made by encode unless it was asked for
// before. It lives as long as f; who keeps it longer retains it.
func (f *Frame) In(e Encoding, encode Encoder) *Frame {
	if e == 0 {
		return f
	}
	all := f.forms.Load()
	if all == nil {
		f.forms.CompareAndSwap(nil, new(forms))
		all = f.forms.Load()
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	form := &all.of[e-1]
	if *form == nil {
		if *form = encode(f.Bytes(), e); *form == nil {
			*form = f
		} else {
			(*form).Lossy = f.Lossy
		}
	}
	return *form
}

// NewFrame returns a frame of head and payload, copied one behind the other.
func NewFrame(head, payload []byte) *Frame {
	f := frames.Get().(*Frame)
	f.buf = frameBuffers.Get()
	return f.fill(head, payload)
}

func (f *Frame) fill(head, payload []byte) *Frame {
	f.buf.B = append(append(f.buf.B[:0], head...), payload...)
	f.refs.Store(1)
	f.Lossy = false
	live.Add(1)
	return f
}

// NewLastingFrame is NewFrame for what is kept for long: its buffer is as large as the message, not as a pooled one
// happens to be.
func NewLastingFrame(head, payload []byte) *Frame {
	f := frames.Get().(*Frame)
	f.buf = &bytebufferpool.ByteBuffer{B: make([]byte, 0, len(head)+len(payload))}
	return f.fill(head, payload)
}

// Bytes returns the frame's bytes. Nobody may change them.
func (f *Frame) Bytes() []byte {
	if debug && f.refs.Load() <= 0 {
		panic("broadcast: a frame was used after its last release")
	}
	return f.buf.B
}

// Len returns the frame's size in bytes.
func (f *Frame) Len() int { return len(f.Bytes()) }

// Retain adds a reference.
func (f *Frame) Retain() {
	if f.refs.Add(1) <= 1 {
		panic("broadcast: a frame was retained after its last release")
	}
}

// Release gives a reference back. One Release too many panics.
func (f *Frame) Release() {
	switch n := f.refs.Add(-1); {
	case n > 0:
		return
	case n < 0:
		panic("broadcast: a frame was released more often than retained")
	}
	live.Add(-1)
	if all := f.forms.Load(); all != nil {
		f.forms.Store(nil)
		for _, form := range all.of {
			if form != nil && form != f {
				form.Release()
			}
		}
	}
	buf := f.buf
	if debug { // spoil it, and let nobody get it again
		for i := range buf.B {
			buf.B[i] = 0xdd
		}
		return
	}
	f.buf = nil
	if cap(buf.B) <= keepBuffer {
		frameBuffers.Put(buf)
	}
	frames.Put(f)
}

// FrameCost is about what a frame takes in bytes beside its own: the Frame, its
// buffer's slack, a reference. Bounds on memory count it, so that many tiny
// messages are bounded too.
const FrameCost = 128

// LiveFrames returns the number of frames that are made and not yet released
// for good, in the whole process. It is zero when nothing is under way.
func LiveFrames() int { return int(live.Load()) }

var started = time.Now()

// now is the monotonic time in ns since the process started.
func now() int64 { return int64(time.Since(started)) }
