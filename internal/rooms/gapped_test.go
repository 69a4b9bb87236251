package rooms_test

import (
	"context"
	"sync"

	"hubbub/internal/bus"
	"hubbub/internal/rooms"
)

// gapped is a real log whose answers and entries come when the test wants, or not at all.
type gapped struct {
	rooms.Log
	follower bus.Follower

	mu     sync.Mutex // guards what follows
	err    error      // of reading
	reads  int
	held   bool // entries wait
	lost   bool // entries are lost
	queue  []bus.Entry
	before chan struct{} // if it isn't nil, reading begins when it is closed, as next
	after  chan struct{} // and ends
	asked  chan struct{} // gets one for each reading, once it has been done and before it ends; if it isn't nil
}

func (l *gapped) Follow(ctx context.Context, f bus.Follower) error {
	l.follower = f
	return l.Log.Follow(ctx, relay{l})
}

func (l *gapped) Read(ctx context.Context, channel string) (bus.Past, error) {
	l.mu.Lock()
	err, before, after, asked := l.err, l.before, l.after, l.asked
	l.reads++
	l.mu.Unlock()
	if before != nil {
		<-before
	}
	if err != nil {
		return bus.Past{}, err
	}
	p, err := l.Log.Read(ctx, channel)
	if asked != nil {
		asked <- struct{}{}
	}
	if after != nil {
		<-after
	}
	return p, err
}

// set changes what mu guards.
func (l *gapped) set(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

// release has the entries come that wait.
func (l *gapped) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = false
	for _, e := range l.queue {
		l.follower.Follow(e)
	}
	l.queue = nil
}

// relay passes on what a log's follower gets.
type relay struct{ log *gapped }

func (r relay) Follow(e bus.Entry) {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	switch {
	case r.log.lost:
	case r.log.held:
		r.log.queue = append(r.log.queue, e)
	default:
		r.log.follower.Follow(e)
	}
}

func (r relay) Missed(channel string) { r.log.follower.Missed(channel) }
