package broadcast

import "sync"

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
	ready   sync.Cond // a worker is wanted
	urgent  sync.Cond // all of them are busy, and the express worker is wanted
	express lane
	bulk    lane
	passed  int // members that were served on the express lane since bulk had its turn
	idle    int // workers that wait
	closed  bool
}

func (r *runQueue) init() { r.ready.L, r.urgent.L = &r.mu, &r.mu }

func (r *runQueue) push(express bool, segs ...*segment) {
	r.mu.Lock()
	l := &r.bulk
	if express {
		l = &r.express
	}
	for _, s := range segs {
		l.push(s)
	}
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
	return r.bulk.pop(), false
}

// waiting returns how many segments of large topics have mail.
func (r *runQueue) waiting() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bulk.len()
}

func (r *runQueue) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.ready.Broadcast()
	r.urgent.Broadcast()
}
