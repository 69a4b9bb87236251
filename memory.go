package hubbub

import (
	"cmp"
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"sync/atomic"
	"time"

	"hubbub/internal/poller"
	"hubbub/internal/wire"
)

// Memory that runs short is noticed before it is gone: live memory above
// highMemory of the limit means that newcomers are sent away and those
// ended who hold most, until it is below lowMemory. Where backlogs hold a part of the
// limit that matters, nothing is read in the meantime: what came in would only make
// them grow, and nobody loses anything by waiting.
const (
	highMemory = 0.85
	lowMemory  = 0.75
	chokeShare = 0.1
	shedShare  = 0.01 // of the limit that a loop's connections have to hold for any of them to be ended
	memoryTick = 100 * time.Millisecond
	calmTicks  = 10 // of which one is looked at closely when there is no hurry
)

// memory watches what the process uses. It lives on the first shard's loop.
type memory struct {
	limit  float64
	timer  poller.Timer
	sample []metrics.Sample
	inUse  func() float64 // live bytes; tests put another in its place

	ticks      int
	collecting atomic.Bool
}

// memoryLimit returns the limit that the Go runtime has, zero if none.
func memoryLimit() int64 {
	if n := debug.SetMemoryLimit(-1); n != math.MaxInt64 {
		return n
	}
	return 0
}

func newMemory(limit int64) *memory {
	m := &memory{limit: float64(limit), sample: []metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, // as of the last collection, of which there are many when memory is short
		{Name: "/gc/scan/stack:bytes"},
	}}
	m.inUse = func() float64 {
		metrics.Read(m.sample)
		var n float64
		for _, s := range m.sample {
			n += float64(s.Value.Uint64())
		}
		return n
	}
	return m
}

func (s *Server) watchMemory() {
	m := s.memory
	s.shards[0].loop.SetTimer(&m.timer, memoryTick, s.watchMemory)
	used := m.inUse() / m.limit
	switch was := s.short.Load(); {
	case used > highMemory && !was:
		s.log.Warn("memory is short: new connections are refused and the biggest backlogs ended", "live", used, "limit", int64(m.limit))
		s.short.Store(true)
	case used < lowMemory && was:
		s.log.Info("memory suffices again", "live", used)
		s.short.Store(false)
	}
	choked := s.short.Load() && float64(s.stats.backlog.Load()) > chokeShare*m.limit
	// What was shed is free after a collection, and until then not known to be.
	// Where backlogs aren't what it is about, there is no hurry.
	m.ticks++
	due := choked || m.ticks%calmTicks == 0
	// Down to lowMemory: else those who hold it could keep newcomers out, and
	// others from being read.
	if s.short.Load() && due && !m.collecting.Load() && !s.stopping.Load() {
		share := max(1.0/8, 1-lowMemory/used)
		for _, sh := range s.shards {
			sh.loop.Post(poller.Func(func() { sh.shed(share) }))
		}
		s.collect()
	}
	if was := s.choked.Swap(choked); was && !choked {
		for _, sh := range s.shards {
			sh.loop.Post(poller.Func(sh.resumeAll))
		}
	}
}

// collect has the garbage collected: what is live is only known then.
func (s *Server) collect() {
	s.memory.collecting.Store(true)
	s.borrowed.Go(func() {
		runtime.GC()
		s.memory.collecting.Store(false)
	})
}

// shed ends the connections that hold most, in backlogs and messages that haven't
// come whole: those that hold a share of what all hold.
func (sh *shard) shed(share float64) {
	type held struct {
		c    *Conn
		size int
	}
	var all []held
	total := 0
	for _, l := range sh.lists {
		for _, c := range l {
			size := 0
			if c.in != nil {
				size = c.in.Held()
			}
			c.mu.Lock()
			if c.out != nil {
				size += c.out.Cost()
			}
			c.mu.Unlock()
			if size > 0 && c.state.Load() == stateOpen {
				all = append(all, held{c, size})
				total += size
			}
		}
	}
	if float64(total) < shedShare*sh.server.memory.limit {
		return
	}
	slices.SortFunc(all, func(a, b held) int { return cmp.Compare(b.size, a.size) })
	for shed := 0; len(all) > 0 && shed <= int(share*float64(total)); all = all[1:] {
		shed += all[0].size
		c := all[0].c
		c.fail(endMemory, wire.CloseTryAgainLater, "server is short of memory")
		if c.in != nil { // nothing more is read into it
			c.in.Reset()
			sh.keepDecoder(c.in)
			c.in = nil
		}
	}
}
