package main

import (
	"fmt"
	"runtime"
	"time"

	"hubbub/cmd/loadgen/internal/plan"
	"hubbub/cmd/loadgen/internal/procfs"
	"hubbub/cmd/loadgen/internal/report"
)

// version and commit are set by the linker.
var (
	version = "devel"
	commit  = "unknown commit"
)

// conditions describes the circumstances of the run.
func (o *options) conditions(args []string) report.Conditions {
	p := &o.plan
	_, memory, _ := procfs.Default.MemAvailable() // zero where it can't be had
	c := report.Conditions{
		Version:  version,
		Commit:   commit,
		Go:       runtime.Version(),
		Kernel:   procfs.Default.Kernel(),
		CPU:      procfs.Default.CPUModel(),
		Cores:    runtime.NumCPU(),
		Memory:   memory,
		Command:  args,
		Started:  time.Now().UTC().Truncate(time.Second),
		URL:      o.url,
		Sources:  p.Sources.Len(),
		Protocol: string(p.Protocol),
		Run:      p.RunName(),
		Size:     p.Size,
		Topics:   p.Topics,
		Senders:  p.Publishers,
	}
	switch {
	case p.Mode == plan.Idle:
		c.Model = "idle: nothing is sent"
	case p.Mode == plan.Storm:
		c.Model = "storm: nothing is sent; who is lost tries again at once, then with back-off"
	case p.Mode == plan.Echo:
		c.Senders = p.Conns
		c.Model = fmt.Sprintf("closed: each connection keeps %d in flight; latency counts from the actual send", p.Window)
	case p.Open():
		c.Model = fmt.Sprintf("open: %v messages per second on schedule; latency counts from the intended send", p.Rate)
	default:
		c.Model = fmt.Sprintf("closed: each publisher keeps %d in flight; latency counts from the actual send", p.Window)
	}
	return c
}
