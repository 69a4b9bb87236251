package broadcast

import "slices"

// Policy says what becomes of a reader whose backlog is full.
type Policy uint8

const (
	// Disconnect ends the connection: the reader misses nothing in silence.
	Disconnect Policy = iota
	// DropOldest throws the oldest messages away to make room: the reader
	// falls behind by no more than its backlog, with gaps.
	DropOldest
	// DropNewest throws away what comes while the backlog is full.
	DropNewest
)

// gatherLimit is the number of bytes worth copying together to save a write.
const gatherLimit = 32 << 10

// Backlog is the queue of frames that a connection hasn't taken yet. It holds
// references, so that ten thousand slow readers of a message hold one copy of
// it. Control frames go ahead of everything that isn't begun; a frame that is
// begun is always finished. It isn't safe for concurrent use.
type Backlog struct {
	queue []*Frame
	off   int // bytes of queue[0] that are written already
	ctl   int // control frames behind queue[0] if that is begun, else in front
	size  int // bytes still to be written
}

// Size returns the number of bytes still to be written.
func (b *Backlog) Size() int { return b.size }

// Len returns the number of frames, one that is begun included.
func (b *Backlog) Len() int { return len(b.queue) }

// Push appends f, of which the first written bytes have been written already
// (only to an empty Backlog), and retains it.
func (b *Backlog) Push(f *Frame, written int) {
	f.Retain()
	b.queue = append(b.queue, f)
	b.off += written
	b.size += f.Len() - written
}

// maxControl is how many control frames may wait. A flood of pings replaces
// the last: only the newest needs its answer (RFC 6455 section 5.5.3).
const maxControl = 2

// PushControl queues f, a control frame, ahead of all messages that aren't
// begun, and retains it.
func (b *Backlog) PushControl(f *Frame) {
	f.Retain()
	at := b.first() + b.ctl
	b.size += f.Len()
	if b.ctl == maxControl {
		old := b.queue[at-1]
		b.size -= old.Len()
		old.Release()
		b.queue[at-1] = f
		return
	}
	b.queue = slices.Insert(b.queue, at, f)
	b.ctl++
}

// first is the index of the first frame that isn't begun.
func (b *Backlog) first() int {
	if b.off > 0 {
		return 1
	}
	return 0
}

// DropOldest removes the oldest messages that aren't begun until n more bytes
// fit under limit, or none is left. It returns how many it removed.
func (b *Backlog) DropOldest(n, limit int) (dropped int) {
	from := b.first() + b.ctl
	to := from
	for to < len(b.queue) && b.size+n > limit {
		b.size -= b.queue[to].Len()
		b.queue[to].Release()
		to++
	}
	b.queue = slices.Delete(b.queue, from, to)
	return to - from
}

// DropAll removes everything that isn't begun, and returns how many frames
// that were.
func (b *Backlog) DropAll() (dropped int) {
	b.ctl = 0
	from := b.first()
	for _, f := range b.queue[from:] {
		b.size -= f.Len()
		f.Release()
	}
	dropped = len(b.queue) - from
	clear(b.queue[from:])
	b.queue = b.queue[:from]
	return dropped
}

// Abandon removes everything, for a connection that has ended.
func (b *Backlog) Abandon() {
	b.DropAll()
	for _, f := range b.queue {
		f.Release()
	}
	clear(b.queue)
	*b = Backlog{queue: b.queue[:0]}
}

// Next returns the bytes to write next, none if the Backlog is empty: a big
// frame's own, or several small frames' copied together into scratch.
func (b *Backlog) Next(scratch []byte) []byte {
	if len(b.queue) == 0 {
		return nil
	}
	p := b.queue[0].Bytes()[b.off:]
	if len(b.queue) == 1 || len(p) >= gatherLimit {
		return p
	}
	n := copy(scratch, p)
	for _, f := range b.queue[1:] {
		p := f.Bytes()
		if n+len(p) > len(scratch) {
			break
		}
		n += copy(scratch[n:], p)
	}
	return scratch[:n]
}

// Advance takes note that n of the bytes that Next returned were written.
func (b *Backlog) Advance(n int) {
	b.size -= n
	n += b.off
	done := 0
	for done < len(b.queue) && n >= b.queue[done].Len() {
		n -= b.queue[done].Len()
		b.queue[done].Release()
		done++
	}
	// Of what is finished or begun now, the control frames are those that
	// stood behind a begun message.
	passed := done - b.first()
	if n > 0 {
		passed++
	}
	b.ctl -= min(b.ctl, max(0, passed))
	b.off = n
	b.queue = slices.Delete(b.queue, 0, done)
	if len(b.queue) == 0 {
		b.ctl = 0
	}
}
