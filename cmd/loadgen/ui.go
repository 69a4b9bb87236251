package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"hubbub/cmd/loadgen/internal/client"
	"hubbub/cmd/loadgen/internal/coordinator"
	"hubbub/cmd/loadgen/internal/plan"
)

// ui shows how far a run is: a live line on a terminal, elsewhere one line per
// phase.
type ui struct {
	w    io.Writer
	live bool
	plan *plan.Plan
	bar  *progressbar.ProgressBar
	from time.Time // of the phase
}

func newUI(w io.Writer) *ui {
	f, ok := w.(*os.File)
	return &ui{w: w, live: ok && term.IsTerminal(int(f.Fd()))}
}

func (u *ui) note(format string, args ...any) {
	fmt.Fprintf(u.w, "loadgen: "+format+"\n", args...)
}

func (u *ui) begin(p *plan.Plan, processes int) {
	u.plan = p
	u.note("%d connections to %s from %d process(es) and %d source address(es)",
		p.Conns, p.Addr, processes, max(1, p.Sources.Len()))
}

// phase begins a phase. On a terminal each has a length, in connections or in
// milliseconds: a bar without one would keep spinning by itself.
func (u *ui) phase(ph coordinator.Phase) {
	u.end()
	u.from = time.Now()
	var text string
	var length int
	switch ph {
	case coordinator.Connecting:
		text, length = "connecting", u.plan.Conns
	case coordinator.Settling:
		text = fmt.Sprintf("waiting %s before the first message", u.plan.Settle)
		length = int(u.plan.Settle / time.Millisecond)
	case coordinator.Running:
		text = "publishing for " + u.plan.Duration.String()
		switch u.plan.Mode {
		case plan.Idle:
			text = "holding for " + u.plan.Duration.String()
		case plan.Storm:
			text = "waiting for the server to go away, up to " + u.plan.Duration.String()
		}
		length = int(u.plan.Duration / time.Millisecond)
	case coordinator.Finishing:
		text = "waiting for the last deliveries"
		if !u.plan.Mode.Sends() {
			text = "closing the account"
		}
		length = int(u.plan.Timeout / time.Millisecond)
	case coordinator.Done:
		text = "closing"
	}
	switch {
	case !u.live:
		fmt.Fprintln(u.w, "loadgen:", text)
	case length > 0:
		u.bar = progressbar.NewOptions(length,
			progressbar.OptionSetWriter(u.w),
			progressbar.OptionSetDescription(text),
			progressbar.OptionSetWidth(24),
			progressbar.OptionSetPredictTime(false),
			progressbar.OptionSetElapsedTime(true),
			progressbar.OptionClearOnFinish(),
			progressbar.OptionSetRenderBlankState(true),
		)
	}
}

// progress shows how far the phase is.
func (u *ui) progress(ph coordinator.Phase, p client.Progress) {
	if u.bar == nil {
		return
	}
	text := fmt.Sprintf("%s: %d open, %d failed", ph, p.Open, p.Failed)
	if p.Lost > 0 {
		text += fmt.Sprintf(", %d lost", p.Lost)
	}
	if p.Losses > 0 {
		text += fmt.Sprintf(", %d lost and not back", p.Away)
	}
	if p.Sent > 0 {
		text += fmt.Sprintf("; %d sent, %d delivered", p.Sent, p.Delivered)
	}
	u.bar.Describe(text)
	step := int(time.Since(u.from) / time.Millisecond)
	if ph == coordinator.Connecting {
		step = p.Open + p.Failed
	}
	// Short of the end: a bar that is full clears itself.
	_ = u.bar.Set(min(step, u.bar.GetMax()-1)) // a terminal that is gone shows nothing
}

// end clears the live line.
func (u *ui) end() {
	if u.bar != nil {
		_ = u.bar.Clear() // likewise
		u.bar = nil
	}
}
