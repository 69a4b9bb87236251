// Command server is the hubbub WebSocket server: /ws relays what is sent to a
// topic to everyone who is on it, /echo sends it back, /chat is a chat for plain WebSocket clients, / is a
// chat page.
//
// Where the connections it is asked to hold are more than one process may have
// descriptors, it starts workers and supervises them (supervisor.go). Otherwise
// it serves by itself (single.go).
package main

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"hubbub"
	"hubbub/internal/timerslack"
)

// version and commit are set by the linker.
var (
	version = "devel"
	commit  = ""
)

// aloneSlack is how late the threads of a server without workers may wake up from short
// sleeps (internal/timerslack): no message waits for one. With the kernel's own 50 µs
// the Go runtime's monitor took 5 % of a processor while connections came; with 4 ms
// the slowest messages of a light load were slower (bench/NOTES.md). A supervisor has
// none: all messages between workers pass through it.
const aloneSlack = 2 * time.Millisecond

// usageError is a mistake of whoever started the program, or a machine that
// isn't fit: one line, exit code 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	err := serve(args)
	var usage usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &usage):
		fmt.Fprintf(os.Stderr, "server: %v\n", err)
		return 2
	}
	fmt.Fprintf(os.Stderr, "server: %v\n", err)
	return 1
}

func serve(args []string) error {
	o, err := parseOptions(args, os.Stdout)
	if err != nil {
		return err
	}
	if o.version {
		fmt.Println(versionLine())
		return nil
	}
	if os.Getenv("GOGC") == "" {
		// What there is to collect is the garbage of handshakes; the price of
		// collecting it early is small, and memory is what this server saves.
		debug.SetGCPercent(50)
	}
	if err := o.enterRealtime(); err != nil {
		return err
	}
	log := newLogger(o, os.Stderr)
	slog.SetDefault(log)
	if role, ok, err := inheritedRole(); err != nil {
		return err
	} else if ok {
		return runWorker(o, role, log.With("worker", role.Index))
	}
	limit, err := hubbub.RaiseDescriptorLimit()
	if err != nil {
		return fmt.Errorf("reading the limit of open files: %w", err)
	}
	if o.httpRedirect != "" {
		limit -= maxRedirects
	}
	p, err := plan(o.maxConns, o.workers, limit)
	if err != nil {
		return usageError{err}
	}
	if p.workers == 1 && !o.realtime { // threads in that class have no slack
		if err := timerslack.Adopt(aloneSlack); err != nil {
			log.Warn("the Go runtime's monitor will take more of the processor than it has to", "error", err)
		}
	}
	log.Info("starting", "version", versionLine(), "connections", o.maxConns, "processes", p.why)
	if p.workers == 1 {
		return runSingle(o, log)
	}
	return runSupervisor(o, p, log)
}

func versionLine() string {
	if commit == "" {
		return "hubbub " + version
	}
	return "hubbub " + version + " (" + commit + ")"
}
