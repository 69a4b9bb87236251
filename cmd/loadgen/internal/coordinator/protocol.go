// Package coordinator splits a run over processes and leads them through it.
// The parent starts workers, which are the same program in another role, and
// speaks with them in JSON lines: commands to their standard input, events
// from their standard output. A worker ends when its standard input does, so
// none outlives its parent, whatever ends that.
//
//	parent    connect ─────────▶ publish ──────▶ finish ─────▶ quit
//	worker      progress… ready ◀┘   progress… sent ◀┘  result ◀┘   exits
//
// In a storm the parent also says when publish is over: with stop.
//
// One process is no special case: it is one worker.
package coordinator

import (
	"hubbub/cmd/loadgen/internal/client"
	"hubbub/cmd/loadgen/internal/plan"
)

// command is what the parent tells a worker. One field is set.
type command struct {
	Connect *connectCommand `json:"connect,omitempty"`
	Publish *publishCommand `json:"publish,omitempty"`
	Finish  *finishCommand  `json:"finish,omitempty"`
	Stop    bool            `json:"stop,omitempty"` // break off the current phase
	Quit    bool            `json:"quit,omitempty"`
}

type connectCommand struct {
	Plan  plan.Plan  `json:"plan"`
	Share plan.Share `json:"share"`
}

type publishCommand struct {
	Start int64 `json:"start"` // CLOCK_MONOTONIC, nanoseconds
}

type finishCommand struct {
	Totals    []uint32 `json:"totals"`     // messages sent, by publisher
	Deadline  int64    `json:"deadline"`   // CLOCK_MONOTONIC, nanoseconds
	FirstLoss int64    `json:"first_loss"` // of the run, likewise; 0: none
}

// event is what a worker tells the parent. One field is set.
type event struct {
	Progress *client.Progress `json:"progress,omitempty"`
	Ready    bool             `json:"ready,omitempty"`
	Sent     *sentEvent       `json:"sent,omitempty"`
	Result   *client.Result   `json:"result,omitempty"`
	Failed   string           `json:"failed,omitempty"` // the worker can't go on
}

type sentEvent struct {
	By        []client.Sent `json:"by"`
	FirstLoss int64         `json:"first_loss"` // of this worker; see client.Fleet
}
