package client

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"hubbub/cmd/loadgen/internal/plan"
	"hubbub/cmd/loadgen/internal/relay"
)

// ends are the server's ends of connections, in the order that a relay has opened
// them in.
type ends chan net.Conn

func newEnds() ends { return make(ends, 1000) }

func (e ends) opened(_ int, c net.Conn) { e <- c }

func hangUp(c net.Conn) { c.Close() }

// each calls fn with the next n. It waits for them: a client has its answer before
// the relay tells of the connection.
func (e ends) each(n int, fn func(net.Conn)) {
	for range n {
		fn(<-e)
	}
}

// weather plays a storm: it opens the connections, and so many times lets
// something happen and waits until it is over.
func weather(t *testing.T, p *plan.Plan, times int, happen func(), over func(p Progress, times int) bool) *Result {
	t.Helper()
	p.Mode = plan.Storm
	f := newFleet(t, p)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	f.Connect(ctx)
	published := make(chan struct{})
	go func() {
		defer close(published)
		f.Publish(ctx, f.clk.Now())
	}()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for n := range times {
		happen()
		for !over(f.Snapshot(), n+1) {
			<-tick.C
		}
	}
	cancel()
	<-published
	for _, n := range ask(f, func(l *lane) (n int) {
		for i := range l.conns {
			if l.conns[i].dial != nil {
				n++
			}
		}
		return n
	}) {
		if n > 0 {
			t.Errorf("%d still try to come back when the storm is over", n)
		}
	}
	if first := f.FirstLoss(); first != 0 {
		f.CountFrom(first - int64(time.Minute)) // as if another process had lost one long before
	}
	res := f.Finish(ctx, nil, f.clk.Now())
	f.Close()
	return res
}

// allBack reports whether all of 30 have been lost so many times, and are back.
func allBack(p Progress, times int) bool { return p.Losses >= 30*times && p.Away == 0 && p.Open == 30 }

// expectBack checks that 30 connections were lost and that all are back.
func expectBack(t *testing.T, res *Result) {
	t.Helper()
	const n = 30
	s, c := res.Storm, res.Counts
	if c.Opened != n || c.Failed != 0 || c.Lost != 0 || len(res.Failures) != 0 {
		t.Errorf("%+v: %v", c, res.Failures)
	}
	if s.Lost != n || s.Back != n || s.Times.Count() != int64(n) {
		t.Errorf("%d lost, %d back, %d timed; want %d each", s.Lost, s.Back, s.Times.Count(), n)
	}
	if s.Last < int64(time.Minute) || s.Last > int64(2*time.Minute) {
		t.Errorf("the last is back after %v, want a little more than a minute", time.Duration(s.Last))
	}
}

func TestStorm(t *testing.T) {
	for _, tt := range []struct {
		name   string
		end    func(net.Conn)
		lostBy []string // either of them
	}{
		{"hung up", hangUp, []string{"the server closed the connection without a close frame", "connection reset by peer"}},
		{"reset", func(c net.Conn) { c.(*net.TCPConn).SetLinger(0); c.Close() }, []string{"connection reset by peer"}},
		{"goodbye", func(c net.Conn) { wsutil.WriteServerMessage(c, ws.OpClose, ws.NewCloseFrameBody(1001, "restarting")) },
			[]string{"closed by the server: 1001 restarting"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := newEnds()
			p := newPlan(t, (&relay.Relay{Opened: e.opened}).Start(t), 30)
			res := weather(t, p, 1, func() { e.each(30, tt.end) }, allBack)
			expectBack(t, res)
			if res.Storm.Attempts != 30 || len(res.Storm.Refused) != 0 {
				t.Errorf("%d attempts, refused %v; want 30, none", res.Storm.Attempts, res.Storm.Refused)
			}
			n := 0
			for _, reason := range tt.lostBy {
				n += res.Storm.LostBy[reason]
			}
			if n != 30 {
				t.Errorf("lost by %v, want 30 by %q", res.Storm.LostBy, tt.lostBy)
			}
		})
	}
}

// Who is lost again and again counts once, and from the last time on as back.
func TestStormAgain(t *testing.T) {
	e := newEnds()
	p := newPlan(t, (&relay.Relay{Opened: e.opened}).Start(t), 30)
	res := weather(t, p, 3, func() { e.each(30, hangUp) }, allBack)
	expectBack(t, res)
	if res.Storm.Attempts != 90 {
		t.Errorf("%d attempts, want 90", res.Storm.Attempts)
	}
}

// Being refused, in whatever way, is no reason to give up.
func TestStormRefused(t *testing.T) {
	e := newEnds()
	p := newPlan(t, (&relay.Relay{
		Opened: e.opened,
		Refuse: func(n int) error {
			if n >= 30 && n < 80 {
				return ws.RejectConnectionError(ws.RejectionStatus(503))
			}
			return nil
		},
	}).Start(t), 30)
	res := weather(t, p, 1, func() { e.each(30, hangUp) }, allBack)
	expectBack(t, res)
	refused := 0
	for reason, n := range res.Storm.Refused {
		if strings.Contains(reason, "503") {
			refused += n
		}
	}
	if refused != 50 || res.Storm.Attempts != 80 {
		t.Errorf("%d attempts, refused %v; want 80, of which 50 by 503", res.Storm.Attempts, res.Storm.Refused)
	}
}

// Nobody is back where nobody listens; nothing of the attempts is left.
func TestStormForGood(t *testing.T) {
	r := &relay.Relay{}
	p := newPlan(t, r.Start(t), 30)
	before := descriptors(t)
	res := weather(t, p, 1, r.Stop, func(p Progress, _ int) bool { return p.Away == 30 })
	s := res.Storm
	if s.Lost != 30 || s.Back != 0 || s.Times.Count() != 0 || s.Attempts < 30 {
		t.Errorf("%+v", s)
	}
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors, before there were %d", after, before)
	}
}

func TestSecureStorm(t *testing.T) {
	e := newEnds()
	server, trust := identity(t, 0)
	r := behindTLS(server)
	r.Opened = e.opened
	p := newPlan(t, r.Start(t), 30)
	p.TLS = trust
	res := weather(t, p, 1, func() { e.each(30, hangUp) }, allBack)
	expectBack(t, res)
}

func TestBackOff(t *testing.T) {
	for tries, want := range map[int]time.Duration{
		1: 100 * time.Millisecond, 2: 200 * time.Millisecond, 6: 3200 * time.Millisecond, 7: 5 * time.Second, 1000: 5 * time.Second,
	} {
		least, most := want, time.Duration(0)
		for range 1000 {
			d := backOff(tries)
			least, most = min(least, d), max(most, d)
		}
		if least < want/2 || most > want || most-least < want/4 {
			t.Errorf("after %d attempts %v to %v, want all over %v to %v", tries, least, most, want/2, want)
		}
	}
}
