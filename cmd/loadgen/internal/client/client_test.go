package client

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"hubbub/cmd/loadgen/internal/plan"
	"hubbub/cmd/loadgen/internal/relay"
	"hubbub/internal/leak"
	"hubbub/internal/poller"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newPlan is ten messages to conns subscribers of the server at url.
func newPlan(t *testing.T, url string, conns int) *plan.Plan {
	t.Helper()
	host := strings.TrimSuffix(url[strings.Index(url, "://")+3:], "/ws")
	return &plan.Plan{
		Run: 99, Mode: plan.Fanout, Addr: netip.MustParseAddrPort(host), Host: host, Target: "/ws",
		Conns: conns, Publishers: 1, Topics: 1, Rate: 100, Size: 100,
		Duration: 100 * time.Millisecond, Timeout: 5 * time.Second,
	}
}

// play runs a plan in this process, from the first connection to the last.
func play(t *testing.T, p *plan.Plan) *Result {
	t.Helper()
	return playWith(t, p, func(*Fleet) {})
}

// newFleet is the Fleet of a process that has all the connections, on two loops.
func newFleet(t *testing.T, p *plan.Plan) *Fleet {
	t.Helper()
	f, err := New(p, p.Split(1, 2)[0])
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// playWith has the Fleet prepared before the first connection.
func playWith(t *testing.T, p *plan.Plan, prepare func(*Fleet)) *Result {
	t.Helper()
	before := descriptors(t)
	f := newFleet(t, p)
	prepare(f)
	ctx := context.Background()
	f.Connect(ctx)
	totals := make([]uint32, p.Publishers)
	for _, s := range f.Publish(ctx, f.clk.Now()) {
		if p.Mode == plan.Fanout {
			totals[s.Publisher] += s.Messages
		}
	}
	if p.Mode != plan.Fanout {
		totals = nil
	}
	res := f.Finish(ctx, totals, f.clk.Now()+int64(p.Timeout))
	f.Close()
	if after := descriptors(t); after > before+p.Conns+p.Churned().Total { // the relay may still hold its ends
		t.Errorf("%d descriptors are left over", after-before)
	}
	return res
}

func descriptors(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// Connections don't wait for the kernel to make its table of descriptors larger.
func TestRoomForAll(t *testing.T) {
	const conns = 3000
	f := newFleet(t, newPlan(t, "ws://127.0.0.1:9/ws", conns))
	defer f.Close()
	if room := leak.Room(t, "self"); room < conns {
		t.Errorf("there is room for %d descriptors, for %d connections", room, conns)
	}
}

func TestFramesInPieces(t *testing.T) {
	for _, chop := range []int{1, 3, 50} {
		p := newPlan(t, (&relay.Relay{Chop: chop}).Start(t), 5)
		c := play(t, p).Counts
		if c.Sent != 10 || c.Delivered != 50 || c.Missing != 0 || c.Corrupt != 0 {
			t.Errorf("pieces of %d bytes: %+v", chop, c)
		}
	}
}

func TestEverySocketIsClosed(t *testing.T) {
	closed := make(chan struct{}, 20)
	r := &relay.Relay{Opened: func(_ int, c net.Conn) {}}
	r.Closed = func() { closed <- struct{}{} }
	p := newPlan(t, r.Start(t), 20)
	play(t, p)
	for range 20 { // each with a close frame
		<-closed
	}
}

func TestPingIsAnswered(t *testing.T) {
	var pongs atomic.Int32
	p := newPlan(t, (&relay.Relay{
		Before: func(m int, subscribers []net.Conn) {
			for _, c := range subscribers {
				wsutil.WriteServerMessage(c, ws.OpPing, []byte("are you there"))
			}
		},
		Pong: func(p []byte) {
			if string(p) == "are you there" {
				pongs.Add(1)
			}
		},
	}).Start(t), 5)
	p.Timeout = 10 * time.Second
	c := play(t, p).Counts
	// The closing handshake comes behind the pongs, so all have arrived.
	if c.Delivered != 50 || c.Lost != 0 || pongs.Load() != 50 {
		t.Errorf("%d pongs, want 50: %+v", pongs.Load(), c)
	}
}

func TestLostConnections(t *testing.T) {
	const at = 5 // message before which the connections are lost
	frame := func(p []byte, op ws.OpCode) func(net.Conn) {
		return func(c net.Conn) { wsutil.WriteServerMessage(c, op, p) }
	}
	for _, tt := range []struct {
		name   string
		break_ func(net.Conn)
		reason []string // either of them
	}{
		{"closed with a code", frame(ws.NewCloseFrameBody(1008, "slow consumer"), ws.OpClose), []string{"lost: closed by the server: 1008 slow consumer"}},
		{"closed without", frame(nil, ws.OpClose), []string{"lost: closed by the server: 1005 "}},
		{"hung up", func(c net.Conn) { c.Close() }, []string{"lost: the server closed the connection without a close frame", "lost: connection reset by peer", "lost: broken pipe"}},
		{"reset", func(c net.Conn) { c.(*net.TCPConn).SetLinger(0); c.Close() }, []string{"lost: connection reset by peer", "lost: broken pipe"}},
		{"nonsense", func(c net.Conn) { c.Write([]byte{0xff, 0xff}) }, []string{"lost: the server broke the protocol"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlan(t, (&relay.Relay{Before: func(m int, subscribers []net.Conn) {
				if m == at {
					tt.break_(subscribers[3])
					tt.break_(subscribers[7])
				}
			}}).Start(t), 10)
			// The publisher has to stay: subscribers are in order of handshakes,
			// and which connection is which isn't known. So let all publish.
			p.Publishers = 10
			p.Rate = 1000
			p.Timeout = 500 * time.Millisecond // what the lost ones sent last may not have arrived
			expectTwoLost(t, play(t, p), tt.reason)
		})
	}
}

func TestRetry(t *testing.T) {
	r := &relay.Relay{HangUp: func(n int) bool { return n < 3 }}
	res := play(t, newPlan(t, r.Start(t), 10))
	if c := res.Counts; c.Opened != 10 || c.Failed != 0 || c.Retries != 3 {
		t.Errorf("opened %d, failed %d, retries %d; want 10, 0, 3: %v", c.Opened, c.Failed, c.Retries, res.Failures)
	}
}

func TestGivesUp(t *testing.T) {
	r := &relay.Relay{HangUp: func(int) bool { return true }}
	res := play(t, newPlan(t, r.Start(t), 2))
	if c := res.Counts; c.Opened != 0 || c.Failed != 2 || c.Retries != 2*(maxAttempts-1) {
		t.Errorf("opened %d, failed %d, retries %d; want 0, 2, %d", c.Opened, c.Failed, c.Retries, 2*(maxAttempts-1))
	}
	n := 0
	for reason, k := range res.Failures { // hung up or reset, as it happens
		if strings.HasPrefix(reason, "handshake: ") {
			n += k
		}
	}
	if n != 2 {
		t.Errorf("failures %v, want 2 of the handshake", res.Failures)
	}
}

// A server that has stopped accepting doesn't get asked for ever.
func TestServerStopsAccepting(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() // whatever connects stays in its queue
	p := newPlan(t, "ws://"+ln.Addr().String()+"/ws", 100)
	f := newFleet(t, p)
	for _, l := range f.lanes {
		l.limit, l.patience = 5, poller.Tick
	}
	f.Connect(context.Background())
	res := f.Finish(context.Background(), []uint32{0}, f.clk.Now())
	f.Close()
	tried, rest := res.Failures["handshake: no answer in time"], res.Failures["not tried: the server had stopped accepting"]
	if res.Counts.Failed != 100 || tried != 10 || rest != 90 {
		t.Errorf("failed %d: %v; want 10 tried and 90 not", res.Counts.Failed, res.Failures)
	}
}

// One that answers again is asked again.
func TestServerAcceptsAgain(t *testing.T) {
	p := newPlan(t, (&relay.Relay{}).Start(t), 20)
	f, err := New(p, p.Split(1, 1)[0])
	if err != nil {
		t.Fatal(err)
	}
	l := f.lanes[0]
	l.limit, l.silent = 5, 4
	f.Connect(context.Background())
	silent := ask(f, func(l *lane) int { return l.silent })[0]
	open := f.Snapshot().Open
	f.Close()
	if open != 20 || silent != 0 {
		t.Errorf("%d open, %d counted as silent; want 20, 0", open, silent)
	}
}

func TestNobodyListens(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0) // keeps the port, and doesn't listen
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	res := play(t, newPlan(t, fmt.Sprintf("ws://127.0.0.1:%d/ws", bound.(*unix.SockaddrInet4).Port), 300))
	if c := res.Counts; c.Failed != 300 || res.Failures["connect: connection refused"] != 300 {
		t.Errorf("failed %d: %v", c.Failed, res.Failures)
	}
}

// expectTwoLost checks the account of a run in which two of ten connections were
// lost, for one of these reasons.
func expectTwoLost(t *testing.T, res *Result, reasons []string) {
	t.Helper()
	c := res.Counts
	if c.Opened != 10 || c.Lost != 2 {
		t.Errorf("opened %d, lost %d; want 10, 2", c.Opened, c.Lost)
	}
	if c.Expected != 10*c.Sent || c.Delivered+c.Missing != c.Expected || c.Missing == 0 || c.Duplicate+c.Reordered+c.Corrupt != 0 {
		t.Errorf("%+v", c)
	}
	n := 0
	for reason, k := range res.Failures {
		if slices.ContainsFunc(reasons, func(want string) bool { return strings.HasPrefix(reason, want) }) {
			n += k
		}
	}
	if n != 2 {
		t.Errorf("failures %v, want 2 × %q", res.Failures, reasons)
	}
}
