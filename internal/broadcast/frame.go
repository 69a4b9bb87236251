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
	buf  *bytebufferpool.ByteBuffer
	refs atomic.Int32

	// Of a frame that is being fanned out.
	left atomic.Int32 // segments that haven't served it yet
	cost int64        // bytes of memory that it and its mailbox entries take
	born int64        // when it was published, in ns since the process started
}

// NewFrame returns a frame of head and payload, copied one behind the other.
func NewFrame(head, payload []byte) *Frame {
	f := frames.Get().(*Frame)
	f.buf = frameBuffers.Get()
	f.buf.B = append(append(f.buf.B[:0], head...), payload...)
	f.refs.Store(1)
	live.Add(1)
	return f
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
