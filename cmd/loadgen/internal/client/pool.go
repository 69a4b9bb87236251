package client

import (
	"sync"
	"sync/atomic"

	"hubbub/cmd/loadgen/internal/plan"
)

// pool is what connections a process has to open. Its lanes take them from here, so
// that none has opened its part while others are still at it: a lane that alone opens
// the rest leaves a processor idle.
type pool struct {
	conns []conn // those that are taken are their lane's

	mu      sync.Mutex // one takes at a time
	taken   atomic.Int64
	granted atomic.Int64 // may be taken by now
}

func newPool(p *plan.Plan, share plan.Share) *pool {
	pl := &pool{conns: make([]conn, share.Count)}
	for i := range pl.conns {
		pl.conns[i] = conn{fd: -1, at: int32(i)}
		if p.Stalled(share.First + i) {
			pl.conns[i].kind = stalled
		}
	}
	return pl
}

// grant lets the first n be taken.
func (pl *pool) grant(n int) { pl.granted.Store(int64(n)) }

// take returns up to n of those that may be taken.
func (pl *pool) take(n int) []conn {
	pl.mu.Lock()
	defer pl.mu.Unlock()
	taken := pl.taken.Load()
	n = max(0, min(n, int(pl.granted.Load()-taken)))
	pl.taken.Store(taken + int64(n))
	return pl.conns[taken:][:n]
}

// ready reports whether there are some to take.
func (pl *pool) ready() bool { return pl.taken.Load() < pl.granted.Load() }

// empty reports whether all are taken.
func (pl *pool) empty() bool { return pl.taken.Load() == int64(len(pl.conns)) }
