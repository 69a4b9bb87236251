package report

import (
	"fmt"
	"math"
	"time"

	"hubbub/cmd/loadgen/internal/coordinator"
	"hubbub/cmd/loadgen/internal/monitor"
	"hubbub/cmd/loadgen/internal/plan"
	"hubbub/cmd/loadgen/internal/procfs"
	"hubbub/cmd/loadgen/internal/recorder"
)

// Input is what a Report is made from.
type Input struct {
	Plan       *plan.Plan
	Outcome    *coordinator.Outcome
	Processes  int
	Loops      int // in all processes
	Samples    []monitor.Sample
	ServerFrom string // where the server's figures come from
	Local      bool   // the server is on this machine
	ServerWhy  string // or why there are none
	Warnings   []string
	Conditions Conditions
}

// Build computes the Report.
func Build(in Input) *Report {
	p, res := in.Plan, in.Outcome.Result
	c := res.Counts
	r := &Report{
		Mode:           string(p.Mode),
		ConnsRequested: p.Conns,
		ConnsOpen:      c.Opened,
		ConnsFailed:    c.Failed,
		ConnsLost:      c.Lost,
		ConnectPerS:    rate(int64(c.Opened), c.LastOpen-c.FirstDial),
		ConnectRetries: c.Retries,
		Stalled:        c.Stalled,
		StalledEnded:   c.StalledEnded,
		Messages:       c.Sent,
		Expected:       c.Expected,
		Delivered:      c.Delivered,
		Missing:        c.Missing,
		Duplicate:      c.Duplicate,
		Reordered:      c.Reordered,
		Corrupt:        c.Corrupt,
		DeliveriesPerS: rate(c.Delivered, c.LastArrive-in.Outcome.Start),
		Latency:        latency(res.Latency),
		Handshake:      latency(res.Handshake),
		ServerWhy:      in.ServerWhy,
		Failures:       res.Failures,
		Warnings:       append([]string{}, in.Warnings...),
		Interrupted:    in.Outcome.Interrupted,
		Curve:          curve(res.Latency),
		Conditions:     in.Conditions,
	}
	r.Warnings = append(r.Warnings, in.Outcome.Troubles...)
	if p.Protocol.Acknowledges() && p.Mode.Sends() {
		r.Answers = &Answers{Acknowledged: c.Acknowledged, Refused: c.Refused, Missing: c.Unanswered}
	}
	if p.Recover > 0 {
		r.Recovery = newRecovery(in)
	}
	if p.Churn > 0 {
		r.Churn = newChurn(res)
	}
	if p.Mode == plan.Storm {
		r.Storm = newStorm(res.Storm)
		r.Storm.FirstLoss = in.Outcome.FirstLoss
		r.ConnsLost += r.Storm.NotBack
		if r.Storm.Lost == 0 && !r.Interrupted {
			r.Warnings = append(r.Warnings, fmt.Sprintf("nothing happened: the server was to go away within -duration %s, and no connection was lost", p.Duration))
		}
	}
	r.timeline(res.Messages, in.Outcome.Start)
	r.usage(in)
	r.saturation(in)
	r.OK = !r.Interrupted && len(in.Outcome.Troubles) == 0 &&
		r.ConnsOpen == r.ConnsRequested && r.ConnsFailed == 0 && r.ConnsLost == 0 &&
		r.Missing == 0 && r.Duplicate == 0 && r.Reordered == 0 && r.Corrupt == 0 &&
		r.Answers.ok() && r.Churn.ok() && r.Storm.ok() && r.Recovery.ok()
	return r
}

// rate returns n per second over a time in nanoseconds.
func rate(n, nanos int64) float64 {
	if nanos <= 0 || n == 0 {
		return 0
	}
	return round(float64(n) / (float64(nanos) / 1e9))
}

func ms(d time.Duration) float64 { return round(float64(d) / float64(time.Millisecond)) }

func seconds(d time.Duration) float64 { return round(d.Seconds()) }

// round keeps three decimals: microseconds where the unit is a millisecond.
func round(v float64) float64 { return math.Round(v*1000) / 1000 }

func latency(h recorder.Histogram) *Latency {
	if h.Count() == 0 {
		return nil
	}
	return &Latency{
		P50: ms(h.Quantile(0.5)), P90: ms(h.Quantile(0.9)), P99: ms(h.Quantile(0.99)),
		P999: ms(h.Quantile(0.999)), Max: ms(h.Max()),
	}
}

// curve samples the distribution evenly on an axis of log 1/(1-q), up to the
// last delivery.
func curve(h recorder.Histogram) []Quantile {
	n := float64(h.Count())
	out := []Quantile{}
	if n == 0 {
		return out
	}
	const perDecade = 20
	for i := 0; ; i++ {
		inv := math.Pow(10, float64(i)/perDecade) // 1/(1-q)
		if inv >= n {
			break
		}
		q := 1 - 1/inv
		out = append(out, Quantile{Q: q, MS: ms(h.Quantile(q))})
	}
	return append(out, Quantile{Q: 1, MS: ms(h.Max())})
}

func (r *Report) timeline(m *recorder.Messages, start int64) {
	r.Timeline = []Message{}
	r.TimelineStep = m.Step()
	var f Fanout
	f.LastMin = math.Inf(1)
	for i, s := range m.All {
		e := Message{
			Message:    i,
			OffsetS:    round(float64(s.Intended-start) / 1e9),
			P50:        ms(s.Quantile(0.5)),
			P99:        ms(s.Quantile(0.99)),
			Last:       ms(s.Last()),
			Deliveries: s.Count(),
		}
		r.Timeline = append(r.Timeline, e)
		f.P50Mean += e.P50
		f.P99Mean += e.P99
		f.LastMean += e.Last
		f.LastMin = min(f.LastMin, e.Last)
		f.LastMax = max(f.LastMax, e.Last)
	}
	n := float64(len(r.Timeline))
	if n == 0 {
		return
	}
	f.P50Mean, f.P99Mean, f.LastMean = round(f.P50Mean/n), round(f.P99Mean/n), round(f.LastMean/n)
	r.Fanout = &f
	if r.TimelineStep > 1 {
		r.Warnings = append(r.Warnings, fmt.Sprintf("fan-out times and the timeline are of every %d. message; latency, counts and rates are of all", r.TimelineStep))
	}
}

// usage enters what server and generator used, from the samples.
func (r *Report) usage(in Input) {
	r.Samples = []Sample{}
	marks := make(map[string]monitor.Sample)
	for _, s := range in.Samples {
		e := Sample{T: seconds(s.At), Mark: s.Mark, GeneratorRSS: s.Generator.RSS, GeneratorCPU: seconds(s.Generator.CPU)}
		if s.Server != nil {
			e.ServerRSS, e.ServerCPU, e.ServerFDs = s.Server.RSS, seconds(s.Server.CPU), s.Server.FDs
		}
		r.Samples = append(r.Samples, e)
		if s.Mark != "" {
			marks[s.Mark] = s
		}
	}
	before, connected := marks[MarkBefore], marks[string(coordinator.Settling)]
	idle, ok := marks[string(coordinator.Running)]
	done := marks[string(coordinator.Done)]
	if !ok { // broken off before that
		idle = done
	}
	res := in.Outcome.Result
	r.Generator = &Generator{
		Processes: in.Processes,
		Loops:     in.Loops,
		CPU:       seconds(done.Generator.CPU),
		CPURun:    seconds(done.Generator.CPU - idle.Generator.CPU),
		RSS:       idle.Generator.RSS,
		Lateness:  latency(res.Late),
		LoopLag:   latency(res.Lag),
		ReadPause: ms(time.Duration(res.Counts.Pause)),
	}
	if before.Server == nil || idle.Server == nil || done.Server == nil {
		if r.ServerWhy == "" {
			r.ServerWhy = "the server's processes could not be followed to the end"
		}
		return
	}
	var connect procfs.Usage
	if connected.Server != nil {
		connect = *connected.Server
	}
	r.Server = &Server{
		RSS:        idle.Server.RSS,
		CPU:        seconds(done.Server.CPU - before.Server.CPU),
		Processes:  idle.Server.Processes,
		RSSBefore:  before.Server.RSS,
		RSSAfter:   done.Server.RSS,
		CPUConnect: seconds(max(0, connect.CPU-before.Server.CPU)),
		CPURun:     seconds(done.Server.CPU - idle.Server.CPU),
		FDs:        idle.Server.FDs,
		Source:     in.ServerFrom,
	}
	if done.Server.User+done.Server.System > 0 {
		r.Server.Split = &Split{
			User:   seconds(done.Server.User - idle.Server.User),
			System: seconds(done.Server.System - idle.Server.System),
		}
	}
	if r.ConnsOpen > 0 {
		r.Server.RSSPerConn = round(float64(r.Server.RSS) / float64(r.ConnsOpen))
	}
	r.ServerWhy = ""
}

// MarkBefore is the mark of the sample taken before the first connection; the
// others are named after the phases that they begin.
const MarkBefore = "before"
