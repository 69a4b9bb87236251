// Bench measures the server next to two references in one run: the floor, which is what the kernel
// alone takes (bench/floor), and a hub with goroutines per connection on gorilla/websocket
// (bench/peers). All of them are real processes, loaded over loopback by the load generator.
//
// It is for whoever changes the server or doubts its figures: `make bench` builds everything, runs
// it and writes a report with the conditions, every command and the raw results under
// bench/results. With -hostile (make bench-hostile) it measures instead what becomes of everybody
// when a fifth of the peers misbehave (bench/hostile). A scenario is played in rounds, contender after contender within each round, so
// that what else the machine does meets all of them alike; ratios are taken round by round.
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
	"syscall"
	"time"
)

const (
	smallConns = 16_000  // what one process can hold where descriptors are limited to 20,000
	bigConns   = 100_000 // what the server is for
)

// options is what the command line asks for.
type options struct {
	conns  int
	rounds int
	out    string

	hostile bool
	kinds   string // of hostile peers, separated by commas; empty for all
}

// folder returns where the results go.
func (o options) folder(c Conditions) string {
	if o.out != "" {
		return o.out
	}
	return filepath.Join("bench", "results", c.Date+"-"+c.Commit)
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
	var opts options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.IntVar(&opts.conns, "conns", bigConns, "connections of the big scenario; the small one has 16000, or as many if that is less")
	flags.IntVar(&opts.rounds, "rounds", 3, "how often each contender plays each scenario")
	full := flags.Bool("full", false, "five rounds instead of three, for narrower ranges")
	flags.StringVar(&opts.out, "out", "", "`folder` for the results (default bench/results/<date>-<commit>)")
	flags.BoolVar(&opts.hostile, "hostile", false, "instead: fan-out while a fifth of 16000 connections, or of as many if that is less, misbehave")
	flags.StringVar(&opts.kinds, "kinds", "", "with -hostile: `kinds`, separated by commas (default: all of hostile -list)")
	if err := flags.Parse(args); err != nil {
		return opts, err
	}
	if *full {
		opts.rounds = 5
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
	programs := []string{"server", "loadgen", "floor", "gorilla"}
	if opts.hostile {
		programs = []string{"server", "loadgen", "hostile"}
	}
	for _, name := range programs {
		if _, err := os.Stat(filepath.Join(binaries, name)); errors.Is(err, fs.ErrNotExist) {
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
	var err error
	if results.Benchmarks, err = goBenchmarks(ctx); err != nil {
		return false, err
	}
	for _, s := range scenarios(opts.conns) {
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
	fmt.Println("report:", filepath.Join(opts.out, "report.md"))
	faulty := results.faulty()
	for _, run := range faulty {
		fmt.Fprintf(os.Stderr, "bench: %s, %s, round %d: %s\n", run.Scenario, run.System, run.Round, run.Fault())
	}
	return len(faulty) == 0, nil
}
