package report

import (
	"time"

	"hubbub/cmd/loadgen/internal/coordinator"
	"hubbub/cmd/loadgen/internal/monitor"
)

// Recovery is what connections got, as they subscribed, of what was published
// before there were any.
type Recovery struct {
	Messages int `json:"messages"` // that each was to get
	All      int `json:"all"`      // how often one got all of them; more than once where it came back
	Short    int `json:"short"`    // how often one got something else, and was refused

	// AllReady is the time from the first attempt to connect until every connection
	// was connected, subscribed, and had recovered; 0 if that wasn't reached.
	AllReady float64 `json:"all_ready_s"`
	// Of the machine's processors, until then.
	GeneratorShare float64 `json:"generator_cpu_share"`
	ServerShare    float64 `json:"server_cpu_share"` // 0 if it isn't known, or runs elsewhere
}

func newRecovery(in Input) *Recovery {
	c := in.Outcome.Result.Counts
	r := &Recovery{Messages: in.Plan.Recover, All: c.Recovered, Short: c.Short}
	if c.Opened == in.Plan.Conns {
		r.AllReady = seconds(time.Duration(c.LastOpen - c.FirstDial))
	}
	begin, end := marked(in.Samples, coordinator.Connecting), marked(in.Samples, coordinator.Settling)
	if begin == nil || end == nil {
		return r
	}
	share := func(cpu time.Duration) float64 {
		return round(cpu.Seconds() / max(1e-3, (end.At-begin.At).Seconds()*float64(max(1, in.Conditions.Cores))))
	}
	r.GeneratorShare = share(end.Generator.CPU - begin.Generator.CPU)
	if begin.Server != nil && end.Server != nil && in.Local {
		r.ServerShare = share(end.Server.CPU - begin.Server.CPU)
	}
	return r
}

// marked returns the sample that was taken when a phase began; nil if there is
// none.
func marked(samples []monitor.Sample, phase coordinator.Phase) *monitor.Sample {
	for i := range samples {
		if samples[i].Mark == string(phase) {
			return &samples[i]
		}
	}
	return nil
}

// ok reports whether nobody got anything but what was there; so it is where
// nobody asked.
func (r *Recovery) ok() bool { return r == nil || r.Short == 0 }
