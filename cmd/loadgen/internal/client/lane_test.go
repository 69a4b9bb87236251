package client

import (
	"net/netip"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"hubbub/cmd/loadgen/internal/clock"
	"hubbub/cmd/loadgen/internal/payload"
	"hubbub/cmd/loadgen/internal/plan"
	"hubbub/internal/poller"
	"hubbub/internal/wire"
)

// testLane is a lane of conns connections that count as open, without sockets.
func testLane(t testing.TB, conns int) *lane {
	t.Helper()
	return laneOf(t, plan.Plain, conns)
}

func laneOf(t testing.TB, protocol plan.Protocol, conns int) *lane {
	t.Helper()
	p := &plan.Plan{Run: 99, Mode: plan.Fanout, Protocol: protocol, Conns: conns, Publishers: 1, Topics: 1, Rate: 1, Size: 128, Duration: time.Second}
	clk, err := clock.New()
	if err != nil {
		t.Fatal(err)
	}
	share := p.Split(1, 1)[0]
	l, err := newLane(p, share, 0, newCommons(share), clk)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.loop.Close() })
	for i := range l.conns {
		l.conns[i].st, l.conns[i].fd = open, 1<<30 // never used
	}
	l.live = conns
	return l
}

// message is a message's frame as a server sends it.
func message(l *lane, seq uint32) []byte {
	codec := payload.NewCodec(l.plan.Run, l.plan.Protocol.Text())
	codec.Put(l.body, payload.Header{Seq: seq, Intended: l.clk.Now()})
	return wire.AppendFrame(nil, wire.OpBinary, l.body)
}

// The first delivery of a message makes its spread; those to the other
// subscribers cost nothing.
func TestReceivingAllocatesNothing(t *testing.T) {
	l := testLane(t, 2001)
	expectNoAllocations(t, l, message(l, 0))
}

// expectNoAllocations has each of 2,001 connections receive the first message.
func expectNoAllocations(t *testing.T, l *lane, frame []byte) {
	t.Helper()
	buf := make([]byte, len(frame))
	next := 0
	receive := func() {
		l.conns[next].receive(append(buf[:0], frame...))
		next++
	}
	for range 100 {
		receive()
	}
	if n := testing.AllocsPerRun(1900, receive); n != 0 {
		t.Errorf("%v allocations per delivery, want 0", n)
	}
	if l.count.Delivered != 2001 || l.count.Corrupt != 0 {
		t.Errorf("%+v", l.count)
	}
}

// A lane's decoder serves all connections that have nothing in the middle; one
// that has keeps it, and gives it back.
func TestDecoderIsShared(t *testing.T) {
	l := testLane(t, 2)
	a, b := &l.conns[0], &l.conns[1]
	frame := message(l, 0)
	mine := l.dec
	for cut := 1; cut < len(frame); cut++ {
		l.book.Record(0, 0) // whatever it says: this is about decoding
		l.count = Counts{}
		a.receive(append([]byte(nil), frame[:cut]...))
		if a.dec == nil || a.dec == l.dec {
			t.Fatalf("cut at %d: the connection doesn't hold its own decoder", cut)
		}
		b.receive(append([]byte(nil), frame...))
		if b.dec != nil {
			t.Fatalf("cut at %d: the other connection holds a decoder", cut)
		}
		a.receive(append([]byte(nil), frame[cut:]...))
		if a.dec != nil {
			t.Fatalf("cut at %d: the connection keeps a decoder with nothing in it", cut)
		}
		if n := l.count.Delivered + l.count.Duplicate; n != 2 || l.count.Corrupt != 0 {
			t.Fatalf("cut at %d: %+v", cut, l.count)
		}
	}
	if mine == l.dec {
		t.Error("the lane's decoder was never handed over")
	}
}

// Publishers' messages leave at once, whether earlier ones are acknowledged or not.
func TestPublishersDontWaitForAcknowledgements(t *testing.T) {
	l := testLane(t, 2)
	for i, want := range []int{1, 0} {
		fd, err := poller.Socket(netip.AddrPort{}, netip.MustParseAddrPort("127.0.0.1:1"))
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		c := &l.conns[i]
		c.fd = int32(fd)
		l.attempt(c, &witness{}, 0)
		c.up(nil)
		if got, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY); err != nil || got != want {
			t.Errorf("connection %d, which publishes: %v, has TCP_NODELAY %d (%v)", i, c.pub != nil, got, err)
		}
	}
}

// An attempt that a connection no longer needs serves another, and nothing is left of
// the first.
func TestAttemptsServeAgain(t *testing.T) {
	l := testLane(t, 2)
	a, b := &l.conns[0], &l.conns[1]
	w := &witness{}
	l.attempt(a, w, 7)
	first := a.dial
	first.tries, first.buf, first.answers = 3, []byte("HTTP/1.1 101"), 1
	if a.up(nil); a.dial != nil || a.st != open {
		t.Errorf("the connection is in state %d, with an attempt: %v", a.st, a.dial != nil)
	}
	l.attempt(b, w, 8)
	d := b.dial
	if d != first || d.conn != b || d.began != 8 || d.tries != 0 || d.buf != nil || d.answers != 0 {
		t.Errorf("%+v", d)
	}
	pair(t, b)
	b.st = handshaking
	if d.expire(); w.refusal.reason != "handshake: no answer in time" || a.st != open {
		t.Errorf("refused for %q; the first is in state %d", w.refusal.reason, a.st)
	}
	for range dialsInFlight + 1 {
		l.keep(&attempt{})
	}
	if len(l.attempts) != dialsInFlight {
		t.Errorf("%d spare attempts are kept, want %d", len(l.attempts), dialsInFlight)
	}
}

// pair gives a connection a socket and returns the other end of it.
func pair(t *testing.T, c *conn) int {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		t.Fatal(err)
	}
	c.fd = int32(fds[0])
	t.Cleanup(func() { unix.Close(fds[1]) })
	return fds[1]
}

// Edge-triggered, the event that brings the last bytes also brings the end of
// the stream, and no other follows.
func TestEndBehindData(t *testing.T) {
	l := testLane(t, 1)
	c := &l.conns[0]
	peer := pair(t, c)
	if _, err := unix.Write(peer, message(l, 0)); err != nil {
		t.Fatal(err)
	}
	if err := unix.Shutdown(peer, unix.SHUT_WR); err != nil {
		t.Fatal(err)
	}
	c.event(poller.Readable | poller.HalfClosed)
	if l.count.Delivered != 1 || l.count.Lost != 1 || c.fd >= 0 {
		t.Errorf("delivered %d, lost %d, descriptor %d; want 1, 1, closed", l.count.Delivered, l.count.Lost, c.fd)
	}
}

// stream is a socket from which a fixed stream of bytes can be read.
type stream struct {
	poller.OS
	data []byte
}

func (s *stream) Read(_ int, p []byte) (int, error) {
	if len(s.data) == 0 {
		return 0, unix.EAGAIN
	}
	n := copy(p, s.data)
	s.data = s.data[n:]
	return n, nil
}

// A socket with more in it than one turn takes is emptied in several, without
// another event.
func TestMuchAtOnce(t *testing.T) {
	l := testLane(t, 1)
	l.plan.Size = 1 << 20
	l.body = make([]byte, l.plan.Size)
	in := &stream{data: message(l, 0)}
	l.sys = in
	c := &l.conns[0]
	delivered := make(chan int64, 1)
	var look func()
	look = func() {
		if len(in.data) > 0 {
			l.loop.Post(task(look))
			return
		}
		delivered <- l.count.Delivered
	}
	l.loop.Post(task(func() {
		c.event(poller.Readable)
		if len(in.data) == 0 {
			t.Error("one turn took it all")
		}
		look()
	}))
	if n := <-delivered; n != 1 {
		t.Errorf("%d delivered, want 1", n)
	}
}

// narrow is a socket that takes little at a time.
type narrow struct{ poller.OS }

func (n narrow) Write(fd int, p []byte) (int, error) {
	return n.OS.Write(fd, p[:min(len(p), 7001)])
}

// What a socket doesn't take waits, and leaves whole and in order.
func TestPartialWrites(t *testing.T) {
	const messages = 60
	l := testLane(t, 1)
	l.body = make([]byte, 30_001)
	c := &l.conns[0]
	peer := pair(t, c)
	l.sys = narrow{}
	c.pub = &publisher{conn: c}
	l.pubs = append(l.pubs, c.pub)
	l.loop.Post(task(func() {
		c.watch(toRead)
		l.start = 1
		l.release(messages)
		if len(l.rest) == 0 {
			t.Error("the socket took all: this test shows nothing")
		}
	}))
	expectInOrder(t, l, messages, func(p []byte) (int, error) { return unix.Read(peer, p) })
	left := make(chan int)
	l.loop.Post(task(func() {
		left <- l.unsent() + len(l.rest)
		c.end(lost)
	}))
	if n := <-left; n != 0 {
		t.Errorf("%d are left over", n)
	}
}

// A connection that is lost while the last deliveries are waited for is waited
// for no longer.
func TestFinishingWithoutTheLost(t *testing.T) {
	l := testLane(t, 2)
	a, b := &l.conns[0], &l.conns[1]
	pair(t, b)
	a.receive(message(l, 0))
	b.receive(message(l, 0))
	done := false
	l.await([]uint32{3}, func() { done = true })
	a.receive(message(l, 1))
	a.receive(message(l, 2))
	if done {
		t.Fatal("finished with two deliveries to come")
	}
	b.lose("test")
	if !done {
		t.Errorf("still waiting for %d deliveries", l.outstanding)
	}
	if c := l.result([]uint32{3}).Counts; c.Expected != 6 || c.Delivered != 4 || c.Missing != 2 || c.Lost != 1 {
		t.Errorf("%+v", c)
	}
}

func TestPauseIsSmallBesideTheFanout(t *testing.T) {
	for _, tt := range []struct {
		mode                 plan.Mode
		conns, topics, loops int
		want                 time.Duration
	}{
		{plan.Fanout, 1000, 1, 1, 0},
		{plan.Fanout, 2499, 1, 1, 0},
		{plan.Fanout, 2500, 1, 1, 50 * time.Microsecond},
		{plan.Fanout, 8000, 1, 1, 100 * time.Microsecond},
		{plan.Fanout, 8000, 1, 2, 160 * time.Microsecond},
		{plan.Fanout, 8000, 2, 2, 80 * time.Microsecond},
		{plan.Fanout, 8000, 800, 2, 0},
		{plan.Fanout, 1_000_000, 1, 51, 5100 * time.Microsecond},
		{plan.Echo, 8000, 1, 2, 0},
		{plan.Idle, 8000, 1, 2, 0},
	} {
		p := &plan.Plan{Mode: tt.mode, Conns: tt.conns, Topics: tt.topics}
		if got := pauseFor(p, tt.loops); got != tt.want {
			t.Errorf("%s, %d connections, %d topics, %d loops: %v, want %v", tt.mode, tt.conns, tt.topics, tt.loops, got, tt.want)
		}
	}
}

// The task comes with the first delivery and goes when none has come since its
// last round.
func TestPausesEnd(t *testing.T) {
	l := testLane(t, 2500)
	c := &l.conns[0]
	done := make(chan bool)
	frames := [][]byte{message(l, 0), message(l, 1)}
	l.loop.Post(task(func() {
		for _, frame := range frames {
			c.receive(frame)
		}
		if !l.pause.posted {
			t.Error("nothing was posted")
		}
		var look func()
		look = func() {
			if l.pause.posted {
				l.loop.Post(task(look))
				return
			}
			done <- true
		}
		look()
	}))
	<-done // hangs if it goes on for ever
}

func TestSmallConnections(t *testing.T) {
	if size := unsafe.Sizeof(conn{}); size > 48 {
		t.Errorf("a connection takes %d bytes, want 48 at most", size)
	}
}

func BenchmarkReceive(b *testing.B) {
	l := testLane(b, 10_000)
	benchmarkReceive(b, l, message(l, 0))
}

func benchmarkReceive(b *testing.B, l *lane, frame []byte) {
	buf := make([]byte, len(frame))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		l.conns[i%len(l.conns)].receive(append(buf[:0], frame...))
	}
}

// expectInOrder reads so many messages of a lane, as the server would get them.
func expectInOrder(t *testing.T, l *lane, messages uint32, read func([]byte) (int, error)) {
	t.Helper()
	var dec wire.Decoder
	rules := wire.Rules{MaxMessage: 1 << 20}
	codec := payload.NewCodec(l.plan.Run, l.plan.Protocol.Text())
	buf := make([]byte, 10_000)
	for next := uint32(0); next < messages; {
		n, err := read(buf)
		if err != nil || n == 0 {
			t.Fatalf("after %d messages: read %d, %v", next, n, err)
		}
		for p := buf[:n]; len(p) > 0; {
			m, used, err := dec.Next(p, &rules)
			if err != nil {
				t.Fatalf("after %d messages: %v", next, err)
			}
			p = p[used:]
			if m.Op == 0 {
				continue
			}
			h, err := codec.Parse(m.Payload)
			if err != nil || h.Seq != next {
				t.Fatalf("message %d, %v; want %d", h.Seq, err, next)
			}
			next++
		}
	}
}
