package main

import (
	"log/slog"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// memoryShare is the part of the memory of the control group, or of the machine,
// that all processes together should use.
const memoryShare = 0.9

// limitMemory gives this process, one of so many, its part of the memory as Go's
// limit, unless GOMEMLIMIT does: then that is each process's.
func limitMemory(processes int, log *slog.Logger) {
	share := memlimit.ApplyRatio(memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem), 1/float64(processes))
	if _, err := memlimit.Set(memlimit.WithRatio(memoryShare), memlimit.WithProvider(share)); err != nil {
		log.Warn("the memory that may be used can't be found out; set GOMEMLIMIT", "error", err)
	}
}
