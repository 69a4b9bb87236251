package client

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"time"

	"hubbub/cmd/loadgen/internal/clock"
	"hubbub/cmd/loadgen/internal/pacer"
	"hubbub/cmd/loadgen/internal/plan"
	"hubbub/internal/poller"
)

const (
	dialTick  = 2 * time.Millisecond // how finely -ramp is paced
	askEvery  = 5 * time.Millisecond // how often publishers are asked whether all has left
	closeWait = 3 * time.Second      // for the server to answer the closing handshakes
)

// linger is how long after the last expected delivery the Fleet still listens,
// for messages that come twice and for what comes of a nudge.
const linger = 200 * time.Millisecond

// Fleet is one process's share of a run's connections. Its methods are to be
// called in the order Connect, Publish, Finish, Close; Snapshot at any time.
type Fleet struct {
	plan  *plan.Plan
	share plan.Share
	clk   clock.Clock
	lanes []*lane

	commons *commons

	probe     probe
	stopProbe context.CancelFunc // set by Publish
	wg        sync.WaitGroup
}

// New starts the event loops.
func New(p *plan.Plan, share plan.Share) (*Fleet, error) {
	clk, err := clock.New()
	if err != nil {
		return nil, err
	}
	// The loops make raw system calls that keep their processor from the
	// scheduler; the pacer needs one of its own to wake up on time.
	runtime.GOMAXPROCS(share.Loops + 1)
	poller.MakeRoom(share.Count + p.ChurnedAtOnce())
	var enc *encryption
	if p.TLS != nil {
		if enc, err = newEncryption(p.TLS, share.Loops); err != nil {
			return nil, err
		}
	}
	f := &Fleet{plan: p, share: share, clk: clk, commons: newCommons(share)}
	for i := range share.Loops {
		l, err := newLane(p, share, i, f.commons, clk)
		if err != nil {
			for _, l := range f.lanes {
				l.loop.Close()
			}
			return nil, err
		}
		if enc != nil {
			l.secure = newSecure(enc, l.loop)
			l.sys = l.secure
		}
		f.lanes = append(f.lanes, l)
	}
	return f, nil
}

// Connect opens all connections and returns when each is open or has failed
// for good, or when ctx is over.
func (f *Fleet) Connect(ctx context.Context) {
	settled := make(chan struct{}, len(f.lanes))
	for _, l := range f.lanes {
		f.post(l, func() {
			l.onSettled = func() { settled <- struct{}{} }
			l.checkSettled()
		})
	}
	ramp := pacer.Pacer{Rate: f.plan.Ramp * float64(f.share.Count) / float64(f.plan.Conns), Total: f.share.Count}
	began := f.clk.Now()
	var tick *time.Ticker
	for granted := 0; granted < f.share.Count; {
		due := ramp.Due(time.Duration(f.clk.Now() - began))
		f.commons.grant(due)
		for i, l := range f.lanes {
			n := ofLane(i, len(f.lanes), min(due, f.commons.first))
			f.post(l, func() {
				l.granted = n
				l.dialMore()
			})
		}
		granted = due
		if granted == f.share.Count {
			break
		}
		if tick == nil {
			tick = time.NewTicker(dialTick)
			defer tick.Stop()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
	for range f.lanes {
		select {
		case <-ctx.Done():
			return
		case <-settled:
		}
	}
}

// Publish runs the plan's messages and churn from start on, a CLOCK_MONOTONIC
// reading, and returns when all that was due has begun, in a storm only when ctx
// is over, or when ctx is over anyway. The result is how many messages each
// publisher of this Fleet has sent.
func (f *Fleet) Publish(ctx context.Context, start int64) []Sent {
	end := start + int64(f.plan.Duration)
	for _, l := range f.lanes {
		f.post(l, func() { l.begin(start, end) })
	}
	probing, stop := context.WithCancel(ctx)
	f.stopProbe = stop
	f.wg.Go(func() { f.probe.run(probing, f.lanes, f.clk) })

	if sleep(ctx, f.clk.Until(start)) {
		var churning sync.WaitGroup
		if f.plan.Churn > 0 {
			churning.Go(func() {
				schedule, after := f.plan.ChurnedBy(f.share)
				f.pace(ctx, start+int64(after), schedule, f.lanes, func(l *lane, due int) { l.churn.release(due) })
			})
		}
		switch {
		case f.plan.Mode == plan.Storm:
			<-ctx.Done()
		case f.plan.Mode == plan.Fanout && f.plan.Open():
			senders := slices.DeleteFunc(slices.Clone(f.lanes), func(l *lane) bool { return len(l.pubs) == 0 })
			f.pace(ctx, start, f.plan.Messages(), senders, (*lane).release)
		default:
			for _, l := range f.lanes {
				f.post(l, l.pumpAll)
			}
			sleep(ctx, f.clk.Until(end))
		}
		churning.Wait()
	}
	return f.drain(ctx, end+int64(f.plan.Timeout))
}

// pace tells lanes how much of a schedule that begins at start is due, whenever
// that changes.
func (f *Fleet) pace(ctx context.Context, start int64, schedule pacer.Pacer, lanes []*lane, release func(l *lane, due int)) {
	for told := 0; told < schedule.Total; {
		elapsed := time.Duration(f.clk.Now() - start)
		due := schedule.Due(elapsed)
		if due > told {
			for _, l := range lanes {
				f.post(l, func() { release(l, due) })
			}
			told = due
		}
		wait, more := schedule.Wait(elapsed, told)
		if more && !sleep(ctx, wait) {
			return
		}
	}
}

// FirstLoss returns when a connection of this Fleet was first lost in a storm,
// as a CLOCK_MONOTONIC reading; 0 if none was.
func (f *Fleet) FirstLoss() int64 { return f.Snapshot().FirstLoss }

// CountFrom says when the first connection of the whole run was lost: from then
// on Finish counts how long the others took to come back.
func (f *Fleet) CountFrom(firstLoss int64) {
	for _, l := range f.lanes {
		f.post(l, func() { l.storm.first = firstLoss })
	}
}

// drain stops the publishers once nothing that is due still waits for its
// socket, or the deadline has passed.
func (f *Fleet) drain(ctx context.Context, deadline int64) []Sent {
	for f.clk.Until(deadline) > 0 {
		unsent := 0
		for _, n := range ask(f, (*lane).unsent) {
			unsent += n
		}
		if unsent == 0 || !sleep(ctx, askEvery) {
			break
		}
	}
	var out []Sent
	for _, s := range ask(f, (*lane).freeze) {
		out = append(out, s...)
	}
	return out
}

// Finish waits until every delivery has come that still can, the deadline (a
// CLOCK_MONOTONIC reading) has passed, or ctx is over, and returns the account.
// totals is how many messages each publisher of the run has sent.
func (f *Fleet) Finish(ctx context.Context, totals []uint32, deadline int64) *Result {
	done := make(chan struct{}, len(f.lanes))
	for _, l := range f.lanes {
		f.post(l, func() { l.await(totals, func() { done <- struct{}{} }) })
	}
	timeout := time.NewTimer(f.clk.Until(deadline))
	defer timeout.Stop()
	complete := true
	for range f.lanes {
		select {
		case <-done:
			continue
		case <-timeout.C:
		case <-ctx.Done():
		}
		complete = false
		break
	}
	if f.plan.Slow > 0 {
		for _, l := range f.lanes {
			f.post(l, l.nudge)
		}
	}
	if complete || f.plan.Slow > 0 {
		sleep(ctx, linger)
	}
	if f.stopProbe != nil {
		f.stopProbe()
	}
	f.wg.Wait()
	res := newResult()
	res.Counts.ActiveCPU = int64(f.probe.cpu)
	for _, r := range ask(f, func(l *lane) *Result { return l.result(totals) }) {
		res.Merge(r)
	}
	return res
}

// Close says goodbye on every connection, waits a bounded time for the server
// to do the same, and stops the loops.
func (f *Fleet) Close() {
	done := make(chan struct{}, len(f.lanes))
	for _, l := range f.lanes {
		f.post(l, func() { l.shut(func() { done <- struct{}{} }) })
	}
	timeout := time.NewTimer(closeWait)
	defer timeout.Stop()
wait:
	for range f.lanes {
		select {
		case <-done:
		case <-timeout.C:
			break wait
		}
	}
	for _, l := range f.lanes {
		l.loop.Close()
		l.closeAll()
	}
}

// Snapshot returns how far the Fleet is.
func (f *Fleet) Snapshot() Progress {
	var p Progress
	for _, q := range ask(f, (*lane).progress) {
		p.Add(q)
	}
	return p
}

func (f *Fleet) post(l *lane, fn func()) { l.loop.Post(task(fn)) }

// ask runs fn on every lane's loop and returns what it returns.
func ask[T any](f *Fleet, fn func(*lane) T) []T {
	answers := make(chan T, len(f.lanes))
	n := 0
	for _, l := range f.lanes {
		if l.loop.Post(task(func() { answers <- fn(l) })) {
			n++
		}
	}
	out := make([]T, 0, n)
	for range n {
		out = append(out, <-answers)
	}
	return out
}

// sleep waits for d and reports whether ctx was not over before that.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
