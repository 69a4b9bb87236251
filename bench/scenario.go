package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	messages    = 20  // of a fan-out, one a second
	messageSize = 128 // bytes of payload
	floorName   = "floor"
)

// scenario is a load that contenders are put under in turn.
type scenario struct {
	name, title string
	conns       int
	contenders  []contender
}

// contender is what is measured: a server under the load generator, or the floor.
type contender struct {
	name string
	run  func(ctx context.Context, run *Run, conns int) error
}

// scenarios returns what is played: memory and fan-out at a size that one process can hold, and
// fan-out at the size that takes several, where a process of the peer's can't follow. The fan-outs
// are one where conns isn't more than what one process holds.
func scenarios(conns int) []scenario {
	small := min(smallConns, conns)
	floor := contender{floorName, floorRun}
	all := []scenario{
		{
			fmt.Sprintf("idle-%d", small), fmt.Sprintf("%s idle connections in one process", thousands(small)), small,
			[]contender{{hubbub.name, hubbub.idle}, {gorilla.name, gorilla.idle}},
		},
		{
			fmt.Sprintf("fanout-%d", small), fmt.Sprintf("Fan-out to %s connections in one process", thousands(small)), small,
			[]contender{{hubbub.name, hubbub.fanOut}, {gorilla.name, gorilla.fanOut}, floor},
		},
	}
	if conns > small {
		all = append(all, scenario{
			fmt.Sprintf("fanout-%d", conns), fmt.Sprintf("Fan-out to %s connections, over as many processes as it takes", thousands(conns)), conns,
			[]contender{{hubbub.name, hubbub.fanOut}, floor},
		})
	}
	return all
}

// play gives every contender its turn, round after round.
func (s scenario) play(ctx context.Context, rounds int) Played {
	played := Played{Name: s.name, Title: s.title, Conns: s.conns}
	for round := 1; round <= rounds; round++ {
		for _, c := range s.contenders {
			if ctx.Err() != nil {
				return played
			}
			run := Run{Scenario: s.name, System: c.name, Round: round}
			if err := s.turn(ctx, c, &run); err != nil {
				run.Error = strings.ReplaceAll(err.Error(), "\n", "; ") // joined errors have a line each
			}
			progress(run)
			played.Runs = append(played.Runs, run)
		}
	}
	return played
}

// turn runs one contender, for a bounded time.
func (s scenario) turn(ctx context.Context, c contender, run *Run) error {
	// What connecting may take at 2,000/s, and a minute and a half for everything else.
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second+time.Duration(s.conns/2)*time.Millisecond)
	defer cancel()
	return c.run(ctx, run, s.conns)
}

// progress tells whoever waits how a run went.
func progress(run Run) {
	m := run.Measured
	line := fmt.Sprintf("%s, round %d, %s:", run.Scenario, run.Round, run.System)
	if m.ConnectPerS > 0 {
		line += fmt.Sprintf(" %.0f connections/s", m.ConnectPerS)
	}
	if m.LastMS > 0 {
		line += fmt.Sprintf(", last delivery %.0f ms", m.LastMS)
	}
	if m.BytesPerIdle > 0 {
		line += fmt.Sprintf(", %.0f B per idle connection", m.BytesPerIdle)
	}
	if fault := run.Fault(); fault != "" {
		line += " FAILED: " + fault
	}
	fmt.Fprintln(os.Stderr, line)
}

// floorReport is what the floor prints.
type floorReport struct {
	ConnectPerS float64 `json:"connect_per_s"`
	CPUS        float64 `json:"cpu_s"`
	Rounds      int64   `json:"rounds"`
	Last        struct {
		Mean float64 `json:"mean"`
	} `json:"last_ms"`
}

// floorRun measures the floor. Its two ends are counted as one: there is no server in it.
func floorRun(ctx context.Context, run *Run, conns int) error {
	output, err := runProgram(ctx, run, "floor", "-conns", strconv.Itoa(conns), "-size", strconv.Itoa(messageSize), "-rounds", strconv.Itoa(messages))
	if err != nil {
		return err
	}
	var floor floorReport
	if err := json.Unmarshal(output, &floor); err != nil {
		return fmt.Errorf("reading the floor's report: %w", err)
	}
	run.Raw = output
	run.Measured = Measured{
		ConnectPerS:   floor.ConnectPerS,
		LastMS:        floor.Last.Mean,
		GeneratorCPUS: floor.CPUS,
		Messages:      floor.Rounds,
	}
	return nil
}
