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
	head  int // index of the first frame; before it there is room
	off   int // bytes of the first frame that are written already
	ctl   int // control frames behind the first if that is begun, else in front
	size  int // bytes still to be written
}

// Size returns the number of bytes still to be written.
func (b *Backlog) Size() int { return b.size }

// Len returns the number of frames, one that is begun included.
func (b *Backlog) Len() int { return len(b.queue) - b.head }

// Cost returns about how many bytes of memory the backlog would take if nobody
// else held its frames.
func (b *Backlog) Cost() int { return b.size + b.Len()*FrameCost }

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
	if b.head > 0 { // move the few in front rather than the many behind
		b.head--
		copy(b.queue[b.head:], b.queue[b.head+1:at])
		b.queue[at-1] = f
	} else {
		b.queue = slices.Insert(b.queue, at, f)
	}
	b.ctl++
}

// first is the index of the first frame that isn't begun.
func (b *Backlog) first() int {
	if b.off > 0 {
		return b.head + 1
	}
	return b.head
}

// DropOldest removes the oldest messages that aren't begun until the Cost is
// at most limit, or none is left. It returns how many it removed.
func (b *Backlog) DropOldest(limit int) (dropped int) {
	from := b.first() + b.ctl
	to := from
	for cost := b.Cost(); to < len(b.queue) && cost > limit; to++ {
		cost -= b.queue[to].Len() + FrameCost
		b.size -= b.queue[to].Len()
		b.queue[to].Release()
	}
	dropped = to - from
	copy(b.queue[b.head+dropped:to], b.queue[b.head:from]) // at most three
	b.forget(dropped)
	return dropped
}

// forget takes n frames off the front of the queue.
func (b *Backlog) forget(n int) {
	clear(b.queue[b.head : b.head+n])
	b.head += n
	switch {
	case b.head == len(b.queue):
		b.queue, b.head = b.queue[:0], 0
	case b.head > 32 && b.head > len(b.queue)/2:
		k := copy(b.queue, b.queue[b.head:])
		clear(b.queue[k:])
		b.queue, b.head = b.queue[:k], 0
	}
}

// DropMessages removes all messages that aren't begun; control frames stay. It
// returns how many it removed.
func (b *Backlog) DropMessages() (dropped int) { return b.DropOldest(-1) }

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
	b.forget(0)
	return dropped
}

// Abandon removes everything, for a connection that has ended.
func (b *Backlog) Abandon() {
	b.DropAll()
	for _, f := range b.queue[b.head:] {
		f.Release()
	}
	clear(b.queue)
	*b = Backlog{queue: b.queue[:0]}
}

// Next returns the bytes to write next, none if the Backlog is empty: a big
// frame's own, or several small frames' copied together into scratch.
func (b *Backlog) Next(scratch []byte) []byte {
	if b.Len() == 0 {
		return nil
	}
	p := b.queue[b.head].Bytes()[b.off:]
	if b.Len() == 1 || len(p) >= gatherLimit {
		return p
	}
	n := copy(scratch, p)
	for _, f := range b.queue[b.head+1:] {
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
	done := b.head
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
	b.forget(done - b.head)
}
