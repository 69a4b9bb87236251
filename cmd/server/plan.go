package main

import (
	"fmt"

	"hubbub"
)

// processes says over how many processes the connections are spread.
type processes struct {
	workers  int
	perConns int // connections to a worker
	why      string
}

// plan chooses the number of processes for maxConns connections where a process
// may hold limit descriptors. workers is what was asked for, 0 for as many as it
// takes.
func plan(maxConns, workers, limit int) (processes, error) {
	room := limit - hubbub.ReservedDescriptors
	if room < 1 {
		return processes{}, fmt.Errorf("a process may open only %d files here: raise the limit (ulimit -n, LimitNOFILE) to at least %d", limit, hubbub.ReservedDescriptors+1)
	}
	need := (maxConns + room - 1) / room
	n := workers
	if n == 0 {
		n = need
	}
	if n < need {
		return processes{}, fmt.Errorf("-workers %d can hold %d connections of -max-conns %d: a process may open %d files here; use -workers %d or 0, or raise the limit (ulimit -n, LimitNOFILE)", n, n*room, maxConns, limit, need)
	}
	p := processes{workers: n, perConns: (maxConns + n - 1) / n}
	switch {
	case n == 1:
		p.why = fmt.Sprintf("one process: it may hold %d connections (limit of %d open files)", room, limit)
	case workers == 0:
		p.why = fmt.Sprintf("%d workers of %d connections: a process may hold %d (limit of %d open files)", n, p.perConns, room, limit)
	default:
		p.why = fmt.Sprintf("%d workers of %d connections, as asked for", n, p.perConns)
	}
	return p, nil
}
