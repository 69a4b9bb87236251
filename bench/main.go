// Bench measures the server next to others in one run: the floor, which is what the kernel alone
// takes (bench/floor), servers on other libraries (bench/peers), and with -server any other one. All
// of them are real processes, loaded over loopback by the load generator.
//
// It is for whoever changes the server or doubts its figures: `make bench` builds everything, runs
// it and writes a report, as a page and as Markdown, with the conditions, every command and the raw results
// under bench/results. With -hostile (make bench-hostile) it measures instead what becomes of everybody
// when a fifth of the peers misbehave (bench/hostile). A scenario is played in rounds, contender after
// contender within each round, so that what else the machine does meets all of them alike; ratios are
// taken round by round. A few scenarios (make bench-tail and those after it, feats.go) are hubbub's alone.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"hubbub/internal/realtime"
)

const (
	quickConns = 4_000
	smallConns = 16_000  // what one process can hold where descriptors are limited to 20,000
	bigConns   = 100_000 // what the server is for
)

// options is what the command line asks for.
type options struct {
	conns     int
	rounds    int
	out       string
	length    length
	servers   []server // hubbub and those that it is compared with
	scenarios []string // kinds of them; nil for all
	realtime  bool     // whether the kernel permits real-time scheduling
	benchmark bool     // whether to run the benchmarks in Go
	feat      string   // the one that is played, alone; empty for none

	hostile bool
	kinds   string // of hostile peers, separated by commas; empty for all
}

// wants reports whether a kind of scenario is to be played.
func (o options) wants(kind string) bool {
	return o.scenarios == nil || slices.Contains(o.scenarios, kind)
}

// folder returns where the results go. A feat's have a folder of their own in there.
func (o options) folder(c Conditions) string {
	if o.out != "" {
		return o.out
	}
	return filepath.Join("bench", "results", c.Date+"-"+c.Commit, o.feat)
}

func main() {
	// Children are sent a signal when the thread that started them ends, so that none stays if this
	// program is killed; the main thread ends with the process only.
	runtime.LockOSThread()

	opts, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	play := run
	if opts.hostile {
		play = runHostile
	}
	ok, err := play(ctx, opts)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	opts := options{length: usual, servers: []server{hubbub}, benchmark: true}
	var against, command, played string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.IntVar(&opts.conns, "conns", bigConns, "connections of the big scenario; the small one has 16000, or as many if that is less")
	flags.IntVar(&opts.rounds, "rounds", 5, "how often each contender plays each scenario")
	quick := flags.Bool("quick", false, "one short round at 4000 connections against gorilla and the floor, in less than two minutes: to see what a change did")
	flags.StringVar(&against, "against", strings.Join(peers, ","), "`peers` to compare with, separated by commas, of which channels are hubbub's own; none for the floor alone")
	flags.StringVar(&command, "server", "", "compare with a server of your own too: the `command` that starts it, with {addr} for the address to listen on, and NAME= before it if it is to have a name; it has to relay on /ws?topic=… and to answer on /echo")
	flags.StringVar(&played, "scenarios", strings.Join(kinds, ","), "`kinds` of scenarios to play, separated by commas; or one of "+featKinds()+", which hubbub plays alone")
	flags.StringVar(&opts.out, "out", "", "`folder` for the results (default bench/results/<date>-<commit>)")
	flags.BoolVar(&opts.hostile, "hostile", false, "instead: fan-out while a fifth of 16000 connections, or of as many if that is less, misbehave")
	flags.StringVar(&opts.kinds, "kinds", "", "with -hostile: `kinds`, separated by commas (default: all of hostile -list)")
	if err := flags.Parse(args); err != nil {
		return opts, err
	}
	given := make(map[string]bool)
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if err := opts.alone(played, given); err != nil {
		return opts, err
	}
	if *quick {
		opts.length, opts.benchmark = short, false
		quickly := map[string]func(){
			"rounds":  func() { opts.rounds = 1 },
			"conns":   func() { opts.conns = quickConns },
			"against": func() { against = gorilla },
			"out":     func() { opts.out = filepath.Join(binaries, "bench-quick") },
		}
		for name, set := range quickly {
			if !given[name] {
				set()
			}
		}
	}
	programs := []string{"server", "loadgen", "floor"}
	for name := range strings.SplitSeq(against, ",") {
		switch {
		case opts.feat != "":
		case name == "none" || name == "":
		case !slices.Contains(peers, name):
			return opts, fmt.Errorf("-against: there is no %q; there are %s", name, strings.Join(peers, ", "))
		default:
			opts.servers = append(opts.servers, peer(name))
			if name != channels.name {
				programs = append(programs, name)
			}
		}
	}
	if command != "" {
		s, err := guest(command)
		if err != nil {
			return opts, err
		}
		opts.servers = append(opts.servers, s)
	}
	for kind := range strings.SplitSeq(played, ",") {
		if kind != opts.feat && !slices.Contains(kinds, kind) {
			return opts, fmt.Errorf("-scenarios: there is no %q; there are %s, and, each alone, %s", kind, strings.Join(kinds, ", "), featKinds())
		}
		opts.scenarios = append(opts.scenarios, kind)
	}
	switch {
	case flags.NArg() > 0:
		return opts, errors.New("takes flags only; see -help")
	case opts.conns < 1 || opts.rounds < 1:
		return opts, errors.New("-conns and -rounds must be 1 or more")
	case opts.hostile && opts.conns < hostileShare:
		return opts, fmt.Errorf("-hostile takes -conns %d or more", hostileShare)
	case opts.kinds != "" && !opts.hostile:
		return opts, errors.New("-kinds goes with -hostile")
	}
	switch {
	case opts.hostile:
		programs = []string{"server", "loadgen", "hostile"}
	case opts.feat != "":
		programs = []string{"server", "loadgen"}
	}
	for _, name := range programs {
		if _, err := os.Stat(program(name)); errors.Is(err, fs.ErrNotExist) {
			return opts, fmt.Errorf("no %s/%s here: run make bench or make bench-hostile, in the module's root", binaries, name)
		}
	}
	return opts, nil
}

// run measures, writes the results, and reports whether every message of every run arrived as it
// should.
func run(ctx context.Context, opts options) (bool, error) {
	results := &Results{Conditions: conditions(time.Now()), Rounds: opts.rounds}
	opts.out = opts.folder(results.Conditions)
	if opts.benchmark {
		var err error
		if results.Benchmarks, err = goBenchmarks(ctx); err != nil {
			return false, err
		}
	}
	if opts.feat == tailLatency {
		refused := realtime.Permitted()
		if refused != nil {
			fmt.Fprintf(os.Stderr, "%s is left out: %v\n", realtimeName, refused)
		}
		opts.realtime = refused == nil
	}
	for _, s := range scenarios(opts) {
		results.Scenarios = append(results.Scenarios, s.play(ctx, opts.rounds))
		if err := ctx.Err(); err != nil {
			return false, fmt.Errorf("broken off, nothing is written: %w", err)
		}
	}
	results.Figures = figures(results)
	if err := results.write(opts.out); err != nil {
		return false, err
	}
	printFigures(os.Stdout, results.Figures)
	fmt.Println("report:", filepath.Join(opts.out, "report.html"), "(and report.md)")
	faulty := results.faulty()
	for _, run := range faulty {
		fmt.Fprintf(os.Stderr, "bench: %s, %s, round %d: %s\n", run.Scenario, run.System, run.Round, run.Fault())
	}
	return len(faulty) == 0, nil
}
