package broadcast

import (
	"sync"
	"sync/atomic"
)

// busySegments is how many segments of large topics wait at least in a Hub that is busy:
// 1,000 writes, some 8 ms of a processor.
const busySegments = 16

// expressWrites is how many members of express segments may be served while a bulk
// segment waits: about as many as that has itself, so that under any load each
// lane gets its half.
const expressWrites = DefaultSegment

// lane is a first-in first-out queue of segments.
type lane struct {
	q    []*segment
	head int
}

func (l *lane) len() int { return len(l.q) - l.head }

func (l *lane) empty() bool { return l.len() == 0 }

func (l *lane) push(s *segment) {
	if l.head > 64 && l.head*2 > len(l.q) { // reuse the space in front
		n := copy(l.q, l.q[l.head:])
		clear(l.q[n:])
		l.q, l.head = l.q[:n], 0
	}
	l.q = append(l.q, s)
}

func (l *lane) pop() *segment {
	s := l.q[l.head]
	l.q[l.head] = nil
	l.head++
	return s
}

// runQueue holds the segments that have mail. Those of small topics take the
// express lane, so that they don't wait behind a giant topic's; every so often
// the other lane gets its turn, so that it moves on under any load.
type runQueue struct {
	mu      sync.Mutex
	ready   cond // a worker is wanted
	urgent  cond // all of them are busy, and the express worker is wanted
	express lane
	bulk    lane
	passed  int // members that were served on the express lane since bulk had its turn
	idle    int // workers that wait
	closed  bool

	busy       atomic.Bool // so much waits; changed with mu held
	neighbours Neighbours
}

// init prepares r for workers that have threads to themselves, or don't.
func (r *runQueue) init(threads bool, neighbours Neighbours) {
	r.ready, r.urgent = newCond(&r.mu, threads), newCond(&r.mu, threads)
	r.neighbours = neighbours
}

func (r *runQueue) push(express bool, segs ...*segment) {
	r.mu.Lock()
	l := &r.bulk
	if express {
		l = &r.express
		r.neighbours.Hurry()
	}
	for _, s := range segs {
		l.push(s)
	}
	r.lookBusy()
	wake := min(len(segs), r.idle)
	if express && wake == 0 {
		r.urgent.Signal()
	}
	r.mu.Unlock()
	for range wake {
		r.ready.Signal()
	}
}

// popExpress waits for a segment of the express lane. It returns nil when the queue is
// closed and the lane empty.
func (r *runQueue) popExpress() *segment {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.express.empty() {
		if r.closed {
			return nil
		}
		r.urgent.Wait()
	}
	return r.express.pop()
}

// pop waits for a segment, and tells which lane it comes from. served is the number
// of members of the last one, if that came from the express lane. It returns nil
// when the queue is closed and empty.
func (r *runQueue) pop(served int) (s *segment, express bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.passed += served
	for r.express.empty() && r.bulk.empty() {
		if r.closed {
			return nil, false
		}
		r.idle++
		r.ready.Wait()
		r.idle--
	}
	if !r.express.empty() && (r.bulk.empty() || r.passed < expressWrites) {
		return r.express.pop(), true
	}
	r.passed = 0
	s = r.bulk.pop()
	r.lookBusy()
	return s, false
}

// lookBusy takes note of whether so much waits that the workers have something to do for a
// while.
func (r *runQueue) lookBusy() {
	if busy := r.bulk.len() >= busySegments; busy != r.busy.Load() {
		r.busy.Store(busy)
		r.neighbours.SetBusy(busy)
	}
}

func (r *runQueue) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.ready.Broadcast()
	r.urgent.Broadcast()
}
