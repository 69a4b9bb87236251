package plan

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"testing"
	"time"
)

// Every publisher sits on exactly one connection, on its own topic, and its
// place among the streams is free.
func TestPublishers(t *testing.T) {
	for conns := 1; conns <= 40; conns++ {
		for topics := 1; topics <= min(conns, 7); topics++ {
			for pubs := 1; pubs <= conns; pubs++ {
				p := &Plan{Mode: Fanout, Conns: conns, Topics: topics, Publishers: pubs}
				at := make(map[int]int)
				for c := range conns {
					pub, ok := p.Publisher(c)
					if !ok {
						continue
					}
					if other, twice := at[pub]; twice {
						t.Fatalf("%d connections, %d topics, %d publishers: publisher %d on %d and %d", conns, topics, pubs, pub, other, c)
					}
					at[pub] = c
					if p.Topic(c) != pub%topics {
						t.Fatalf("%d connections, %d topics, %d publishers: publisher %d on topic %d", conns, topics, pubs, pub, p.Topic(c))
					}
					if s, ok := p.Stream(c, pub, p.Topic(c)); !ok || s >= p.Streams() {
						t.Fatalf("publisher %d has stream %d, %v of %d on its own connection", pub, s, ok, p.Streams())
					}
				}
				if len(at) != pubs {
					t.Fatalf("%d connections, %d topics: %d publishers have a place, want %d", conns, topics, len(at), pubs)
				}
			}
		}
	}
}

func TestStreams(t *testing.T) {
	p := &Plan{Mode: Fanout, Conns: 20, Topics: 3, Publishers: 7}
	for c := range p.Conns {
		seen := make(map[int]bool)
		for pub := range p.Publishers {
			s, ok := p.Stream(c, pub, pub%p.Topics)
			if want := pub%p.Topics == c%p.Topics; ok != want {
				t.Errorf("connection %d, publisher %d: %v, want %v", c, pub, ok, want)
			}
			if ok && (seen[s] || s >= p.Streams()) {
				t.Errorf("connection %d, publisher %d: stream %d is taken or out of range", c, pub, s)
			}
			if ok {
				seen[s] = true
			}
		}
	}
	for _, tt := range []struct{ conn, pub, topic int }{
		{0, 7, 1},  // no such publisher
		{1, 0, 1},  // says that it writes to a topic that isn't its own
		{1, 0, 0},  // a topic the connection isn't on
		{0, 70, 1}, // nonsense
	} {
		if _, ok := p.Stream(tt.conn, tt.pub, tt.topic); ok {
			t.Errorf("connection %d takes publisher %d on topic %d", tt.conn, tt.pub, tt.topic)
		}
	}
	echo := &Plan{Mode: Echo, Conns: 20, Topics: 1, Publishers: 1}
	if _, ok := echo.Stream(3, 4, 0); ok {
		t.Error("echo: connection 3 takes what connection 4 sent")
	}
}

func TestSplit(t *testing.T) {
	p := &Plan{Conns: 100_001}
	next := 0
	for i, s := range p.Split(6, 2) {
		if s.First != next || s.Count < 16666 || s.Count > 16667 || s.Loops != 2 || s.Index != i || s.Of != 6 {
			t.Errorf("share %+v after %d", s, next)
		}
		next += s.Count
	}
	if next != p.Conns {
		t.Errorf("shares hold %d connections, want %d", next, p.Conns)
	}
	if s := (&Plan{Conns: 1}).Split(1, 2)[0]; s.Loops != 1 {
		t.Errorf("one connection has %d loops", s.Loops)
	}
}

func TestRequest(t *testing.T) {
	for _, tt := range []struct {
		mode         Mode
		protocol     Protocol
		target, want string
	}{
		{Fanout, Plain, "/ws", "/ws?topic=loadgen-00000000000000ff-t1"},
		{Fanout, Plain, "/ws?key=x", "/ws?key=x&topic=loadgen-00000000000000ff-t1"},
		{Echo, Plain, "/echo", "/echo"},
		{Fanout, Rooms, "/connection/websocket", "/connection/websocket"},
	} {
		p := &Plan{Run: 255, Mode: tt.mode, Protocol: tt.protocol, Target: tt.target, Topics: 2}
		if got := p.Request(3); got != tt.want {
			t.Errorf("%s %s: %s, want %s", tt.mode, tt.target, got, tt.want)
		}
	}
	if got, want := (&Plan{Run: 255, Prefix: "chat:"}).TopicName(1), "chat:loadgen-00000000000000ff-t1"; got != want {
		t.Errorf("a channel is %s, want %s", got, want)
	}
}

func TestParseSources(t *testing.T) {
	for _, tt := range []struct {
		list string
		want []string // addresses in turn; nil: refused
	}{
		{"10.0.0.5", []string{"10.0.0.5", "10.0.0.5"}},
		{"10.0.0.5-7", []string{"10.0.0.5", "10.0.0.6", "10.0.0.7", "10.0.0.5"}},
		{"10.0.0.5-6, 10.1.0.1", []string{"10.0.0.5", "10.0.0.6", "10.1.0.1", "10.0.0.5"}},
		{"fd00::1,10.0.0.1", []string{"fd00::1", "10.0.0.1"}},
		{"", nil},
		{"10.0.0", nil},
		{"10.0.0.9-5", nil},
		{"10.0.0.9-256", nil},
		{"fd00::1-5", nil},
		{"10.0.0.1,,10.0.0.2", nil},
	} {
		s, err := ParseSources(tt.list)
		if (err == nil) != (tt.want != nil) {
			t.Errorf("%q: error %v", tt.list, err)
			continue
		}
		for i, want := range tt.want {
			if got := s.At(i, 0); got.String() != want {
				t.Errorf("%q: connection %d from %v, want %s", tt.list, i, got, want)
			}
		}
	}
}

func TestLoopbackSources(t *testing.T) {
	s := LoopbackSources(100_000)
	if s.Len() != 400 {
		t.Errorf("%d addresses, want 400", s.Len())
	}
	used := make(map[netip.Addr]int)
	for i := range 100_000 {
		used[s.At(i, 0)]++
	}
	for a, n := range used {
		if n != perLoopback || !a.IsLoopback() {
			t.Errorf("%d connections from %v, want %d", n, a, perLoopback)
		}
	}
	if a, b := s.At(5, 0), s.At(5, 1); a == b {
		t.Errorf("another attempt comes from %v again", a)
	}
	if got := Sources(nil).At(1, 0); got.IsValid() {
		t.Errorf("no sources: %v, want the kernel's choice", got)
	}
}

func TestTravels(t *testing.T) {
	want := Plan{
		Run: 1 << 63, Mode: Echo, Addr: netip.MustParseAddrPort("127.0.0.1:80"), Host: "h", Target: "/t",
		TLS:   &TLS{ServerName: "h", CA: []byte("-----BEGIN"), Insecure: true},
		Conns: 5, Ramp: 1.5, Sources: LoopbackSources(300), Publishers: 2, Topics: 3, Slow: 0.2, Churn: 1.5, Rate: 0.1, Window: 4,
		Size: 128, Duration: time.Second, Settle: 1, Timeout: 2,
	}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got Plan
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}
