package hubbub

import (
	"bytes"
	"math"
	"sync/atomic"
	"testing"

	"github.com/gobwas/ws"
)

// Those who don't read can't keep everybody else from being read: they are ended
// until that is over. Live memory is half of the limit here, and what the backlogs
// hold.
func TestChokingEnds(t *testing.T) {
	const limit = 64 << 20
	s, addr := start(t, Config{Endpoints: relayEndpoints(), MemoryLimit: limit, MaxBacklog: math.MaxInt}) // nobody is too slow
	s.onShards(func(sh *shard) {
		if sh == s.shards[0] {
			s.memory.inUse = func() float64 { return 0.5*limit + float64(s.stats.backlog.Load()) }
		}
	})
	waitFor(t, "it to be asked", func() bool { return !s.short.Load() })
	const n = 12
	var readers []*client
	for range n {
		readers = append(readers, dial(t, addr, "/ws"))
	}
	other := dial(t, addr, "/echo")
	waitFor(t, "all to be subscribed", func() bool { return s.hub.Subscribers("lobby") == n })
	big := bytes.Repeat([]byte{1}, 60_000)
	waitFor(t, "memory to be short", func() bool {
		for range 10 {
			s.Publish("lobby", Binary, big)
		}
		return s.short.Load()
	})
	waitFor(t, "those who hold most to be ended", func() bool { return closing(s, "/ws") > 0 })
	other.send(ws.OpText, "still there?")
	other.expect(ws.OpText, "still there?")
	for _, c := range readers {
		c.conn.Close()
	}
	waitFor(t, "those who were ended to be counted", func() bool { return s.ended(endMemory) > 0 })
}

// closing returns how many connections of an endpoint have been ended and are
// still there: a peer that doesn't read keeps its connection until drainTimeout.
func closing(s *Server, path string) int64 {
	var n atomic.Int64
	s.onShards(func(sh *shard) {
		for _, c := range sh.lists[s.paths[path]] {
			if c.state.Load() > stateOpen {
				n.Add(1)
			}
		}
	})
	return n.Load()
}

// Messages that don't come whole are memory too. Live memory is half of the limit
// here, and what they hold.
func TestPartialMessagesAreShed(t *testing.T) {
	const limit = 32 << 20
	s, addr := start(t, Config{Endpoints: relayEndpoints(), MemoryLimit: limit, Loops: 1})
	s.onShards(func(sh *shard) {
		s.memory.inUse = func() float64 {
			held := limit / 2
			for _, c := range sh.lists[s.paths["/echo"]] {
				if c.in != nil {
					held += c.in.Held()
				}
			}
			return float64(held)
		}
	})
	waitFor(t, "it to be asked", func() bool { return !s.short.Load() })
	part := append([]byte{0x82, 0xfe, 0xff, 0xff, 0, 0, 0, 0}, make([]byte, 65_000)...) // of 65,535 bytes
	var clients []*client
	for range 500 { // which makes twice the limit
		clients = append(clients, dial(t, addr, "/echo"))
	}
	for _, c := range clients {
		c.conn.Write(part)
	}
	waitFor(t, "those who hold most to be ended", func() bool { return closing(s, "/echo") > 0 })
	waitFor(t, "memory to suffice", func() bool { return !s.short.Load() })
	c := dial(t, addr, "/echo")
	c.send(ws.OpText, "in")
	c.expect(ws.OpText, "in")
	for _, c := range clients {
		c.conn.Close()
	}
	waitFor(t, "those who held most to be counted", func() bool { return s.ended(endMemory) > 0 })
}

// Who came last has the next turn, and who has gone has none.
func TestTurns(t *testing.T) {
	u := turns{free: 1}
	if !u.take(nil) {
		t.Fatal("there is a turn to be had")
	}
	waiting := func() int {
		u.mu.Lock()
		defer u.mu.Unlock()
		return len(u.waiting)
	}
	got := make(chan int)
	gone := make(chan struct{})
	for i := range 3 {
		end := make(chan struct{})
		if i == 1 {
			end = gone
		}
		go func() {
			if u.take(end) {
				got <- i
			} else {
				got <- -i
			}
		}()
		waitFor(t, "it to wait", func() bool { return waiting() == i+1 })
	}
	close(gone)
	if i := <-got; i != -1 {
		t.Fatalf("%d had a turn, want number 1 to give up", i)
	}
	for _, want := range []int{2, 0} {
		u.give()
		if i := <-got; i != want {
			t.Fatalf("%d had its turn, want %d", i, want)
		}
	}
	u.give()
	if u.free != 1 || waiting() != 0 {
		t.Errorf("%d turns are free and %d wait", u.free, waiting())
	}
}
