package client

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"hubbub/cmd/loadgen/internal/clock"
)

// probeEvery is the resolution of the probe.
const probeEvery = 20 * time.Millisecond

// probe watches the load generator itself: how long its loops take to notice
// that there is something to do, which is what a message may wait before it is
// read and timed, and how much processor time goes into messages, without what
// the process uses while there are none.
type probe struct {
	work atomic.Int64  // messages sent and received and connections churned, as the loops last said
	cpu  time.Duration // used in the intervals in which work went on
}

func (p *probe) run(ctx context.Context, lanes []*lane, clk clock.Clock) {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	seen := make([]int64, len(lanes)) // each owned by its lane's loop
	work, cpu := int64(0), processTime()
	for {
		now := clk.Now()
		for i, l := range lanes {
			l.loop.Post(task(func() {
				l.lag.Record(clk.Now() - now)
				done := l.count.Sent + l.count.Delivered + int64(l.count.ChurnOpened)
				p.work.Add(done - seen[i])
				seen[i] = done
			}))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		nowWork, nowCPU := p.work.Load(), processTime()
		if nowWork > work {
			p.cpu += nowCPU - cpu
		}
		work, cpu = nowWork, nowCPU
	}
}

// processTime returns the processor time that this process has used.
func processTime() time.Duration {
	var ru unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &ru) != nil { // can't fail for ourselves
		return 0
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}
