package plan

import (
	"math"
	"time"

	"hubbub/cmd/loadgen/internal/pacer"
)

// A churned connection comes and goes beside the plan's own. The server is to
// close first (RFC 6455 section 7.1.1), which leaves TIME_WAIT on its side and
// the port here free at once. One that doesn't is left by closing first after
// a while, and then it is this side's port that stays taken.

// timeWait is how long a closed connection keeps its port on the side that
// closed first (TCP_TIMEWAIT_LEN of Linux).
const timeWait = 60 * time.Second

// maxChurned bounds the churned connections that a process has at a time. A
// handshake and a goodbye take milliseconds; where they take longer, those that
// are due wait, and that counts.
const maxChurned = 1024

// Churned is the schedule of the churned connections, of all processes together.
func (p *Plan) Churned() pacer.Pacer {
	return pacer.Pacer{Rate: p.Churn, Total: pacer.Count(p.Churn, p.Duration)}
}

// ChurnedBy is the schedule of those that one process has to open: number
// Index, Index+Of and so on of the run. It begins a while after the run's.
func (p *Plan) ChurnedBy(s Share) (schedule pacer.Pacer, after time.Duration) {
	whole := p.Churned()
	return pacer.Pacer{
		Rate:  whole.Rate / float64(s.Of),
		Total: max(0, whole.Total-s.Index+s.Of-1) / s.Of,
	}, whole.At(s.Index)
}

// ChurnedAtOnce returns how many churned connections a process has at a time at
// most.
func (p *Plan) ChurnedAtOnce() int { return min(p.Churned().Total, maxChurned) }

// Lingering returns for how many connections, at most, TIME_WAIT keeps a port
// taken at a time: in a storm for as many as there are, with churn for those of
// the last minute; none as long as the server closes first.
func (p *Plan) Lingering() int {
	if p.Mode == Storm {
		return p.Conns
	}
	return min(p.Churned().Total, int(math.Ceil(p.Churn*timeWait.Seconds())))
}
