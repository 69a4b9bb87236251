package coordinator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"time"

	"hubbub/cmd/loadgen/internal/client"
	"hubbub/cmd/loadgen/internal/clock"
	"hubbub/cmd/loadgen/internal/plan"
	"hubbub/internal/timerslack"
)

// Phase is a part of a run.
type Phase string

// The phases, in order.
const (
	Connecting Phase = "connecting"
	Settling   Phase = "settling"
	Running    Phase = "running"   // publishing, or holding the connections
	Finishing  Phase = "finishing" // waiting for what hasn't arrived yet
	Done       Phase = "done"      // the account is closed; connections are still open
)

const (
	headStart = 100 * time.Millisecond // for every worker to learn when publishing begins
	partGrace = time.Second            // for deliveries on their way when the run is broken off
	stopGrace = 10 * time.Second       // for workers to answer after that, and to exit
)

// Job is what it takes to run a plan.
type Job struct {
	Plan   *plan.Plan
	Shares []plan.Share
	Clock  clock.Clock
	// Command returns the command that runs this program as a worker.
	Command func() *exec.Cmd
	// OnPhase is called as each phase begins, in Run's goroutine.
	OnPhase func(Phase)
	// OnProgress is called several times a second, in Run's goroutine.
	OnProgress func(Phase, client.Progress)
}

// Outcome is what came of a run.
type Outcome struct {
	Result      *client.Result
	Start       int64     // when the first message was to leave, CLOCK_MONOTONIC; 0 if it never came to that
	End         int64     // when the account was closed
	FirstLoss   time.Time // of a connection in a storm; zero if none was lost
	Interrupted bool      // broken off before it was over
	Troubles    []string  // what went wrong with the workers themselves
}

// child is a worker as the parent sees it.
type child struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	enc   *json.Encoder
	share plan.Share
	last  client.Progress
	gone  bool
	told  bool          // its account is in
	ended chan struct{} // closed when cmd.Wait has returned
}

type report struct {
	from *child
	event
	err error // the worker says no more
}

// run is the parent's side.
type run struct {
	Job
	kids    []*child
	reports chan report
	phase   Phase
	out     Outcome
	ctx     context.Context
	late    context.Context // once broken off: over when patience is
	cancel  context.CancelFunc
}

// Run runs the job. When ctx is over it breaks off and returns what there is
// by then. The error says why there is nothing.
func Run(ctx context.Context, job Job) (*Outcome, error) {
	r := &run{Job: job, ctx: ctx, reports: make(chan report, len(job.Shares))}
	r.out.Result = client.NewResult()
	defer func() {
		if r.cancel != nil {
			r.cancel()
		}
		r.reap()
	}()
	for _, share := range job.Shares {
		if err := r.spawn(share); err != nil {
			return nil, err
		}
	}
	r.enter(Connecting)
	r.tell(func(c *child) command {
		return command{Connect: &connectCommand{Plan: *r.Plan, Share: c.share}}
	})
	r.await(func(_ *child, e event) bool { return e.Ready })

	r.enter(Settling)
	r.pause(r.Plan.Settle)

	var totals []uint32
	var firstLoss int64
	deadline := r.Clock.Now() + int64(partGrace)
	if r.late == nil {
		r.enter(Running)
		r.out.Start = r.Clock.Now() + int64(headStart)
		r.tell(func(*child) command { return command{Publish: &publishCommand{Start: r.out.Start}} })
		if r.Plan.Mode == plan.Fanout {
			totals = make([]uint32, r.Plan.Publishers)
		}
		if r.Plan.Mode == plan.Storm {
			r.storm()
		}
		r.await(func(c *child, e event) bool {
			if e.Sent == nil {
				return false
			}
			if at := e.Sent.FirstLoss; at != 0 && (firstLoss == 0 || at < firstLoss) {
				firstLoss = at
			}
			for _, s := range e.Sent.By {
				if s.Publisher < len(totals) {
					totals[s.Publisher] += s.Messages
				}
			}
			return true
		})
		deadline = r.Clock.Now() + int64(r.Plan.Timeout)
		if r.late != nil {
			deadline = r.Clock.Now() + int64(partGrace)
		}
	}
	if firstLoss != 0 {
		r.out.FirstLoss = r.Clock.Time(firstLoss)
	}
	r.enter(Finishing)
	r.tell(func(*child) command {
		return command{Finish: &finishCommand{Totals: totals, Deadline: deadline, FirstLoss: firstLoss}}
	})
	r.await(func(c *child, e event) bool {
		if e.Result == nil {
			return false
		}
		if err := e.Result.Unpack(); err != nil {
			r.trouble("a worker's account can't be read: %v", err)
			return true
		}
		r.out.Result.Merge(e.Result)
		c.told = true
		return true
	})
	r.out.End = r.Clock.Now()
	r.out.Interrupted = r.late != nil
	r.enter(Done)
	return &r.out, nil
}

func (r *run) trouble(format string, args ...any) {
	r.out.Troubles = append(r.out.Troubles, fmt.Sprintf(format, args...))
}

func (r *run) enter(p Phase) {
	r.phase = p
	r.OnPhase(p)
}

func (r *run) spawn(share plan.Share) error {
	cmd := r.Command()
	in, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("starting a worker: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("starting a worker: %w", err)
	}
	if err := timerslack.Start(cmd, r.slack()); err != nil {
		return fmt.Errorf("starting a worker: %w", err)
	}
	c := &child{cmd: cmd, in: in, enc: json.NewEncoder(in), share: share, ended: make(chan struct{})}
	r.kids = append(r.kids, c)
	go func() {
		dec := json.NewDecoder(out)
		for {
			var e event
			if err := dec.Decode(&e); err != nil {
				err = errors.Join(ignoreEOF(err), cmd.Wait())
				close(c.ended)
				r.reports <- report{from: c, err: err}
				return
			}
			r.reports <- report{from: c, event: e}
		}
	}()
	return nil
}

// maxSlack is enough: with 10 ms the Go runtime's monitors take hardly less of the
// processor.
const maxSlack = 4 * time.Millisecond

// slack returns how late the threads of the workers may wake up from short
// sleeps, where there are several. The only ones in which a delivery can be
// waiting are the pauses during a large fan-out, which this makes longer.
func (r *run) slack() time.Duration {
	if len(r.Shares) == 1 {
		return 0
	}
	return min(r.Plan.Grain(), maxSlack)
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// tell gives every worker its command. A worker that can't be told is about to
// be noticed as gone.
func (r *run) tell(cmd func(*child) command) {
	for _, c := range r.kids {
		if !c.gone {
			_ = c.enc.Encode(cmd(c))
		}
	}
}

// await handles events until each worker that is left has sent one that is
// done with, or patience has ended.
func (r *run) await(is func(*child, event) bool) {
	waiting := make(map[*child]bool)
	for _, c := range r.kids {
		if !c.gone {
			waiting[c] = true
		}
	}
	for len(waiting) > 0 {
		rep, ok := r.next(nil)
		if !ok {
			for c := range waiting {
				r.trouble("a worker (pid %d) gave no answer in time and was killed", c.cmd.Process.Pid)
				c.cmd.Process.Kill()
				r.lose(c, "did not answer")
			}
			return
		}
		if rep.from.gone || is(rep.from, rep.event) {
			delete(waiting, rep.from)
		}
	}
}

// pause handles events for a while.
func (r *run) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	for r.late == nil {
		if _, ok := r.next(t.C); !ok {
			return
		}
	}
}

// next handles one event and returns it. It reports false when patience, or
// the given time, has ended.
func (r *run) next(end <-chan time.Time) (report, bool) {
	for {
		done := r.ctx.Done()
		var impatient <-chan struct{}
		if r.late != nil {
			done, impatient = nil, r.late.Done()
		}
		select {
		case rep := <-r.reports:
			r.handle(rep)
			return rep, true
		case <-end:
			return report{}, false
		case <-impatient:
			return report{}, false
		case <-done:
			r.late, r.cancel = context.WithTimeout(context.Background(), stopGrace)
			r.tell(func(*child) command { return command{Stop: true} })
			if end != nil {
				return report{}, false
			}
		}
	}
}

func (r *run) handle(rep report) {
	c := rep.from
	switch {
	case c.gone:
	case rep.Failed != "":
		r.trouble("a worker can't go on: %s", rep.Failed)
		r.lose(c, rep.Failed)
	case rep.Progress != nil:
		c.last = *rep.Progress
		var sum client.Progress
		for _, k := range r.kids {
			sum.Add(k.last)
		}
		r.OnProgress(r.phase, sum)
	case rep.Ready, rep.Sent != nil, rep.Result != nil:
	default:
		why := "it exited early"
		if rep.err != nil {
			why = rep.err.Error()
		}
		r.trouble("a worker (pid %d) ended: %s", c.cmd.Process.Pid, why)
		if c.told {
			c.gone = true
			return
		}
		r.lose(c, why)
	}
}

// lose enters a worker's connections as gone with it. What they received
// before that isn't known.
func (r *run) lose(c *child, why string) {
	c.gone = true
	res := client.NewResult()
	res.Counts.Opened, res.Counts.Lost = c.last.Open, c.last.Open
	res.Counts.Failed = c.share.Count - c.last.Open
	res.Failures["load generator process ended: "+why] = c.share.Count
	r.out.Result.Merge(res)
}

// reap ends the workers that are left.
func (r *run) reap() {
	r.tell(func(*child) command { return command{Quit: true} })
	drained := make(chan struct{})
	go func() { // lets the readers come to their end
		for {
			select {
			case <-r.reports:
			case <-drained:
				return
			}
		}
	}()
	patience := time.NewTimer(stopGrace)
	defer patience.Stop()
	for _, c := range r.kids {
		select {
		case <-c.ended:
		case <-patience.C:
			for _, k := range r.kids {
				k.cmd.Process.Kill() // those that have ended don't mind
			}
			<-c.ended
		}
		c.in.Close()
	}
	close(drained)
}
