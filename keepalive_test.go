package hubbub

import (
	"testing"

	"github.com/gobwas/ws"
)

// Peers that answer pings stay, those that don't are found dead.
func TestKeepalive(t *testing.T) {
	dead := make(chan uint64, 10)
	ep, words := lastWords(Endpoint{
		Keepalive: minKeepalive,
		OnOpen:    func(c *Conn, r *Request) error { c.Send(Binary, []byte{byte(c.ID())}); return nil },
		OnDead:    func(c *Conn) { dead <- c.ID() },
	})
	s, addr := start(t, Config{Loops: 1, Endpoints: map[string]Endpoint{"/": ep, "/echo": {}}})
	silent, alive := dial(t, addr, "/"), dial(t, addr, "/")
	dial(t, addr, "/echo") // has no keepalive
	_, silentID := silent.read()
	alive.read()
	for range 3 { // answers pings for three intervals
		f, err := ws.ReadFrame(alive.rw)
		if err != nil || f.Header.OpCode != ws.OpPing {
			t.Fatalf("received %v, %v, want a ping", f.Header, err)
		}
		alive.send(ws.OpPong, string(f.Payload))
	}
	if got := <-dead; byte(got) != silentID[0] {
		t.Errorf("connection %d was found dead, want %d", byte(got), silentID[0])
	}
	if got := <-words; got != `1006 ""` {
		t.Errorf("OnClose was told %s", got)
	}
	if n := s.ended(endDead); n != 1 {
		t.Errorf("%d were counted dead, want 1", n)
	}
	if n := s.Connections(); n != 2 {
		t.Errorf("%d connections are left, want the two that are alive", n)
	}
}

// The sweep spreads its work: in each tick it visits its share, and in a
// quarter of an interval every connection once.
func TestSweepSpreadsItsWork(t *testing.T) {
	s, err := New(Config{Loops: 1, Logger: quiet(), Endpoints: map[string]Endpoint{"/": {Keepalive: 10 * minKeepalive}}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Shutdown(t.Context())
	s.onShards(func(sh *shard) {
		const n = 1000
		for range n {
			c := &Conn{shard: sh, ep: 1}
			c.state.Store(stateDraining) // is visited, and left alone
			sh.add(c)
		}
		defer func() { sh.lists[0] = nil }()
		most, visited := 0, 0
		for range 25 { // a quarter of 10 s, in ticks of 100 ms
			before := sh.sweeps[0].next
			sh.sweep(0)
			step := (sh.sweeps[0].next - before + n) % n
			most = max(most, step)
			visited += step
		}
		if most > n/25+1 || visited < n-1 {
			t.Errorf("%d visits in all, %d in one tick; want about %d and %d", visited, most, n, n/25)
		}
	})
}

// An endpoint that pings in its own way does so at intervals, however much the peer says, and any message
// is an answer.
func TestPingsOfAnEndpoint(t *testing.T) {
	dead := make(chan uint64, 10)
	_, addr := start(t, Config{Loops: 1, Endpoints: map[string]Endpoint{"/": {
		Keepalive: minKeepalive,
		OnOpen:    func(c *Conn, r *Request) error { c.Send(Binary, []byte{byte(c.ID())}); return nil },
		OnText:    func(c *Conn, text []byte) { c.Send(Text, text) },
		OnDead:    func(c *Conn) { dead <- c.ID() },
		Ping:      func(c *Conn) { c.Send(Text, []byte("are you there?")) },
	}}})
	silent, alive := dial(t, addr, "/"), dial(t, addr, "/")
	_, silentID := silent.read()
	alive.read()
	alive.send(ws.OpText, "hello")
	for pings := 0; pings < 3; {
		f, err := ws.ReadFrame(alive.rw)
		switch {
		case err != nil:
			t.Fatal(err)
		case f.Header.OpCode != ws.OpText:
			t.Fatalf("received %v", f.Header)
		case string(f.Payload) == "are you there?":
			pings++
		}
		alive.send(ws.OpText, "hello") // and hears it, and says it again
	}
	if got := <-dead; byte(got) != silentID[0] {
		t.Errorf("connection %d was found dead, want %d", byte(got), silentID[0])
	}
}
