package coordinator

import (
	"slices"
	"time"

	"hubbub/cmd/loadgen/internal/client"
)

// stormCalm is how long all connections have to stay open after a loss for the
// storm to be over. It is longer than a loss takes to be heard of here.
const stormCalm = time.Second

// storm waits until all connections that were lost are back, or the timeout has
// passed since the first loss, or none was lost for the whole duration; and has
// the workers end their part.
func (r *run) storm() {
	losses, calm := 0, int64(0) // since when nothing is amiss, CLOCK_MONOTONIC
	for r.late == nil && slices.ContainsFunc(r.kids, func(c *child) bool { return !c.gone }) {
		var p client.Progress
		for _, c := range r.kids {
			if !c.gone {
				p.Add(c.last)
			}
		}
		now := r.Clock.Now()
		if p.Away > 0 || p.Losses != losses {
			losses, calm = p.Losses, now
		}
		end := r.out.Start + int64(r.Plan.Duration)
		if p.FirstLoss != 0 {
			end = p.FirstLoss + int64(r.Plan.Timeout)
			if p.Away == 0 {
				end = min(end, calm+int64(stormCalm))
			}
		}
		if now >= end {
			break
		}
		t := time.NewTimer(time.Duration(end - now))
		r.next(t.C)
		t.Stop()
	}
	r.tell(func(*child) command { return command{Stop: true} })
}
