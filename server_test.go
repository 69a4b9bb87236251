package hubbub

import (
	"bytes"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"hubbub/internal/poller"
)

func TestEcho(t *testing.T) {
	_, addr := start(t, Config{Endpoints: relayEndpoints()})
	c := dial(t, addr, "/echo")
	for _, text := range []string{"héllo", "", strings.Repeat("x", 64<<10)} {
		c.send(ws.OpText, text)
		c.expect(ws.OpText, text)
	}
	c.send(ws.OpBinary, "\x00\xff")
	c.expect(ws.OpBinary, "\x00\xff")
	c.send(ws.OpPing, "are you there?")
	f, err := ws.ReadFrame(c.rw)
	if err != nil || f.Header.OpCode != ws.OpPong || string(f.Payload) != "are you there?" {
		t.Errorf("a ping is answered with %v %q, %v", f.Header.OpCode, f.Payload, err)
	}
}

func TestFragmentedMessageIsRelayedWhole(t *testing.T) {
	_, addr := start(t, Config{Endpoints: relayEndpoints()})
	c := dial(t, addr, "/echo")
	frames := []ws.Frame{
		ws.NewFrame(ws.OpText, false, []byte("one, ")),
		ws.NewPingFrame([]byte("between")),
		ws.NewFrame(ws.OpContinuation, false, []byte("two, ")),
		ws.NewFrame(ws.OpContinuation, true, []byte("three")),
	}
	for _, f := range frames {
		if err := ws.WriteFrame(c.conn, ws.MaskFrameInPlace(f)); err != nil {
			t.Fatal(err)
		}
	}
	if f, err := ws.ReadFrame(c.rw); err != nil || f.Header.OpCode != ws.OpPong {
		t.Errorf("first came %v, %v, want the pong", f.Header.OpCode, err)
	}
	c.expect(ws.OpText, "one, two, three")
}

func TestRelayReachesEveryoneInOrder(t *testing.T) {
	_, addr := start(t, Config{Endpoints: relayEndpoints()})
	clients := make([]*client, 50)
	for i := range clients {
		clients[i] = dial(t, addr, "/ws")
	}
	const n = 100
	for i := range n {
		clients[0].send(ws.OpText, fmt.Sprint(i))
	}
	for _, c := range clients {
		for i := range n {
			c.expect(ws.OpText, fmt.Sprint(i))
		}
	}
}

func TestTopics(t *testing.T) {
	s, addr := start(t, Config{Endpoints: map[string]Endpoint{"/": {OnText: func(c *Conn, text []byte) {
		verb, topic, _ := strings.Cut(string(text), " ")
		switch verb {
		case "+":
			c.Subscribe(topic)
		case "-":
			c.Unsubscribe(topic)
		case "!":
			c.Publish(topic, Text, []byte(topic))
		}
		c.Send(Binary, nil) // done
	}}}})
	a, b := dial(t, addr, "/"), dial(t, addr, "/")
	do := func(c *client, text string) {
		c.send(ws.OpText, text)
		if op, p := c.read(); op != ws.OpBinary {
			t.Fatalf("after %q came %v %q", text, op, p)
		}
	}
	for _, topic := range []string{"x", "y", "z", "x"} { // the second x is no error
		do(a, "+ "+topic)
	}
	do(b, "- x") // isn't subscribed: no error
	if n, err := s.Subscribers(t.Context(), "x"); n != 1 || err != nil {
		t.Errorf("x has %d subscribers, %v, want 1", n, err)
	}
	for _, topic := range []string{"x", "y", "z"} {
		do(b, "! "+topic)
		a.expect(ws.OpText, topic)
	}
	do(a, "- x")
	do(a, "- z")
	do(b, "! x")
	do(b, "! z")
	do(b, "! y")
	a.expect(ws.OpText, "y")
	do(a, "+ x") // a topic can be come back to
	do(b, "! x")
	a.expect(ws.OpText, "x")
	a.conn.Close()
	waitFor(t, "the topics to go with their last subscriber", func() bool { return s.hub.Topics() == 0 })
}

func TestIDsDiffer(t *testing.T) {
	ids := make(chan uint64, 10)
	ep := Endpoint{OnOpen: func(c *Conn, r *Request) error { ids <- c.ID(); return nil }}
	_, one := start(t, Config{Endpoints: map[string]Endpoint{"/": ep}})
	_, two := start(t, Config{Endpoints: map[string]Endpoint{"/": ep}})
	seen := map[uint64]bool{}
	for _, addr := range []string{one, one, two, two} {
		dial(t, addr, "/")
		seen[<-ids] = true
	}
	if len(seen) != 4 {
		t.Errorf("four connections have %d IDs", len(seen))
	}
}

// Invariant: the number of goroutines doesn't grow with the connections.
func TestGoroutinesDontGrow(t *testing.T) {
	s, addr := start(t, Config{Endpoints: relayEndpoints()})
	dial(t, addr, "/echo") // everything that serves is up now
	before := runtime.NumGoroutine()
	conns := make([]net.Conn, 500)
	for i := range conns {
		conn, _, _, err := ws.Dial(t.Context(), "ws://"+addr+"/ws")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns[i] = conn
	}
	waitFor(t, "all to be counted", func() bool { return s.Connections() == len(conns)+1 })
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d connections have brought %d goroutines", len(conns), n-before)
	}
}

// Above MaxConns the server stops accepting, and goes on when there is room.
func TestMaxConns(t *testing.T) {
	s, addr := start(t, Config{MaxConns: 2, Loops: 2, Endpoints: relayEndpoints()})
	a, _ := dial(t, addr, "/echo"), dial(t, addr, "/echo")
	third := raw(t, addr) // the kernel accepts it
	third.Write([]byte(handshake))
	waitFor(t, "the two to be counted, and none that was tried", func() bool { return s.Connections() == 2 })
	a.conn.Close()
	if n, err := third.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Errorf("read %d bytes and %v, want the third to be served now", n, err)
	}
	waitFor(t, "the place to be taken", func() bool { return s.Connections() == 2 })
}

// scarce is a kernel whose descriptors run out.
type scarce struct {
	poller.OS
	out chan struct{} // closed when there are some again
}

func (s *scarce) Accept(fd int) (int, error) {
	select {
	case <-s.out:
		return s.OS.Accept(fd)
	default:
		return -1, unix.EMFILE
	}
}

func TestOutOfDescriptors(t *testing.T) {
	sys := &scarce{out: make(chan struct{})}
	logged := make(chan string, 10)
	_, addr := startSys(t, Config{Loops: 1, Endpoints: relayEndpoints(), Logger: logTo(logged)}, sys)
	c := raw(t, addr)
	if got := <-logged; !strings.Contains(got, "too many open files") || !strings.Contains(got, "ulimit") {
		t.Errorf("logged %q, want what is wrong and the way out", got)
	}
	close(sys.out)
	c.Write([]byte(handshake))
	if n, err := c.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Errorf("read %d bytes and %v, want the connection to be served in the end", n, err)
	}
	if len(logged) > 0 {
		t.Errorf("logged again: %q", <-logged)
	}
}

func logTo(ch chan string) *slog.Logger {
	return slog.New(slog.NewTextHandler(writerFunc(func(p []byte) { ch <- string(p) }), nil))
}

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) { f(p); return len(p), nil }

// While more is published than the workers can send, publishers aren't read.
func TestPublishersArePaused(t *testing.T) {
	s, addr := start(t, Config{MaxPending: 2000, Workers: 1, Endpoints: relayEndpoints()})
	reader, writer := dial(t, addr, "/ws"), dial(t, addr, "/ws")
	const n = 3000
	go func() {
		for i := range n {
			if err := wsutil.WriteClientText(writer.conn, fmt.Appendf(nil, "%05d%s", i, strings.Repeat(".", 500))); err != nil {
				t.Error(err)
			}
		}
	}()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for range n {
			writer.read()
		}
	})
	for i := range n {
		if _, got := reader.read(); got[:5] != fmt.Sprintf("%05d", i) {
			t.Fatalf("received %s, want %d", got[:5], i)
		}
	}
	waitFor(t, "the overload to end when all is sent", func() bool { return !s.hub.Overloaded() })
}

func TestMetrics(t *testing.T) {
	s, addr := start(t, Config{Endpoints: relayEndpoints()})
	reg := prometheus.NewRegistry()
	reg.MustRegister(s)
	c, d := dial(t, addr, "/ws"), dial(t, addr, "/ws")
	c.send(ws.OpText, "hello")
	c.expect(ws.OpText, "hello")
	d.expect(ws.OpText, "hello")
	waitFor(t, "the fan-out to be counted", func() bool { return metric(t, reg, "hubbub_fanout_seconds") == 1 })
	for name, want := range map[string]float64{
		`hubbub_connections{path="/ws"}`:               2,
		`hubbub_connections{path="/echo"}`:             0,
		`hubbub_handshakes_total`:                      2,
		`hubbub_messages_received_total{type="text"}`:  1,
		`hubbub_messages_published_total{type="text"}`: 1,
		`hubbub_deliveries_total`:                      2,
		`hubbub_batch_frames`:                          1,
		`hubbub_topics`:                                1,
		`hubbub_backlog_bytes`:                         0,
		`hubbub_received_bytes_total`:                  2 + 4 + 5,
	} {
		if got := metric(t, reg, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	c.send(ws.OpClose, "")
	waitFor(t, "the end to be counted", func() bool {
		return metric(t, reg, `hubbub_disconnects_total{reason="peer"}`) == 1
	})
}

// metric returns a value, for a histogram its count.
func metric(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.Metric {
			full := f.GetName()
			if len(m.Label) == 1 {
				full += fmt.Sprintf("{%s=%q}", m.Label[0].GetName(), m.Label[0].GetValue())
			}
			if full == name {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

func TestConfigErrors(t *testing.T) {
	for _, tt := range []struct {
		cfg  Config
		want string
	}{
		{Config{Endpoints: map[string]Endpoint{"ws": {}}}, `endpoint "ws"`},
		{Config{Endpoints: map[string]Endpoint{"/": {Keepalive: time.Millisecond}}}, "Keepalive"},
		{Config{Endpoints: map[string]Endpoint{"/": {SlowPolicy: 7}}}, "SlowPolicy"},
		{Config{Endpoints: map[string]Endpoint{"/": {Ping: func(*Conn) {}}}}, "Ping needs a Keepalive"},
		{Config{Origins: []string{"example.com"}}, `"example.com" is no origin`},
		{Config{MaxMessage: -1}, "MaxMessage is -1"},
		{Config{Loops: -1}, "Loops is -1"},
	} {
		if _, err := New(tt.cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("New: %v, want an error with %q", err, tt.want)
		}
	}
}

// What an idle connection holds of ours, in bytes. A change is a decision.
func TestConnSize(t *testing.T) {
	if got, want := unsafe.Sizeof(Conn{}), uintptr(128); got != want {
		t.Errorf("a Conn has %d bytes, want %d", got, want)
	}
}

// Every package says, once, what it is for.
func TestPackageComments(t *testing.T) {
	comments := map[string]int{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return fs.SkipDir
		}
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, src, parser.ParseComments|parser.PackageClauseOnly)
		if err != nil {
			return err
		}
		dir := filepath.Dir(path)
		comments[dir] += 0
		if f.Doc != nil && !bytes.HasPrefix(src, []byte("//go:build")) {
			comments[dir]++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for dir, n := range comments {
		if n != 1 {
			t.Errorf("package %s has %d package comments, want 1", dir, n)
		}
	}
}

// Each of the Workers says so before it begins, in a program that sets scheduling by it.
func TestOnWorkerThread(t *testing.T) {
	said := make(chan int, 8)
	start(t, Config{Endpoints: relayEndpoints(), Workers: 3, OnWorkerThread: func() { said <- unix.Gettid() }})
	tids := map[int]bool{}
	waitFor(t, "three workers' threads", func() bool {
		select {
		case tid := <-said:
			tids[tid] = true
		default:
		}
		return len(tids) == 3
	})
}

// pretender is a process among others, which are busy the first times that they are asked.
type pretender struct{ busy atomic.Int64 }

func (p *pretender) SetBusy(bool)  {}
func (p *pretender) Busy() bool    { return p.busy.Add(-1) >= 0 }
func (p *pretender) Hurry()        {}
func (p *pretender) Hurried() bool { return false }

// While a neighbour is busy connections wait, for a while.
func TestNeighbours(t *testing.T) {
	var others pretender
	others.busy.Store(3)
	ep := Endpoint{OnOpen: func(*Conn, *Request) error {
		if n := others.busy.Load(); n >= 0 {
			t.Errorf("a connection was accepted while a neighbour was busy, and would have been %d times more", n)
		}
		return nil
	}}
	_, addr := start(t, Config{Endpoints: map[string]Endpoint{"/ws": ep}, Loops: 1, Neighbours: &others})
	dial(t, addr, "/ws")
	if others.busy.Load() >= 0 {
		t.Error("nobody has asked the neighbours")
	}
}
