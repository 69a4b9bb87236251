package client

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"hubbub/cmd/loadgen/internal/plan"
	"hubbub/cmd/loadgen/internal/relay"
)

// newChurnPlan is newPlan with 20 connections and 40 that pass.
func newChurnPlan(t *testing.T, url string) *plan.Plan {
	t.Helper()
	p := newPlan(t, url, 20)
	p.Churn = 400
	return p
}

// expectChurn checks the account of a newChurnPlan in which so many connections
// that pass failed.
func expectChurn(t *testing.T, p *plan.Plan, res *Result, failed int) {
	t.Helper()
	c := res.Counts
	if c.Churned != 40 || c.ChurnOpened != 40-failed || c.ChurnFailed != failed || res.Churn.Count() != int64(40-failed) {
		t.Errorf("churn: %d due, %d opened, %d failed, %d timed; want 40 of which %d fail", c.Churned, c.ChurnOpened, c.ChurnFailed, res.Churn.Count(), failed)
	}
	if c.Opened != 20 || c.Failed != 0 || c.Lost != 0 || p.Mode == plan.Fanout && c.Delivered != 200 || c.Missing+c.Corrupt != 0 {
		t.Errorf("the others: %+v", c)
	}
	n := 0
	for reason, k := range res.Failures {
		if strings.HasPrefix(reason, "churn: ") {
			n += k
		}
	}
	if n != failed {
		t.Errorf("failures %v, want %d of churn", res.Failures, failed)
	}
}

func TestChurn(t *testing.T) {
	for _, mode := range []plan.Mode{plan.Fanout, plan.Idle} {
		var opened, goodbyes atomic.Int32
		r := &relay.Relay{Opened: func(int, net.Conn) { opened.Add(1) }, Closed: func() { goodbyes.Add(1) }}
		p := newChurnPlan(t, r.Start(t))
		p.Mode = mode
		expectChurn(t, p, play(t, p), 0)
		r.Stop() // so that it has seen all
		if opened.Load() != 60 || goodbyes.Load() != 60 {
			t.Errorf("%s: %d opened, %d close frames; want 60, 60", mode, opened.Load(), goodbyes.Load())
		}
	}
}

// They go where the others are.
func TestChurnTopics(t *testing.T) {
	p := newChurnPlan(t, (&relay.Relay{}).Start(t))
	p.Topics, p.Publishers = 4, 4
	seen := make(map[string]int)
	for _, s := range p.Split(3, 2) {
		f, err := New(p, s)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range f.lanes {
			schedule, _ := p.ChurnedBy(s)
			for at := 0; l.churn.ofProcess(at) < schedule.Total; at++ {
				seen[p.Request((&conn{lane: l, kind: passing, at: int32(at)}).number())]++
			}
		}
		f.Close()
	}
	for topic := range p.Topics {
		if n := seen[p.Request(topic)]; n != 10 {
			t.Errorf("%d pass through topic %d, want 10: %v", n, topic, seen)
		}
	}
}

func TestChurnRefused(t *testing.T) {
	p := newChurnPlan(t, (&relay.Relay{Refuse: func(n int) error {
		if n >= 20 && n < 27 {
			return ws.RejectConnectionError(ws.RejectionStatus(403))
		}
		return nil
	}}).Start(t))
	res := play(t, p)
	expectChurn(t, p, res, 7)
	for reason := range res.Failures {
		if !strings.Contains(reason, "403") {
			t.Errorf("failure %q, want one with 403", reason)
		}
	}
}

func TestChurnRetries(t *testing.T) {
	p := newChurnPlan(t, (&relay.Relay{HangUp: func(n int) bool { return n >= 20 && n < 25 }}).Start(t))
	expectChurn(t, p, play(t, p), 0)
}

// Where only one may be at it at a time, the others follow, however long they
// have been due.
func TestChurnWaits(t *testing.T) {
	p := newChurnPlan(t, (&relay.Relay{}).Start(t))
	p.Mode, p.Churn, p.Duration = plan.Idle, 40_000, time.Millisecond
	res := playWith(t, p, func(f *Fleet) {
		for _, l := range f.lanes {
			l.churn.limit = 1
		}
	})
	expectChurn(t, p, res, 0)
}

// The run isn't complete before the last that is due has opened or failed.
func TestFinishingWithChurn(t *testing.T) {
	l := testLane(t, 1)
	l.churn = &churn{lane: l, due: 2}
	done := false
	l.await(nil, func() { done = true })
	l.count.ChurnOpened++
	if l.checkComplete(); done {
		t.Fatal("finished with one that hasn't opened")
	}
	l.count.ChurnFailed++
	if l.checkComplete(); !done {
		t.Error("not finished")
	}
}

// A server that doesn't answer a goodbye holds up nothing but its own place.
func TestChurnGoodbyeUnanswered(t *testing.T) {
	over := make(chan struct{})
	r := &relay.Relay{Closed: func() { <-over }}
	p := newChurnPlan(t, r.Start(t))
	res := play(t, p)
	close(over)
	expectChurn(t, p, res, 0)
}

// What the server leaves without an answer until the run ends has failed.
func TestChurnUnanswered(t *testing.T) {
	over := make(chan struct{})
	p := newChurnPlan(t, (&relay.Relay{Refuse: func(n int) error {
		if n >= 20 {
			<-over
		}
		return nil
	}}).Start(t))
	p.Timeout = 300 * time.Millisecond
	res := play(t, p)
	close(over)
	expectChurn(t, p, res, 40)
	if n := res.Failures["churn: not open when the run ended"]; n != 40 {
		t.Errorf("%v", res.Failures)
	}
}

// A run that is broken off accounts for those that were due by then.
func TestChurnBrokenOff(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	r := &relay.Relay{Opened: func(n int, _ net.Conn) {
		if n == 30 {
			cancel()
		}
	}}
	p := newChurnPlan(t, r.Start(t))
	p.Mode, p.Duration = plan.Idle, time.Hour
	f := newFleet(t, p)
	f.Connect(ctx)
	f.Publish(ctx, f.clk.Now())
	c := f.Finish(context.Background(), nil, f.clk.Now()+int64(p.Timeout)).Counts
	f.Close()
	if c.Churned < 11 || c.ChurnOpened != c.Churned || c.ChurnFailed != 0 {
		t.Errorf("%d due, %d opened, %d failed; want some due, and all of them open", c.Churned, c.ChurnOpened, c.ChurnFailed)
	}
}

func TestSecureChurn(t *testing.T) {
	server, trust := identity(t, 0)
	p := newChurnPlan(t, relay.Hubbub(t, server))
	p.TLS, p.Timeout = trust, 30*time.Second
	expectChurn(t, p, play(t, p), 0)
}
