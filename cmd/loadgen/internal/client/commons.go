package client

import (
	"sync/atomic"

	"hubbub/cmd/loadgen/internal/plan"
)

// Of the connections of a process whose lanes have something to share, one in so many
// is shared: one lane of two is through with its own up to a tenth of the time before
// the other. Of few connections none is, so that it isn't chance how they spread.
const (
	sharedPart = 8
	minToShare = 4096
)

// commons are the last connections of a process, which none of its lanes has for
// itself: each opens as many of them as it has time for once its own are under way.
// Otherwise the lane that gets on worse would open the rest of its own alone, while a
// processor is idle. Its methods may be called anywhere.
type commons struct {
	first   int // as numbers within the process
	total   int
	granted atomic.Int64 // how many may have been taken by now
	taken   atomic.Int64 // how many have been
}

func newCommons(share plan.Share) *commons {
	total := 0
	if share.Loops > 1 && share.Count >= minToShare {
		total = share.Count / sharedPart
	}
	return &commons{first: share.Count - total, total: total}
}

// grant lets the process's first n connections be dialled, of which the first are the
// lanes' own.
func (s *commons) grant(n int) { s.granted.Store(int64(max(0, n-s.first))) }

// take gives the next one that may be dialled, as its number within the process, to
// the lane that asks.
func (s *commons) take() (number int, ok bool) {
	for {
		n := s.taken.Load()
		if n >= s.granted.Load() {
			return 0, false
		}
		if s.taken.CompareAndSwap(n, n+1) {
			return s.first + int(n), true
		}
	}
}

// takeAll gives those that are left to the lane that asks, as their numbers: from and up
// to, not including, to. They needn't be dialled.
func (s *commons) takeAll() (from, to int) {
	to = s.first + s.total
	return s.first + int(s.taken.Swap(int64(s.total))), to
}

// ready reports whether there are some to take.
func (s *commons) ready() bool { return s.taken.Load() < s.granted.Load() }

// gone reports whether all are taken.
func (s *commons) gone() bool { return s.taken.Load() == int64(s.total) }
