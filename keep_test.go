package hubbub

import (
	"bytes"
	"compress/flate"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gobwas/httphead"
	"github.com/gobwas/ws"
	"github.com/prometheus/client_golang/prometheus"
)

// lastEndpoints have a connection subscribed to the topic of its query, with the last 30 messages of it or as many as
// it says; what it sends is published and kept.
func lastEndpoints() map[string]Endpoint {
	return map[string]Endpoint{"/last": {
		OnOpen: func(c *Conn, r *Request) error {
			n := 30
			fmt.Sscan(r.Param("n"), &n)
			c.SetSession(r.Param("topic"))
			c.SubscribeLast(r.Param("topic"), n, func() { c.Send(Text, []byte("subscribed")) })
			return nil
		},
		OnText:   func(c *Conn, text []byte) { c.PublishKept(c.Session().(string), Text, text) },
		OnBinary: func(c *Conn, data []byte) { c.PublishKept(c.Session().(string), Binary, data) },
	}}
}

// past reads what comes before the subscription is said to stand.
func (c *client) past() (lines []string) {
	c.t.Helper()
	for {
		_, line := c.read()
		if line == "subscribed" {
			return lines
		}
		lines = append(lines, line)
	}
}

func numbers(from, to int) (lines []string) {
	for i := from; i < to; i++ {
		lines = append(lines, fmt.Sprint(i))
	}
	return lines
}

func TestSubscribeLast(t *testing.T) {
	s, addr := start(t, Config{Endpoints: lastEndpoints(), KeepMessages: 35})
	for i := range 40 {
		s.PublishKept("a", Text, []byte(fmt.Sprint(i)))
	}
	s.Publish("a", Text, []byte("what isn't kept"))
	s.PublishKept("b", Binary, []byte("\x00\xff"))
	for _, tt := range []struct {
		query string
		want  []string
	}{
		{"topic=a", numbers(10, 40)},
		{"topic=a&n=2", numbers(38, 40)},
		{"topic=a&n=0", nil},
		{"topic=a&n=-1", nil},
		{"topic=a&n=99", numbers(5, 40)},
		{"topic=b", []string{"\x00\xff"}},
		{"topic=c", nil},
	} {
		p := dial(t, addr, "/last?"+tt.query)
		if got := p.past(); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.query, got, tt.want)
		}
		p.conn.Close()
	}
	p := dial(t, addr, "/last?topic=b")
	p.expect(ws.OpBinary, "\x00\xff")
	p.expect(ws.OpText, "subscribed")
	p.send(ws.OpText, "and now")
	p.expect(ws.OpText, "and now")
}

// Who is subscribed already gets nothing again, whichever way it was.
func TestSubscribeLastOnce(t *testing.T) {
	s, addr := start(t, Config{Endpoints: map[string]Endpoint{"/": {
		OnText: func(c *Conn, text []byte) {
			switch string(text) {
			case "last":
				c.SubscribeLast("t", 9, nil)
			case "plain":
				c.Subscribe("t")
			case "leave":
				c.Unsubscribe("t")
			}
			c.Send(Text, text)
		},
	}}})
	s.PublishKept("t", Text, []byte("old"))
	p := dial(t, addr, "/")
	for _, step := range []struct{ do, want string }{
		{"last", "old"}, {"last", ""}, {"plain", ""}, {"leave", ""}, {"last", "old"}, {"leave", ""}, {"plain", ""}, {"last", ""},
	} {
		p.send(ws.OpText, step.do)
		if step.want != "" {
			p.expect(ws.OpText, step.want)
		}
		p.expect(ws.OpText, step.do)
	}
	s.PublishKept("t", Text, []byte("new"))
	p.expect(ws.OpText, "new")
}

// checkRuns checks that what came of each publisher is one run of its numbers, up to the last of those it sent.
func checkRuns(t *testing.T, got []string, sent int) {
	t.Helper()
	next := map[int]int{}
	for _, line := range got {
		var p, i int
		if _, err := fmt.Sscanf(line, "%d/%d", &p, &i); err != nil {
			t.Fatalf("received %q", line)
		}
		if want, ok := next[p]; ok && i != want {
			t.Fatalf("publisher %d: %d after %d", p, i, want-1)
		}
		next[p] = i + 1
	}
	for p, n := range next {
		if n != sent {
			t.Fatalf("publisher %d: it ended before %d, want %d", p, n, sent)
		}
	}
}

// storm has publishers and subscribers come at the same time, on servers that are one, and looks for gaps and doubles.
func storm(t *testing.T, servers []*Server, addrs []string) {
	const publishers, subscribers, each, end = 4, 40, 40, "end"
	var wg sync.WaitGroup
	more := make([]chan struct{}, publishers)
	for p := range publishers {
		more[p] = make(chan struct{}, subscribers)
		wg.Go(func() {
			s := servers[p%len(servers)]
			n := 0
			for range more[p] {
				for range each {
					s.PublishKept("t", Text, fmt.Appendf(nil, "%d/%d", p, n))
					n++
				}
			}
			s.PublishKept("t", Text, []byte(end))
		})
	}
	clients := make([]*client, subscribers)
	for i := range clients {
		for _, m := range more {
			m <- struct{}{}
		}
		clients[i] = dial(t, addrs[i%len(addrs)], "/last?n=50&topic=t")
	}
	for _, m := range more {
		close(m)
	}
	wg.Wait()
	for _, c := range clients {
		var got []string
		for ends := 0; ends < publishers; {
			switch _, line := c.read(); line {
			case end:
				ends++
			case "subscribed":
			default:
				got = append(got, line)
			}
		}
		checkRuns(t, got, subscribers*each)
	}
}

func TestSubscribeLastWhilePublishing(t *testing.T) {
	s, addr := start(t, Config{Endpoints: lastEndpoints(), MaxBacklog: 1 << 30})
	storm(t, []*Server{s}, []string{addr})
}

func TestKeptTopicsAreBounded(t *testing.T) {
	s, addr := start(t, Config{Endpoints: lastEndpoints(), KeepBytes: 100 << 10, KeepMessages: 10})
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(s)
	payload := func(i int) []byte { return []byte(fmt.Sprintf("%05d", i) + strings.Repeat("x", 10<<10)) }
	s.PublishKept("evergreen", Text, []byte("old"))
	for i := range 30 {
		s.PublishKept(fmt.Sprint("t", i), Text, payload(i))
		s.PublishKept("evergreen", Text, []byte(fmt.Sprint(i)))
		if n := metric(t, reg, "hubbub_kept_bytes"); n > 100<<10 {
			t.Fatalf("%v bytes are kept", n)
		}
	}
	expect := func(topic string, want int) {
		t.Helper()
		p := dial(t, addr, "/last?topic="+topic)
		if got := p.past(); len(got) != want {
			t.Errorf("%s: %d messages, want %d", topic, len(got), want)
		}
		p.conn.Close()
	}
	expect("t0", 0)
	expect("t29", 1)
	expect("evergreen", 10)
	if n := metric(t, reg, "hubbub_kept_topics"); n < 5 || n > 10 {
		t.Errorf("%v topics are kept", n)
	}
	if metric(t, reg, "hubbub_kept_topics_dropped_total") == 0 {
		t.Error("no topic was counted as dropped")
	}

	for i := range 20 { // more than there is room for, all in one topic: the others go, and then its oldest
		s.PublishKept("big", Text, append(payload(i), make([]byte, 20<<10)...))
	}
	expect("big", 3)
	expect("evergreen", 0)
	s.PublishKept("big", Text, make([]byte, 200<<10))
	expect("big", 0)
	for i := range 10_000 { // names alone, too
		s.PublishKept(fmt.Sprint("name", i), Text, nil)
	}
	if n := metric(t, reg, "hubbub_kept_bytes"); n > 100<<10 {
		t.Fatalf("%v bytes are kept", n)
	}
}

// What is kept doesn't make slow readers of those who come.
func TestSubscribeLastFitsTheBacklog(t *testing.T) {
	s, addr := start(t, Config{Endpoints: lastEndpoints(), MaxBacklog: 100 << 10})
	for i := range 20 {
		s.PublishKept("t", Text, []byte(fmt.Sprint(i%10, strings.Repeat("x", 15<<10))))
	}
	p := dial(t, addr, "/last?topic=t")
	got := p.past()
	if len(got) != 3 || got[0][0] != '7' || got[2][0] != '9' {
		t.Errorf("%d messages, want the last 3", len(got))
	}
}

func TestSubscribeLastCompressed(t *testing.T) {
	s, addr := start(t, Config{Endpoints: lastEndpoints(), Compress: true})
	long := strings.Repeat("hello ", 100)
	s.PublishKept("t", Text, []byte(long))
	offer := httphead.NewOption("permessage-deflate", nil)
	for range 2 { // the second gets what was compressed for the first
		p, err := tryDialWith(t, ws.Dialer{Extensions: []httphead.Option{offer}}, "ws://"+addr+"/last?topic=t")
		if err != nil {
			t.Fatal(err)
		}
		f, err := ws.ReadFrame(p.rw)
		if err != nil || !f.Header.Rsv1() {
			t.Fatalf("received %+v and %v, want a compressed message", f.Header, err)
		}
		got, err := io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(f.Payload), strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff"))))
		if err != nil || string(got) != long {
			t.Errorf("received %q and %v", got, err)
		}
	}
}

// BenchmarkPublish is the cost of publishing to a topic that nobody has subscribed to, in parallel.
func BenchmarkPublish(b *testing.B) {
	s, err := New(Config{Logger: quiet()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Shutdown(context.Background())
	payload := make([]byte, 128)
	for name, publish := range map[string]func(string, MessageType, []byte){"plain": s.Publish, "kept": s.PublishKept} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					publish("topic", Text, payload)
				}
			})
		})
	}
}
