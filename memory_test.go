package hubbub

import (
	"math"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"
)

// useMemory has the server find so much of its limit in use, and act on it once.
func (s *Server) useMemory(share float64) {
	for s.memory.collecting.Load() {
		runtime.Gosched()
	}
	s.onShards(func(sh *shard) {
		if sh == s.shards[0] {
			s.memory.inUse = func() float64 { return share * s.memory.limit }
			s.memory.ticks = calmTicks - 1 // now it is due
			s.watchMemory()
			sh.loop.ClearTimer(&s.memory.timer)
		}
	})
	s.onShards(func(*shard) {}) // behind what that has posted
}

// When memory is short, newcomers are sent away and the biggest backlogs ended,
// nobody else; and when it suffices again, newcomers are let in.
func TestMemoryLimit(t *testing.T) {
	sys := &blocked{}
	opened := make(chan *Conn, 1)
	s, addr := startSys(t, Config{MemoryLimit: 16 << 20, MaxBacklog: 64 << 20, Loops: 2, Endpoints: map[string]Endpoint{
		"/":     {OnOpen: func(c *Conn, _ *Request) error { opened <- c; return nil }},
		"/echo": relayEndpoints()["/echo"],
	}}, sys)
	reg := prometheus.NewRegistry()
	reg.MustRegister(s)

	s.useMemory(0.5) // which isn't what the process really uses
	idle := dial(t, addr, "/echo")
	const n = 8 // readers, who are one message of so many kilobytes behind
	var readers []*client
	kilobytes := [n]int{1, 400, 20, 3, 150, 40, 2, 10}
	message := func(i int) string { return strings.Repeat("m", kilobytes[i]<<10) }
	for i := range n {
		readers = append(readers, dial(t, addr, "/"))
		c := <-opened
		sys.block(c, unix.EAGAIN)
		c.Send(Text, []byte(message(i)))
	}
	t.Cleanup(sys.unblock)
	isIn := func() { // who is in already isn't troubled
		t.Helper()
		idle.send(ws.OpText, "here")
		idle.expect(ws.OpText, "here")
	}
	enter := func(want int) {
		t.Helper()
		if want == http.StatusSwitchingProtocols {
			c := dial(t, addr, "/echo")
			c.send(ws.OpText, "in")
			c.expect(ws.OpText, "in")
			return
		}
		before := s.refused(refusedMemory)
		resp, body := ask(t, addr, handshake)
		if resp.StatusCode != want || resp.Header.Get("Retry-After") == "" {
			t.Errorf("a newcomer is answered %s %v: %s", resp.Status, resp.Header, body)
		}
		if got := s.refused(refusedMemory) - before; got != 1 {
			t.Errorf("it was counted %d times, want once", got)
		}
	}

	for _, share := range []float64{0.5, highMemory} { // not above it
		s.useMemory(share)
		enter(http.StatusSwitchingProtocols)
	}
	s.useMemory(highMemory + 0.01) // 400 on one loop, or with others: an eighth is less than the biggest
	enter(http.StatusServiceUnavailable)
	isIn()
	s.useMemory(lowMemory) // not below it
	enter(http.StatusServiceUnavailable)
	isIn()

	sys.unblock()
	ended := map[int]bool{}
	for i, c := range readers {
		f, err := ws.ReadFrame(c.rw)
		if err != nil {
			t.Fatal(err)
		}
		if code, reason := ws.ParseCloseFrameData(f.Payload); f.Header.OpCode == ws.OpClose {
			if code != 1013 || reason != "server is short of memory" {
				t.Errorf("closed with %d %q", code, reason)
			}
			ended[kilobytes[i]] = true
			c.conn.Close()
		} else if string(f.Payload) != message(i) {
			t.Errorf("received %v of %d bytes", f.Header, len(f.Payload))
		}
	}
	// Each loop has ended its biggest, twice at most; the second reader's is the biggest of all.
	if !ended[400] || len(ended) > 2*len(s.shards) || ended[1] || ended[2] || ended[3] {
		t.Errorf("those were ended that were %v KB behind, of %v", ended, kilobytes)
	}
	waitFor(t, "them to be counted", func() bool {
		return metric(t, reg, `hubbub_disconnects_total{reason="memory"}`) == float64(len(ended))
	})
	s.useMemory(1) // nobody is behind now
	if got := s.ended(endMemory); got != uint64(len(ended)) {
		t.Errorf("%d were ended, want still %d", got, len(ended))
	}
	isIn()

	s.useMemory(lowMemory - 0.01)
	enter(http.StatusSwitchingProtocols)
	s.useMemory(highMemory) // it isn't short until above it
	enter(http.StatusSwitchingProtocols)
	isIn()
	if got := metric(t, reg, `hubbub_handshakes_refused_total{reason="memory"}`); got != 2 {
		t.Errorf("the metric says %v, want 2", got)
	}
}

// The biggest backlogs go first, as many as hold an eighth of all, or what memory
// is short of if that is more.
func TestShedding(t *testing.T) {
	for _, tt := range []struct {
		name      string
		use       float64
		kilobytes []int // of backlogs
		end       []int
	}{
		{"one big", 0.86, []int{10, 1000, 10, 20}, []int{1000}},
		{"many small", 0.86, []int{100, 101, 102, 103, 104, 105, 106, 107, 108, 109}, []int{109, 108}},
		{"many small, and far too much", 1.5, []int{100, 101, 102, 103, 104, 105, 106, 107, 108, 109}, []int{109, 108, 107, 106, 105}},
		{"only one", 0.86, []int{500}, []int{500}},
		{"too little to matter", 0.86, []int{5, 50}, nil},
		{"none", 0.86, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sys := &blocked{}
			opened := make(chan *Conn, 1)
			s, addr := startSys(t, Config{MemoryLimit: 16 << 20, MaxBacklog: 64 << 20, Loops: 1, Endpoints: map[string]Endpoint{
				"/": {OnOpen: func(c *Conn, _ *Request) error { opened <- c; return nil }},
			}}, sys)
			t.Cleanup(sys.unblock)
			s.useMemory(0.5)
			conns := map[int]*Conn{}
			for _, kb := range tt.kilobytes {
				dial(t, addr, "/")
				c := <-opened
				sys.block(c, unix.EAGAIN)
				for range kb {
					c.Send(Binary, make([]byte, 1<<10))
				}
				conns[kb] = c
			}
			s.useMemory(tt.use)
			ending := map[int]bool{}
			for kb, c := range conns {
				if c.state.Load() != stateOpen {
					ending[kb] = true
				}
			}
			if len(ending) != len(tt.end) {
				t.Errorf("ended are %v, want %v", ending, tt.end)
			}
			for _, kb := range tt.end {
				if !ending[kb] {
					t.Errorf("ended are %v, want %v", ending, tt.end)
				}
			}
		})
	}
}

// While backlogs hold much of the memory that is short, nothing is read that
// would add to them; what has come is read afterwards.
func TestMemoryChokes(t *testing.T) {
	sys := &blocked{}
	opened := make(chan *Conn, 1)
	s, addr := startSys(t, Config{MemoryLimit: 1 << 20, MaxBacklog: 64 << 20, Loops: 1, Endpoints: map[string]Endpoint{
		"/":     {OnOpen: func(c *Conn, _ *Request) error { opened <- c; return nil }},
		"/echo": relayEndpoints()["/echo"],
	}}, sys)
	t.Cleanup(sys.unblock)
	s.useMemory(0.5) // which isn't what the process really uses
	talker := dial(t, addr, "/echo")
	const size = 300 << 10
	var readers []*client
	for range 2 {
		readers = append(readers, dial(t, addr, "/"))
		c := <-opened
		sys.block(c, unix.EAGAIN)
		c.Send(Text, make([]byte, size))
	}
	s.useMemory(0.86) // which ends one
	talker.send(ws.OpText, "later")
	waitFor(t, "the talker to be paused", func() bool {
		paused := 0
		s.onShards(func(sh *shard) { paused = len(sh.paused) })
		return paused == 1
	})
	sys.unblock()
	sizes := map[int]int{}
	for _, c := range readers {
		f, err := ws.ReadFrame(c.rw)
		if err != nil {
			t.Fatal(err)
		}
		sizes[len(f.Payload)]++
	}
	if sizes[size] != 1 || len(sizes) != 2 {
		t.Errorf("frames of these sizes came: %v, want one of %d and a close frame", sizes, size)
	}
	waitFor(t, "the backlogs to be empty", func() bool { return s.stats.backlog.Load() == 0 })
	s.useMemory(0.8) // still short, but not for them
	talker.expect(ws.OpText, "later")
}

// It is looked after by itself, every so often.
func TestMemoryIsWatched(t *testing.T) {
	s, _ := start(t, Config{MemoryLimit: 1 << 40})
	for _, share := range []float64{0.9, 0.1, 0.9} {
		s.onShards(func(sh *shard) {
			if sh == s.shards[0] {
				s.memory.inUse = func() float64 { return share * s.memory.limit }
			}
		})
		waitFor(t, "the server to notice", func() bool { return s.short.Load() == (share > 0.5) })
	}
}

// The limit is the Go runtime's, if it has one and no other is given.
func TestMemoryLimitDefault(t *testing.T) {
	was := debug.SetMemoryLimit(math.MaxInt64)
	defer debug.SetMemoryLimit(was)
	for _, tt := range []struct{ runtime, given, want int64 }{
		{math.MaxInt64, 0, 0},
		{math.MaxInt64, 1 << 41, 1 << 41},
		{1 << 40, 0, 1 << 40},
		{1 << 40, 1 << 41, 1 << 41},
	} {
		debug.SetMemoryLimit(tt.runtime)
		s, _ := start(t, Config{MemoryLimit: tt.given})
		got := int64(0)
		if s.memory != nil {
			got = int64(s.memory.limit)
		}
		if got != tt.want {
			t.Errorf("with a runtime's limit of %d and %d given it is %d, want %d", tt.runtime, tt.given, got, tt.want)
		}
	}
}

// What is found in use follows what is held.
func TestMemoryInUse(t *testing.T) {
	m := newMemory(1)
	before := m.inUse()
	held := make([]byte, 64<<20)
	waitFor(t, "a collection to see it", func() bool { debug.FreeOSMemory(); return m.inUse()-before > 32<<20 })
	runtime.KeepAlive(held)
}
