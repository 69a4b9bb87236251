package broadcast

import (
	"runtime"
	"sync"
	"unsafe"

	"hubbub/internal/prefetch"
)

// Sink is a subscriber's way out.
type Sink interface {
	// Deliver takes a batch that comes by subscription sub: it writes the
	// bytes, or keeps what can't be written by retaining frames. It must not
	// block. It returns the number of bytes written at once.
	//
	// A Sink may be called by several workers at a time, and late: a worker may
	// be about to deliver what another has unsubscribed from. So a Sink guards
	// Subscribe, Unsubscribe and Deliver by a lock of its own, and takes
	// nothing when sub is no longer Active. That keeps a topic's messages in
	// order for one who leaves it and comes back.
	Deliver(b *Batch, sub *Subscription) (written int)
}

// Subscription joins a Sink to a topic, once. It is meant to be embedded in what
// implements Sink, and must not be copied.
type Subscription struct {
	sink Sink
	seg  *segment // nil when not subscribed; guarded by the sink's lock

	// The segment's, as its members are.
	index int32 // among them
	skip  int32 // frames of the batch under way that came before it joined
}

type entryKind uint8

const (
	publish entryKind = iota
	join
	leave
)

// entry is a letter in a segment's mailbox.
type entry struct {
	kind  entryKind
	frame *Frame
	sub   *Subscription
}

// entrySize is what an entry takes in a mailbox, in bytes, with the room that a
// growing slice keeps.
const entrySize = 32

// segment is a part of a topic's subscribers. It is an actor: while it has mail its
// members are touched only by the worker that holds it, and everything that happens to
// them comes through the mailbox, in order. So serving them takes no lock, a
// subscription begins and ends at an exact point of the stream, and each
// subscriber gets the topic's messages in their order. One without mail is held by
// nobody, and changed under its lock.
type segment struct {
	topic *Topic
	size  int // members, with the joins and leaves that wait; guarded by the topic's lock

	mu     sync.Mutex // orders posting against taking
	box    []entry    // empty unless queued
	queued bool       // in the run queue, or held by a worker that will look again

	// Owned by the worker that holds the segment; guarded by mu unless queued.
	members []*Subscription
	rest    []entry // taken from the mailbox, and left for the next turn
}

// publish posts f and reports whether the segment has to be put into the run queue.
func (s *segment) publish(f *Frame) (enqueue bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.box = append(s.box, entry{kind: publish, frame: f})
	enqueue = !s.queued
	s.queued = true
	return enqueue
}

// change has sub join or leave: behind what has been published and waits, or at once.
// No worker is woken for it, which costs more than the rest of it.
func (s *segment) change(kind entryKind, sub *Subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.queued:
		s.box = append(s.box, entry{kind: kind, sub: sub})
	case kind == join:
		s.join(sub)
	default:
		s.leave(sub)
	}
}

func (s *segment) join(sub *Subscription) {
	sub.index = int32(len(s.members))
	s.members = append(s.members, sub)
}

// leave puts the last member into sub's place.
func (s *segment) leave(sub *Subscription) {
	last := len(s.members) - 1
	moved := s.members[last]
	s.members[sub.index] = moved
	moved.index = sub.index
	s.members[last] = nil
	s.members = s.members[:last]
}

// idleBox is the capacity of a mailbox, in entries, that an idle segment may keep.
const idleBox = 8

// worker serves segments. It owns the batch it is building.
type worker struct {
	hub     *Hub
	others  courtesy
	express bool // what it serves came from the express lane
	batch   Batch
	tail    Batch // the part of batch for a member that joined in its middle
	entries []entry
	served  int // members that the last serve has delivered to
}

// newWorker makes the calling goroutine a worker's. A thread that it has to itself lets
// the kernel tell workers, which use up all the time they get, from loops, which have
// slept: those run at once.
func newWorker(h *Hub, thread bool, others courtesy) *worker {
	if thread {
		runtime.LockOSThread()
	}
	return &worker{hub: h, others: others, batch: Batch{encode: h.encode}, tail: Batch{encode: h.encode}}
}

// serve delivers one batch of what is in s's mailbox, and reports whether there
// is more: others get their turn in between.
func (w *worker) serve(s *segment) (again bool) {
	if len(s.rest) > 0 {
		w.entries, s.rest = s.rest, nil
	} else {
		s.mu.Lock()
		w.entries, s.box = s.box, w.entries[:0]
		s.mu.Unlock()
	}
	for i := range w.entries {
		e := &w.entries[i]
		if e.kind == publish && !w.batch.fits(e.frame.Len()) {
			s.rest, w.entries = w.entries[i:], nil
			break
		}
		switch e.kind {
		case publish:
			w.batch.add(e.frame)
		case join:
			e.sub.skip = int32(len(w.batch.frames))
			s.join(e.sub)
		case leave:
			s.leave(e.sub)
		}
		*e = entry{}
	}
	w.served = 0
	w.flush(s)
	if cap(w.entries) > 4096 { // a burst must not be held for ever
		w.entries = nil
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	s.queued = len(s.rest) > 0 || len(s.box) > 0
	if !s.queued && cap(s.box) > idleBox {
		s.box = nil
	}
	return s.queued
}

// flush delivers the batch to the segment's members and empties it.
func (w *worker) flush(s *segment) {
	n := len(w.batch.frames)
	if n == 0 {
		return
	}
	written := 0
	for i, m := range s.members {
		if i+1 < len(s.members) {
			prefetch.Line(unsafe.Pointer(s.members[i+1])) // it comes while m's system call lasts
		}
		written += w.deliver(m)
		m.skip = 0
		w.others.after(i+1, w.express)
	}
	w.served = len(s.members)
	w.hub.observer.Flushed(w.served, n, written)
	for _, f := range w.batch.frames {
		w.hub.served(f)
	}
	w.batch.reset()
}

// deliver gives m the part of the batch that it is subscribed to.
func (w *worker) deliver(m *Subscription) int {
	switch n := int(m.skip); {
	case n == 0 && len(w.batch.frames) > 0:
		return m.sink.Deliver(&w.batch, m)
	case n < len(w.batch.frames):
		w.batch.after(n, &w.tail)
		return m.sink.Deliver(&w.tail, m)
	}
	return 0
}
