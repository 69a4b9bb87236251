package client

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"hubbub/cmd/loadgen/internal/plan"
	"hubbub/cmd/loadgen/internal/relay"
)

// newSlowPlan is newPlan with 50 connections of which ten stall. Each has an
// address of its own, by which stallsAt tells them apart.
func newSlowPlan(t *testing.T, url string) *plan.Plan {
	t.Helper()
	p := newPlan(t, url, 50)
	p.Slow = 0.2
	var err error
	if p.Sources, err = plan.ParseSources("127.0.0.2-51"); err != nil {
		t.Fatal(err)
	}
	return p
}

// stallsAt reports whether the other end of c, a connection of newSlowPlan, stalls.
func stallsAt(c net.Conn) bool {
	p := &plan.Plan{Mode: plan.Fanout, Conns: 50, Publishers: 1, Topics: 1, Slow: 0.2}
	addr := netip.MustParseAddrPort(c.RemoteAddr().String()).Addr().As4()
	return p.Stalled(int(addr[3]) - 2)
}

func TestStalledReadersAreNotExpected(t *testing.T) {
	res := play(t, newSlowPlan(t, (&relay.Relay{}).Start(t)))
	c := res.Counts
	if c.Opened != 50 || c.Stalled != 10 || c.StalledEnded != 0 || c.Lost != 0 || c.Expected != 400 || c.Delivered != 400 || c.Missing != 0 {
		t.Errorf("%+v: %v", c, res.Failures)
	}
}

// They aren't waited for either.
func TestFinishingWithoutTheStalled(t *testing.T) {
	l := testLane(t, 2)
	l.conns[1].kind = stalled
	done := false
	l.await([]uint32{1}, func() { done = true })
	if done {
		t.Fatal("finished with a delivery to come")
	}
	if l.conns[0].receive(message(l, 0)); !done {
		t.Errorf("still waiting for %d deliveries", l.outstanding)
	}
}

// What they are sent stays in their sockets.
func TestStalledReadersDoNotRead(t *testing.T) {
	p := newSlowPlan(t, (&relay.Relay{}).Start(t))
	f := newFleet(t, p)
	ctx := context.Background()
	f.Connect(ctx)
	f.Publish(ctx, f.clk.Now())
	f.Finish(ctx, []uint32{10}, f.clk.Now()+int64(p.Timeout))
	full := 0
	for _, n := range ask(f, func(l *lane) (full int) {
		for i := range l.conns {
			c := &l.conns[i]
			n, err := unix.IoctlGetInt(int(c.fd), unix.TIOCINQ)
			if err != nil {
				t.Error(err)
			}
			if c.kind == stalled && n >= 9*p.Size { // the last message may be on its way
				full++
			}
		}
		return full
	}) {
		full += n
	}
	if full != 10 {
		t.Errorf("%d connections have what they were sent unread, want 10", full)
	}
	f.Close()
}

func TestStalledReadersEnded(t *testing.T) {
	for name, end := range map[string]func(c net.Conn){
		"closed": func(c net.Conn) { c.Close() },
		"reset":  func(c net.Conn) { c.(*net.TCPConn).SetLinger(0); c.Close() },
		// There is no room for the FIN then.
		"closed when full": func(c net.Conn) { fill(t, c); c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			res := play(t, newSlowPlan(t, (&relay.Relay{Before: func(m int, subscribers []net.Conn) {
				ended := 0
				for _, c := range subscribers {
					if m == 5 && ended < 3 && stallsAt(c) {
						end(c)
						ended++
					}
				}
			}}).Start(t)))
			c := res.Counts
			if c.Stalled != 10 || c.StalledEnded != 3 || c.Lost != 0 || len(res.Failures) != 0 || c.Expected != 400 || c.Delivered != 400 {
				t.Errorf("%+v: %v", c, res.Failures)
			}
		})
	}
}

// fill writes until nothing more goes in.
func fill(t *testing.T, c net.Conn) {
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Error(err)
		return
	}
	much := make([]byte, 1<<20)
	if err := raw.Write(func(fd uintptr) bool {
		for err == nil {
			_, err = unix.Write(int(fd), much)
		}
		return true
	}); err != nil {
		t.Error(err)
	}
	if !errors.Is(err, unix.EAGAIN) {
		t.Errorf("filling a socket: %v", err)
	}
}

// The end may come with the answer to the handshake.
func TestStalledReadersEndedAtOnce(t *testing.T) {
	res := play(t, newSlowPlan(t, (&relay.Relay{Opened: func(_ int, c net.Conn) {
		if stallsAt(c) {
			c.Close()
		}
	}}).Start(t)))
	if c := res.Counts; c.Stalled != 10 || c.StalledEnded != 10 || c.Lost != 0 || c.Delivered != 400 {
		t.Errorf("%+v: %v", c, res.Failures)
	}
}
