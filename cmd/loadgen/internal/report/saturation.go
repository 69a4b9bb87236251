package report

import (
	"fmt"
	"strings"
	"time"

	"hubbub/cmd/loadgen/internal/coordinator"
)

// What counts as saturated. A share of 1 is never measured: a little idling is
// unavoidable, and the kernel accounts in steps of 10 ms.
const (
	busyShare = 0.9                    // of the processors, or of the generator's loops
	tooShort  = 100 * time.Millisecond // of activity, to tell who was busy
	lateP99   = 10 * time.Millisecond  // for messages to leave after their time
	lateRatio = 0.1                    // or this share of the median latency, if that is more
	otherMuch = 0.1                    // of the processors, for interrupts and other programs
)

// saturation judges whether the figures are the server's or the generator's.
func (r *Report) saturation(in Input) {
	var why []string
	g := r.Generator
	if g.Lateness != nil && r.Latency != nil && g.Lateness.P99 > max(ms(lateP99), lateRatio*r.Latency.P50) {
		why = append(why, fmt.Sprintf("messages left late (p99 %s)", format(g.Lateness.P99)))
	}
	defer func() {
		g.Saturated = len(why) > 0
		g.SaturatedWhy = strings.Join(why, "; ")
	}()

	m, ok := r.machine(in)
	if !ok {
		return
	}
	r.Machine = m
	g.CPUShare = m.GeneratorShare
	loops := min(in.Loops, r.Conditions.Cores)
	if busy := m.GeneratorShare * float64(r.Conditions.Cores); busy >= busyShare*float64(loops) {
		why = append(why, fmt.Sprintf("while messages were under way it kept %.1f of the %d core(s) busy that it can use", busy, loops))
	}
	if m.CPUShare < busyShare {
		return
	}
	m.Saturated = true
	m.Note = fmt.Sprintf("while messages were under way the machine had no processor time left (%d core(s): generator %.0f %%", r.Conditions.Cores, 100*m.GeneratorShare)
	if in.Local {
		m.Note += fmt.Sprintf(", server %.0f %%", 100*m.ServerShare)
		if m.GeneratorShare > m.ServerShare && m.GeneratorShare > m.OtherShare {
			why = append(why, "it took more of the saturated machine than the server did")
		}
	} else {
		why = append(why, "its machine had no processor time left")
	}
	if m.OtherShare >= otherMuch {
		m.Note += fmt.Sprintf(", interrupts and other programs %.0f %%", 100*m.OtherShare)
	}
	m.Note += "): the figures are what all of them reach together"
}

// machine computes who was how busy while messages were under way, and reports
// whether there is enough to tell.
//
// Between messages next to nothing happens, so the server's processor time over
// the run is set against the time in which messages were under way. The
// generator measures its own more finely, since it also has itself to watch.
// What other programs used is taken to be spread evenly, and so is the kernel's work in interrupts, which most kernels count
// for nobody: over loopback that is much of receiving.
func (r *Report) machine(in Input) (*Machine, bool) {
	begin, end := marked(in.Samples, coordinator.Running), marked(in.Samples, coordinator.Done)
	active := r.active(in)
	if begin == nil || end == nil || active < tooShort || !r.sends() {
		return nil, false
	}
	cores := float64(max(1, r.Conditions.Cores))
	share := func(cpu, over time.Duration) float64 {
		return min(1, max(0, cpu.Seconds())/(over.Seconds()*cores))
	}
	others := end.Busy - begin.Busy - (end.Generator.CPU - begin.Generator.CPU)
	m := &Machine{ActiveS: seconds(active)}
	m.GeneratorShare = round(share(time.Duration(in.Outcome.Result.Counts.ActiveCPU), active))
	if r.Server != nil && in.Local {
		used := end.Server.CPU - begin.Server.CPU
		others -= used
		m.ServerShare = round(share(used, active))
	}
	m.OtherShare = round(share(others, end.At-begin.At))
	m.CPUShare = round(min(1, m.GeneratorShare+m.ServerShare+m.OtherShare))
	return m, true
}

// active is how long messages were under way: in the closed model all the
// time; in the open model the union of the times from each message's intended
// time to its last delivery. Churn goes on between messages, too.
func (r *Report) active(in Input) time.Duration {
	start := in.Outcome.Start
	whole := time.Duration(in.Outcome.Result.Counts.LastArrive - start)
	if start == 0 || whole <= 0 {
		return 0
	}
	if in.Plan.Churn > 0 {
		return max(whole, in.Plan.Duration)
	}
	if !in.Plan.Open() || r.TimelineStep > 1 {
		return whole
	}
	var sum, until time.Duration
	for _, s := range in.Outcome.Result.Messages.All { // by intended time
		from := time.Duration(s.Intended - start)
		to := from + s.Last()
		sum += max(0, to-max(from, until))
		until = max(until, to)
	}
	return min(sum, whole)
}
