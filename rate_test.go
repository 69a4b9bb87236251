package hubbub

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/httphead"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"
	"github.com/prometheus/client_golang/prometheus"
)

// A silent peer may send exactly what the bucket holds at once, and what runs in
// meanwhile; a message more ends the connection.
func TestRateLimit(t *testing.T) {
	deflated, err := wsflate.CompressFrame(ws.NewTextFrame([]byte(strings.Repeat("z", 4000))))
	if err != nil || len(deflated.Payload) > 100 {
		t.Fatalf("4000 bytes are compressed to %d, %v", len(deflated.Payload), err)
	}
	for _, tt := range []struct {
		name  string
		cfg   Config
		frame ws.Frame
		burst int     // messages
		rate  float64 // messages a second
	}{
		{"messages", Config{MessageRate: 1, RateBurst: 50 * time.Second}, ws.NewTextFrame([]byte("tick")), 50, 1},
		{"tiny messages", Config{MessageRate: 4}, ws.NewBinaryFrame(nil), 20, 4},
		{"bytes", Config{ByteRate: 1000, RateBurst: 20 * time.Second, MaxMessage: 1000}, ws.NewTextFrame([]byte(strings.Repeat("x", 1000))), 20, 1},
		{"bytes, not of headers", Config{ByteRate: 10, RateBurst: time.Second, MaxMessage: 20}, ws.NewTextFrame([]byte("x")), 20, 10},
		{"bytes as they are decompressed", Config{ByteRate: 4000, RateBurst: 10 * time.Second, MaxMessage: 4000, Compress: true}, deflated, 10, 1},
		{"both, of which one is narrower", Config{MessageRate: 1000, ByteRate: 100, RateBurst: 10 * time.Second, MaxMessage: 100}, ws.NewTextFrame([]byte(strings.Repeat("x", 100))), 10, 1},
		{"the largest message", Config{ByteRate: 1, RateBurst: time.Millisecond, MaxMessage: 60_000}, ws.NewTextFrame([]byte(strings.Repeat("x", 60_000))), 1, 1. / 60_000},
		{"one message", Config{MessageRate: 1, RateBurst: time.Millisecond}, ws.NewTextFrame([]byte("x")), 1, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.Endpoints = relayEndpoints()
			s, addr := start(t, tt.cfg)
			reg := prometheus.NewRegistry()
			reg.MustRegister(s)
			c := dialWith(t, ws.Dialer{Extensions: []httphead.Option{wsflate.DefaultParameters.Option()}}, "ws://"+addr+"/echo")
			began := time.Now()
			stop, stopped := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(stopped)
				keepSending(c, repeated(tt.burst+1, tt.frame), stop)
			}()
			n := len(c.untilClosed(1008, "rate limit exceeded"))
			close(stop)
			c.conn.Close()
			<-stopped
			if most := tt.burst + int(tt.rate*time.Since(began).Seconds()); n < tt.burst || n > most {
				t.Errorf("%d messages passed, want from %d to %d", n, tt.burst, most)
			}
			waitFor(t, "the end to be counted", func() bool { return s.ended(endRate) == 1 })
			if got := metric(t, reg, `hubbub_disconnects_total{reason="rate_limit"}`); got != 1 {
				t.Errorf("the metric says %v, want 1", got)
			}
		})
	}
}

// dialWith is dial with a Dialer of one's own.
func dialWith(t *testing.T, d ws.Dialer, url string) *client {
	t.Helper()
	c, err := tryDialWith(t, d, url)
	if err != nil {
		t.Fatalf("dial %s: %v", url, err)
	}
	return c
}

// What runs into the buckets, and how far they fill, to the message and the byte.
func TestRateBuckets(t *testing.T) {
	defer func(was time.Time) { processStart = was }(processStart)
	open := func(cfg Config) func(n int) bool {
		cfg, err := cfg.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		c := &Conn{shard: &shard{server: &Server{cfg: cfg}}} // nothing happens to it: it isn't open
		return func(n int) bool {
			c.charge(n)
			return c.ext == nil || c.ext.rate.messages >= 0 && c.ext.rate.bytes >= 0
		}
	}
	type step struct {
		silence time.Duration
		count   int // messages
		size    int // bytes of each
		ok      bool
	}
	for _, tt := range []struct {
		cfg   Config
		steps []step
	}{
		{Config{}, []step{{0, 100_000, 1 << 20, true}}},
		{Config{MessageRate: 10, RateBurst: 2 * time.Second}, []step{{0, 20, 9, true}, {1050 * time.Millisecond, 10, 9, true}, {0, 1, 9, false}}},
		{Config{MessageRate: 10, RateBurst: 2 * time.Second}, []step{{0, 20, 9, true}, {time.Hour, 20, 9, true}, {0, 1, 9, false}}},
		{Config{MessageRate: 10}, []step{{0, 50, 0, true}, {0, 1, 0, false}}},
		{Config{MessageRate: 10, RateBurst: time.Nanosecond}, []step{{0, 1, 0, true}, {250 * time.Millisecond, 1, 0, true}, {50 * time.Millisecond, 1, 0, false}}},
		{Config{ByteRate: 100, MaxMessage: 10}, []step{{0, 50, 10, true}, {0, 1000, 0, true}, {0, 1, 10, false}}},
		{Config{ByteRate: 100, MaxMessage: 1000, RateBurst: time.Second}, []step{{0, 1, 1000, true}, {5 * time.Second, 1, 500, true}, {0, 1, 500, false}}},
		{Config{MessageRate: 2, ByteRate: 100, MaxMessage: 100, RateBurst: 10 * time.Second}, []step{{0, 20, 1, true}, {0, 1, 1, false}}},
	} {
		t.Run(fmt.Sprintf("%d %d %v", tt.cfg.MessageRate, tt.cfg.ByteRate, tt.cfg.RateBurst), func(t *testing.T) {
			for began := time.Now(); ; began = time.Now() {
				send := open(tt.cfg)
				var got, want []bool
				for _, st := range tt.steps {
					pass(st.silence)
					ok := true
					for range st.count {
						ok = send(st.size) && ok
					}
					got, want = append(got, ok), append(want, st.ok)
				}
				if time.Since(began) > 40*time.Millisecond {
					continue // as much has run into the buckets in truth
				}
				if !slices.Equal(got, want) {
					t.Errorf("%v: passed %v, want %v", tt.steps, got, want)
				}
				break
			}
		})
	}
}

// Unless a limit is set there is none.
func TestNoRateLimit(t *testing.T) {
	s, addr := start(t, Config{Endpoints: map[string]Endpoint{"/": {OnText: func(c *Conn, text []byte) { c.Send(Text, text) }}}})
	c := dial(t, addr, "/")
	const n = 50_000
	c.conn.Write(repeated(n, ws.NewBinaryFrame(nil)))
	c.send(ws.OpText, "all of them")
	c.expect(ws.OpText, "all of them")
	total := uint64(0)
	for _, sh := range s.shards {
		total += sh.stats.messagesIn[1].Load()
	}
	if total != n {
		t.Errorf("%d messages came in, want %d", total, n)
	}
}
