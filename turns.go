package hubbub

import (
	"slices"
	"sync"
)

// turns lets only so many handshakes compute at a time. Who came last goes first:
// when there are more than can be computed the oldest are closed, and work on
// them would be lost.
type turns struct {
	mu      sync.Mutex
	free    int
	waiting []chan struct{}
}

// take waits for a turn, or for gone to be closed, and reports whether it got one.
func (t *turns) take(gone <-chan struct{}) bool {
	t.mu.Lock()
	if t.free > 0 {
		t.free--
		t.mu.Unlock()
		return true
	}
	mine := make(chan struct{})
	t.waiting = append(t.waiting, mine)
	t.mu.Unlock()
	select {
	case <-mine:
		return true
	case <-gone:
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(t.waiting, mine); i >= 0 {
		t.waiting = slices.Delete(t.waiting, i, i+1)
		return false
	}
	return true // it came at the same time
}

func (t *turns) give() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.waiting); n > 0 {
		close(t.waiting[n-1])
		t.waiting = slices.Delete(t.waiting, n-1, n)
		return
	}
	t.free++
}
