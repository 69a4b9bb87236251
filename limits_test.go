package hubbub

import (
	"bytes"
	"fmt"
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/prometheus/client_golang/prometheus"
)

// recordPaths is a handler that tells what it is asked for.
func recordPaths(seen chan<- string) http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.URL.Path })
}

// repeated returns n masked frames, one behind the other.
func repeated(n int, f ws.Frame) []byte {
	return bytes.Repeat(ws.MustCompileFrame(ws.MaskFrame(f)), n)
}

func fragment(op ws.OpCode, fin bool, p string) ws.Frame { return ws.NewFrame(op, fin, []byte(p)) }

// keepSending writes p again and again until the connection is given up or stop
// is closed.
func keepSending(c *client, p []byte, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
			if _, err := c.conn.Write(p); err != nil {
				return
			}
		}
	}
}

// untilClosed reads until the close frame, which has to be this one, and returns
// the frames before it.
func (c *client) untilClosed(code ws.StatusCode, reason string) (before []ws.Frame) {
	c.t.Helper()
	for {
		f, err := ws.ReadFrame(c.rw)
		if err != nil {
			c.t.Fatalf("read, after %d frames: %v", len(before), err)
		}
		if f.Header.OpCode != ws.OpClose {
			before = append(before, f)
			continue
		}
		if gotCode, gotReason := ws.ParseCloseFrameData(f.Payload); gotCode != code || gotReason != reason {
			c.t.Fatalf("closed with %d %q, want %d %q", gotCode, gotReason, code, reason)
		}
		return before
	}
}

// What carries no message is taken up to a bound, which nobody reaches who means
// well; beyond it, the connection ends.
func TestFlood(t *testing.T) {
	ping := ws.NewPingFrame([]byte("p"))
	for _, tt := range []struct {
		name   string
		frame  ws.Frame // of which the bound is sent
		before []byte   // and what makes a message of it
		after  []byte
		echo   string
	}{
		{"pings", ping, nil, repeated(1, ws.NewTextFrame([]byte("still here"))), "still here"},
		{"pongs", ws.NewPongFrame(nil), nil, repeated(1, ws.NewTextFrame([]byte("still here"))), "still here"},
		{"empty fragments", fragment(ws.OpContinuation, false, ""), repeated(1, fragment(ws.OpText, false, "a")),
			repeated(1, fragment(ws.OpContinuation, true, "b")), "ab"},
		{"pings in a message", ping, repeated(1, fragment(ws.OpText, false, "c")), repeated(1, fragment(ws.OpContinuation, true, "")), "c"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, addr := start(t, Config{Endpoints: relayEndpoints()})
			reg := prometheus.NewRegistry()
			reg.MustRegister(s)
			c := dial(t, addr, "/echo")
			c.conn.Write(tt.before)
			for range floodBurst / eachPing {
				c.conn.Write(repeated(eachPing, tt.frame))
				for range eachPing {
					if tt.frame.Header.OpCode != ws.OpPing {
						break
					}
					if f, err := ws.ReadFrame(c.rw); err != nil || f.Header.OpCode != ws.OpPong || string(f.Payload) != "p" {
						t.Fatalf("a ping is answered with %v, %v", f, err)
					}
				}
			}
			c.conn.Write(tt.after)
			c.expect(ws.OpText, tt.echo)

			c.conn.Write(tt.before)
			stop, stopped := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(stopped)
				keepSending(c, repeated(50, tt.frame), stop)
			}()
			for _, f := range c.untilClosed(1008, "too many control frames or empty fragments") {
				if tt.frame.Header.OpCode != ws.OpPing || f.Header.OpCode != ws.OpPong {
					t.Errorf("received %v", f.Header)
				}
			}
			close(stop)
			c.conn.Close()
			<-stopped
			waitFor(t, "the flood to be counted", func() bool { return s.ended(endFlood) == 1 })
			if got := metric(t, reg, `hubbub_disconnects_total{reason="flood"}`); got != 1 {
				t.Errorf("the metric says %v, want 1", got)
			}
		})
	}
}

// Of many pings that come at once the last is answered, for all.
func TestManyPings(t *testing.T) {
	_, addr := start(t, Config{Endpoints: relayEndpoints()})
	c := dial(t, addr, "/echo")
	const n = 500
	var all []byte
	for i := range n {
		all = append(all, repeated(1, ws.NewPingFrame(fmt.Append(nil, i)))...)
	}
	c.conn.Write(all)
	answers, last := 0, -1
	for last < n-1 {
		f, err := ws.ReadFrame(c.rw)
		if err != nil || f.Header.OpCode != ws.OpPong {
			t.Fatalf("%v, %v", f.Header, err)
		}
		var i int
		if fmt.Sscan(string(f.Payload), &i); i <= last {
			t.Fatalf("ping %d is answered after %d", i, last)
		}
		if last, answers = i, answers+1; answers <= eachPing && i != answers-1 {
			t.Fatalf("answer %d is to ping %d", answers, i)
		}
	}
	if answers > n/2 {
		t.Errorf("%d answers to %d pings", answers, n)
	}
}

// pass has the clock of floods and rates go on. No server may be running.
func pass(d time.Duration) { processStart = processStart.Add(-d) }

// second is what the clock of floods shows.
func second() uint8 { return uint8(time.Since(processStart) / time.Second) }

// The level of the bucket falls by 100 a second down to nothing, whatever the
// second is in which it was noted: it is one of 256.
func TestFloodLevel(t *testing.T) {
	defer func(was time.Time) { processStart = was }(processStart)
	for range 256 { // every second there is
		for _, tt := range []struct{ level, silence, n, want int }{
			{0, 0, 1, 1},
			{1, 0, 1, 2},
			{1000, 0, 0, 1000},
			{1000, 1, 0, 900},
			{1000, 1, 5, 905},
			{1000, 9, 1, 101},
			{1000, 10, 0, 0},
			{1000, 11, 3, 3},
			{150, 2, 7, 7},
			{1000, 255, 9, 9},
			{60_000, 0, 60_000, math.MaxUint16},
		} {
			for {
				now := second()
				c := &Conn{flood: uint16(tt.level), floodAt: now - uint8(tt.silence)} // nothing happens to it: it isn't open
				c.chatter(tt.n)
				if now != second() {
					continue // it has passed meanwhile
				}
				if int(c.flood) != tt.want || c.floodAt != now {
					t.Fatalf("from level %d after %d s of silence, with %d frames in second %d, it is %d of second %d, want %d",
						tt.level, tt.silence, tt.n, now, c.flood, c.floodAt, tt.want)
				}
				break
			}
		}
		pass(time.Second)
	}
}

// Ten pings in every second are never too many, two hundred are before long.
func TestPolitePinger(t *testing.T) {
	defer func(was time.Time) { processStart = was }(processStart)
	for _, tt := range []struct {
		each   int
		within bool
	}{{10, true}, {floodRate, true}, {2 * floodRate, false}} {
		c := new(Conn)
		highest := 0
		for range 1000 {
			for range tt.each {
				c.chatter(1)
				highest = max(highest, int(c.flood))
			}
			pass(time.Second)
		}
		if (highest <= floodBurst) != tt.within {
			t.Errorf("%d pings a second come to a level of %d, the bound is %d", tt.each, highest, floodBurst)
		}
	}
}

// It is the frame after the last that is allowed which ends the connection.
func TestFloodBound(t *testing.T) {
	s, addr := start(t, Config{Endpoints: relayEndpoints(), Loops: 1})
	c := dial(t, addr, "/echo")
	var before, after connState
	s.onShards(func(sh *shard) {
		conn := sh.lists[s.paths["/echo"]][0]
		for {
			now := second()
			conn.flood, conn.floodAt = floodBurst-1, now
			conn.chatter(1)
			before = conn.state.Load()
			conn.chatter(1)
			after = conn.state.Load()
			if now == second() || before != stateOpen || after != stateOpen {
				return // no second has passed meanwhile, or it made no difference
			}
		}
	})
	if before != stateOpen || after == stateOpen {
		t.Errorf("at the bound the state is %d, above it %d; want %d and a later one", before, after, stateOpen)
	}
	c.untilClosed(1008, "too many control frames or empty fragments")
}
