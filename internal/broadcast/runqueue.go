package broadcast

import "sync"

// expressTurns is how many express segments in a row may pass a waiting bulk
// segment.
const expressTurns = 16

// lane is a first-in first-out queue of segments.
type lane struct {
	q    []*segment
	head int
}

func (l *lane) empty() bool { return l.head == len(l.q) }

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
	ready   sync.Cond
	express lane
	bulk    lane
	turns   int
	idle    int
	closed  bool
}

func (r *runQueue) init() { r.ready.L = &r.mu }

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
	r.mu.Unlock()
	for range wake {
		r.ready.Signal()
	}
}

// pop waits for a segment. It returns nil when the queue is closed and empty.
func (r *runQueue) pop() *segment {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.express.empty() && r.bulk.empty() {
		if r.closed {
			return nil
		}
		r.idle++
		r.ready.Wait()
		r.idle--
	}
	if !r.express.empty() && (r.bulk.empty() || r.turns < expressTurns) {
		r.turns++
		return r.express.pop()
	}
	r.turns = 0
	return r.bulk.pop()
}

func (r *runQueue) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.ready.Broadcast()
}
