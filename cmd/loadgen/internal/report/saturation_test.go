package report

import (
	"strings"
	"testing"
	"time"

	"hubbub/cmd/loadgen/internal/client"
	"hubbub/cmd/loadgen/internal/procfs"
)

func TestSaturation(t *testing.T) {
	for _, tt := range []struct {
		name               string
		server, own, busy  time.Duration // used while the run lasted
		late               int64         // nanoseconds
		away               bool          // the server is elsewhere
		machine, generator bool
		why, note          string
	}{
		{name: "idle"},
		{name: "server busy", server: 1200 * time.Millisecond, own: 200 * time.Millisecond, busy: 1500 * time.Millisecond},
		{name: "both busy, server more", server: 1200 * time.Millisecond, own: 900 * time.Millisecond, busy: 2100 * time.Millisecond,
			machine: true, note: "generator 41 %, server 55 %): the figures"},
		{name: "both busy, generator more", server: 900 * time.Millisecond, own: 1200 * time.Millisecond, busy: 2100 * time.Millisecond,
			machine: true, generator: true, why: "more of the saturated machine"},
		{name: "generator alone", own: 2100 * time.Millisecond, busy: 2100 * time.Millisecond, server: 10 * time.Millisecond,
			machine: true, generator: true, why: "kept 1.9 of the 2 core(s) busy"},
		{name: "others", server: 100 * time.Millisecond, own: 100 * time.Millisecond, busy: 18 * time.Second,
			machine: true, note: "interrupts and other programs 94 %"},
		{name: "server elsewhere", own: 2100 * time.Millisecond, busy: 2100 * time.Millisecond, away: true,
			machine: true, generator: true, why: "its machine had no processor time left"},
		{name: "late", late: 20e6, generator: true, why: "messages left late (p99 20.0 ms)"},
		{name: "hardly late", late: 9e6},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := fanout()
			in.Outcome.Result.Counts.ActiveCPU = int64(tt.own)
			in.Outcome.Result.Late.Record(tt.late)
			for i := range in.Samples {
				s := &in.Samples[i]
				s.Busy = 0
				s.Generator.CPU = 0
				s.Server = &procfs.Usage{Processes: 1}
				if s.Mark == "done" {
					s.Busy, s.Generator.CPU, s.Server.CPU = tt.busy, tt.own, tt.server
				}
			}
			if tt.away {
				in.Local = false
			}
			r := Build(in)
			if r.Machine.Saturated != tt.machine || r.Generator.Saturated != tt.generator {
				t.Errorf("machine saturated %v, generator %v; want %v, %v: %+v", r.Machine.Saturated, r.Generator.Saturated, tt.machine, tt.generator, r.Machine)
			}
			if !strings.Contains(r.Generator.SaturatedWhy, tt.why) || (tt.why == "") != (r.Generator.SaturatedWhy == "") {
				t.Errorf("why %q, want %q", r.Generator.SaturatedWhy, tt.why)
			}
			if !strings.Contains(r.Machine.Note, tt.note) {
				t.Errorf("note %q, want %q", r.Machine.Note, tt.note)
			}
		})
	}
}

// Fan-outs that overlap count once.
func TestActive(t *testing.T) {
	for _, tt := range []struct {
		name   string
		every  time.Duration // between messages, of 100 ms each
		n      int
		window int
		churn  float64
		want   time.Duration
	}{
		{"apart", time.Second, 10, 0, 0, time.Second},
		{"touching", 100 * time.Millisecond, 10, 0, 0, time.Second},
		{"in overlapping pairs", 0, 10, 0, 0, 5 * 140 * time.Millisecond},
		{"thinned out: all the time", 10 * time.Millisecond, 3000, 0, 0, 30*time.Second + 90*time.Millisecond},
		{"closed model: all the time", time.Second, 10, 1, 0, 9100 * time.Millisecond},
		{"churn: all the time", time.Second, 10, 0, 5, 10 * time.Second},
	} {
		in := fanout()
		in.Plan.Window = tt.window
		in.Plan.Churn = tt.churn
		res := client.NewResult()
		for i := range tt.n {
			at := start + int64(i)*int64(tt.every)
			if tt.every == 0 { // 40 ms apart, and then a second
				at = start + int64(i/2)*int64(time.Second) + int64(i%2)*int64(40*time.Millisecond)
			}
			res.Messages.Record(i, at, int64(100*time.Millisecond))
			res.Counts.LastArrive = at + int64(100*time.Millisecond)
		}
		in.Outcome.Result = res
		r := Build(in)
		if got := r.active(in); got != tt.want {
			t.Errorf("%s: active for %v, want %v", tt.name, got, tt.want)
		}
	}
}
