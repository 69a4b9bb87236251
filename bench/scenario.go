package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	messageSize = 128 // bytes of payload
	floorName   = "floor"
)

// What scenarios are about.
const (
	idle      = "idle"      // what a connection costs
	fanOut    = "fanout"    // a message a second, to as many as one process holds
	bigFanOut = "bigfanout" // and to as many as take several
	chat      = "chat"      // as many messages as come through, to some
	echo      = "echo"      // request and reply
	latency   = "latency"   // far from saturation
	rooms     = "rooms"     // many small topics, everybody posting
	history   = "history"   // publications that are kept
	scaling   = "scaling"   // a message a second, to ever more
)

// kinds are all of them, in the order in which they are played.
var kinds = []string{idle, fanOut, bigFanOut, chat, echo, latency, rooms, history, scaling}

// length is how long runs are.
type length struct {
	settle   time.Duration // before the memory of idle connections is taken
	messages int           // of a fan-out, one a second
	seconds  int           // of everything else
}

var (
	usual = length{settle: 5 * time.Second, messages: 20, seconds: 8}
	short = length{settle: 2 * time.Second, messages: 5, seconds: 4}
)

// scenario is a load that contenders are put under in turn.
type scenario struct {
	kind, name, title string
	conns             int
	path              string   // of the endpoint
	load              []string // further flags of the load generator
	contenders        []contender
	patience          time.Duration // with each turn, beyond what is usual
}

// contender is what is measured: a server under the load generator, or the floor.
type contender struct {
	name  string
	run   func(ctx context.Context, run *Run, s *scenario) error
	lacks []string // kinds of scenarios that it can't play
}

// members are those of a topic that isn't all.
const members = 1000

// historyWindow is how many publications of one publisher are under way at a time.
const historyWindow = 4

// roomSize is the number of members of each of many topics.
const roomSize = 10

// scenarios returns what opts asks for.
func scenarios(opts options) []scenario {
	if opts.feat != "" {
		return []scenario{featScenario(opts)}
	}
	small, some := min(smallConns, opts.conns), min(members, opts.conns)
	of := opts.length
	seconds := fmt.Sprintf("%ds", of.seconds)
	everySecond := []string{"-rate", "1", "-duration", fmt.Sprintf("%ds", of.messages)}
	inRooms := max(roomSize, small/roomSize*roomSize)
	floor := contender{name: floorName, run: func(ctx context.Context, run *Run, s *scenario) error {
		return floorRun(ctx, run, s.conns, of.messages, time.Second)
	}}
	all := []scenario{
		{
			kind: idle, name: fmt.Sprintf("idle-%d", small), conns: small, path: pathTopic,
			title:      thousands(small) + " idle connections in one process",
			load:       []string{"-mode", "idle", "-settle", of.settle.String(), "-duration", "1s"},
			contenders: contenders(opts.servers),
		}, {
			kind: fanOut, name: fmt.Sprintf("fanout-%d", small), conns: small, path: pathTopic,
			title:      fmt.Sprintf("Fan-out to %s connections in one process", thousands(small)),
			load:       everySecond,
			contenders: append(contenders(opts.servers), floor),
		}, {
			kind: bigFanOut, name: fmt.Sprintf("fanout-%d", opts.conns), conns: opts.conns, path: pathTopic,
			title:      fmt.Sprintf("Fan-out to %s connections, over as many processes as it takes", thousands(opts.conns)),
			load:       everySecond,
			contenders: append(contenders(spreading(opts.servers)), floor),
		}, {
			kind: chat, name: fmt.Sprintf("chat-%d", some), conns: some, path: pathTopic,
			title:      fmt.Sprintf("%s members of one topic, 8 publishers with one message in flight each", thousands(some)),
			load:       []string{"-window", "1", "-publishers", "8", "-duration", seconds},
			contenders: contenders(opts.servers),
		}, {
			kind: echo, name: fmt.Sprintf("echo-%d", some), conns: some, path: pathEcho,
			title:      fmt.Sprintf("Echo to %s connections, one message in flight each", thousands(some)),
			load:       []string{"-mode", "echo", "-window", "1", "-duration", seconds},
			contenders: contenders(opts.servers),
		}, {
			kind: latency, name: fmt.Sprintf("latency-%d", some), conns: some, path: pathTopic,
			title:      fmt.Sprintf("%s members of one topic, 100 messages a second", thousands(some)),
			load:       []string{"-rate", "100", "-duration", seconds},
			contenders: contenders(opts.servers),
		}, {
			kind: rooms, name: fmt.Sprintf("rooms-%dx%d", inRooms/roomSize, roomSize), conns: inRooms, path: pathTopic,
			title: fmt.Sprintf("%s topics of %d, every member with one message in flight", thousands(inRooms/roomSize), roomSize),
			load: []string{"-topics", strconv.Itoa(inRooms / roomSize), "-publishers", strconv.Itoa(inRooms),
				"-window", "1", "-duration", seconds},
			contenders: contenders(opts.servers),
		}, {
			kind: history, name: fmt.Sprintf("history-%d", some), conns: some, path: pathChannels,
			title: fmt.Sprintf("%s channels with a publisher each, %d publications in flight, all kept and acknowledged; and not kept", thousands(some), historyWindow),
			load: []string{"-topics", strconv.Itoa(some), "-publishers", strconv.Itoa(some),
				"-window", strconv.Itoa(historyWindow), "-duration", seconds},
			contenders: contenders([]server{keptChannels, channels}),
		},
	}
	all = append(all, scalingScenario(opts))
	var chosen []scenario
	for _, s := range all {
		if opts.wants(s.kind) && !(s.kind == bigFanOut && opts.conns == small) {
			s.contenders = slices.DeleteFunc(s.contenders, func(c contender) bool { return slices.Contains(c.lacks, s.kind) })
			chosen = append(chosen, s)
		}
	}
	return chosen
}

// contenders returns the servers as such.
func contenders(servers []server) []contender {
	var all []contender
	for _, s := range servers {
		all = append(all, contender{s.name, s.under, s.lacks})
	}
	return all
}

// play gives every contender its turn, round after round.
func (s *scenario) play(ctx context.Context, rounds int) Played {
	played := Played{Kind: s.kind, Name: s.name, Title: s.title, Conns: s.conns}
	for round := 1; round <= rounds; round++ {
		for _, c := range s.contenders {
			if ctx.Err() != nil {
				return played
			}
			run := Run{Scenario: s.name, System: c.name, Round: round}
			if err := s.turn(ctx, c, &run); err != nil {
				run.Error = strings.ReplaceAll(err.Error(), "\n", "; ") // joined errors have a line each
			}
			progress(s.kind, run)
			played.Runs = append(played.Runs, run)
		}
	}
	return played
}

// turn runs one contender, for a bounded time.
func (s *scenario) turn(ctx context.Context, c contender, run *Run) error {
	// What connecting may take at 2,000/s, and a minute and a half for everything else.
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second+time.Duration(s.conns/2)*time.Millisecond+s.patience)
	defer cancel()
	return c.run(ctx, run, s)
}

// progress tells whoever waits how a run of a kind went.
func progress(kind string, run Run) {
	line := fmt.Sprintf("%s, round %d, %s:", run.Scenario, run.Round, run.System)
	for _, c := range columnsOf(kind) {
		if v := c.of(run.Measured); v != 0 && c.progress {
			line += fmt.Sprintf(" %s %s,", c.title, decimal(v, c.digits))
		}
	}
	line = strings.TrimRight(line, ",:")
	if fault := run.Fault(); fault != "" {
		line += " FAILED: " + fault
	}
	fmt.Fprintln(os.Stderr, line)
}

// floorReport is what the floor prints.
type floorReport struct {
	ConnectPerS float64 `json:"connect_per_s"`
	CPUS        float64 `json:"cpu_s"`
	WritersCPUS float64 `json:"writers_cpu_s"`
	Rounds      int64   `json:"rounds"`
	Last        struct {
		Mean float64 `json:"mean"`
	} `json:"last_ms"`
}

// floorRun measures the floor, with as much time from one message to the next as the others have. Its
// writers stand where those have their server.
func floorRun(ctx context.Context, run *Run, conns, messages int, pace time.Duration, more ...string) error {
	args := []string{"-conns", strconv.Itoa(conns), "-size", strconv.Itoa(messageSize), "-rounds", strconv.Itoa(messages), "-pace", pace.String()}
	output, err := runProgram(ctx, run, "floor", append(args, more...)...)
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
		ServerCPUS:    floor.WritersCPUS,
		GeneratorCPUS: floor.CPUS - floor.WritersCPUS,
		Messages:      floor.Rounds,
		Deliveries:    floor.Rounds * int64(conns),
	}
	return nil
}
