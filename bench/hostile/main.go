// Hostile opens connections that misbehave, all in one way, until it is asked to end.
//
// It is for the benchmark (make bench-hostile), which measures what becomes of everybody else
// meanwhile. Connections that the server ends are replaced at a bounded pace. It prints the line
// "ready" once every connection has been up, and its counts as a line of JSON in the end. What it
// does to the server is to cost the server more than itself, since both share a machine: one
// thread, one epoll, frames that are made once.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"os/signal"
	"runtime"
	"syscall"
)

// options is what the command line asks for.
type options struct {
	kind        *kind
	addr        netip.AddrPort
	host        string
	path, query string
	conns       int
	pace        float64
	churn       float64
	list        bool
}

func main() {
	opts, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "hostile:", err)
		os.Exit(2)
	}
	if opts.list {
		for _, k := range kinds {
			fmt.Printf("%s\t%s\n", k.name, k.what)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The loop below is the only work: it stays on one thread, in system calls that the scheduler
	// isn't told of.
	runtime.LockOSThread()
	h, err := newHerd(opts)
	if err == nil {
		err = h.run(func() bool { return ctx.Err() != nil }, func() { fmt.Println("ready") })
	}
	if err == nil {
		err = h.counts.print(os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "hostile:", err)
		os.Exit(1)
	}
}

func parse(args []string) (*options, error) {
	o := &options{}
	flags := flag.NewFlagSet("hostile", flag.ContinueOnError)
	at := flags.String("url", "ws://127.0.0.1:8080/ws", "server's endpoint, with the topic of the well-behaved in its query")
	name := flags.String("kind", "calm", "how they misbehave; see -list")
	flags.IntVar(&o.conns, "conns", 3200, "connections to open")
	flags.Float64Var(&o.pace, "pace", 0, "`frames` a second that all connections send together (default: the kind's own)")
	flags.Float64Var(&o.churn, "churn", 500, "`connections` a second that are opened at most once all have been up")
	flags.BoolVar(&o.list, "list", false, "list the kinds and end")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	switch {
	case flags.NArg() > 0:
		return nil, errors.New("takes flags only; see -help")
	case o.conns < 1:
		return nil, fmt.Errorf("-conns %d: 1 or more", o.conns)
	case !(o.pace >= 0 && o.pace <= 1e7) || !(o.churn > 0 && o.churn <= 1e6):
		return nil, errors.New("-pace is 0 to 10000000, -churn more than 0, up to 1000000")
	}
	var err error
	if o.kind, err = parseKind(*name); err != nil {
		return nil, err
	}
	u, err := url.Parse(*at)
	if err != nil {
		return nil, fmt.Errorf("-url: %w", err)
	}
	if o.addr, err = netip.ParseAddrPort(u.Host); err != nil || u.Scheme != "ws" || !o.addr.Addr().Is4() {
		return nil, fmt.Errorf("-url %s: has to be like ws://127.0.0.1:8080/ws", *at)
	}
	o.host, o.path, o.query = u.Host, u.EscapedPath(), u.RawQuery
	return o, nil
}
