// Command loadgen opens very many WebSocket connections, publishes messages on
// schedule, and reports how long each took to reach all of its subscribers and
// whether any got lost, doubled, reordered or damaged on the way.
//
//	loadgen -conns 100000 -url ws://127.0.0.1:8080/ws
//	loadgen -scenario rooms
//
// What it speaks is plain messages or, with -protocol rooms, the Centrifuge
// client protocol, of which every acknowledgement is checked as well.
//
// Beside that, connections may stop reading (-slow), come and go (-churn), or
// come back when they are lost (-mode storm).
//
// It splits itself into as many processes as the limit of descriptors asks
// for. It exits with 0 if every connection opened, every message arrived
// once, whole and in order, and all that were lost in a storm are back; with 1
// if not; with 2 if it was called wrongly or the run could not begin.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"hubbub/cmd/loadgen/internal/client"
	"hubbub/cmd/loadgen/internal/clock"
	"hubbub/cmd/loadgen/internal/coordinator"
	"hubbub/cmd/loadgen/internal/history"
	"hubbub/cmd/loadgen/internal/monitor"
	"hubbub/cmd/loadgen/internal/plan"
	"hubbub/cmd/loadgen/internal/preflight"
	"hubbub/cmd/loadgen/internal/procfs"
	"hubbub/cmd/loadgen/internal/report"
	"hubbub/internal/realtime"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // something was lost, or broke
	exitUsage  = 2 // the run could not begin
)

// roleEnv tells a process that it is a worker of another one.
const roleEnv = "HUBBUB_LOADGEN_ROLE"

const roleWorker = "worker"

// knockTimeout is how long to wait for a server to accept at all.
const knockTimeout = 5 * time.Second

func main() {
	if os.Getenv(roleEnv) == roleWorker {
		os.Exit(work())
	}
	os.Exit(run(os.Args, os.Stdout, os.Stderr))
}

// work is a worker process.
func work() int {
	signal.Ignore(os.Interrupt) // Ctrl-C goes to all processes; the parent says what becomes of it
	if err := preflight.RaiseLimit(); err != nil {
		fmt.Fprintln(os.Stderr, "loadgen:", err)
		return exitFailed
	}
	if err := coordinator.Work(os.Stdin, os.Stdout, func() { os.Exit(exitFailed) }); err != nil {
		fmt.Fprintln(os.Stderr, "loadgen:", err)
		return exitFailed
	}
	return exitOK
}

// run is the parent process.
func run(args []string, stdout, stderr io.Writer) int {
	opts, err := parse(args[1:], stdout)
	switch {
	case errors.Is(err, errHandled):
		return exitOK
	case err != nil:
		fmt.Fprintln(stderr, "loadgen:", err)
		return exitUsage
	}
	for _, name := range []string{opts.json, opts.html} {
		if err := writable(name); err != nil { // rather now than after the run
			fmt.Fprintln(stderr, "loadgen:", err)
			return exitUsage
		}
	}
	if opts.realtime { // the workers are then, too: they are its children
		if err := realtime.Enter(); err != nil {
			fmt.Fprintln(stderr, "loadgen: -realtime:", err)
			return exitUsage
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it at once

	rep, err := opts.run(ctx, args, newUI(stderr))
	if err != nil {
		fmt.Fprintln(stderr, "loadgen:", err)
		return exitUsage
	}
	code := exitOK
	if !rep.OK {
		code = exitFailed
	}
	for _, err := range []error{
		rep.WriteText(stdout),
		toFile(opts.json, rep.WriteJSON),
		toFile(opts.html, rep.WriteHTML),
	} {
		if err != nil {
			fmt.Fprintln(stderr, "loadgen:", err)
			code = exitFailed
		}
	}
	return code
}

// writable returns an error if a file can't be written. It leaves none behind.
func writable(name string) error {
	if name == "" {
		return nil
	}
	_, missing := os.Stat(name)
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	if missing != nil {
		err = os.Remove(name)
	}
	return errors.Join(err, f.Close())
}

func toFile(name string, write func(io.Writer) error) error {
	if name == "" {
		return nil
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

// run checks what can be checked, runs the plan and reports. An error means
// that there was no run.
func (o *options) run(ctx context.Context, args []string, ui *ui) (*report.Report, error) {
	p := &o.plan
	p.Run = rand.Uint64()
	addr, err := o.resolve(ctx)
	if err != nil {
		return nil, err
	}
	p.Addr = addr
	if p.Sources == nil && addr.Addr().Is4() && addr.Addr().IsLoopback() {
		p.Sources = plan.LoopbackSources(p.Conns + p.Lingering())
	}
	host, err := preflight.Look(procfs.Default, runtime.NumCPU(), addr)
	if err != nil {
		return nil, err
	}
	processes, err := host.Processes(p, o.processes)
	if err != nil {
		return nil, err
	}
	warnings, err := host.Check(p, processes)
	if err != nil {
		return nil, err
	}
	if o.insecure {
		warnings = append(warnings, "the server's certificate was not checked (-tls-insecure)")
	}
	if err := knock(ctx, addr); err != nil {
		return nil, err
	}
	if p.Recover > 0 {
		ui.note("publishing %d messages in each of %d topic(s), to be recovered", p.Recover, p.Topics)
		if err := history.Publish(ctx, p); err != nil {
			return nil, err
		}
	}
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	clk, err := clock.New()
	if err != nil {
		return nil, err
	}
	shares := p.Split(processes, host.Loops(processes))
	in := report.Input{
		Plan: p, Processes: processes, Warnings: warnings, Conditions: o.conditions(args),
		Local: host.Loopback || o.serverPID != 0,
	}
	for _, s := range shares {
		in.Loops += s.Loops
	}

	source, from, err := o.server(addr)
	in.ServerFrom = from
	if err != nil {
		in.ServerWhy = err.Error()
	}
	own := &monitor.Processes{FS: procfs.Default, Roots: []int{os.Getpid()}}
	mon := monitor.Start(procfs.Default, source, own)
	mon.Mark(report.MarkBefore)
	ui.begin(p, processes)
	in.Outcome, err = coordinator.Run(ctx, coordinator.Job{
		Plan:   p,
		Shares: shares,
		Clock:  clk,
		Command: func() *exec.Cmd {
			cmd := exec.Command(exe)
			cmd.Env = append(os.Environ(), roleEnv+"="+roleWorker)
			cmd.Stderr = os.Stderr
			return cmd
		},
		OnPhase: func(ph coordinator.Phase) {
			mon.Mark(string(ph))
			ui.phase(ph)
		},
		OnProgress: func(ph coordinator.Phase, pr client.Progress) { ui.progress(ph, pr) },
	})
	ui.end()
	samples, monErr := mon.Stop()
	if err != nil {
		return nil, err
	}
	if monErr != nil && in.ServerWhy == "" {
		in.ServerWhy = monErr.Error()
	}
	in.Samples = samples
	return report.Build(in), nil
}

// server finds out how to follow the server's use of memory and processors.
func (o *options) server(addr netip.AddrPort) (src monitor.Source, from string, err error) {
	tree := func(roots []int) monitor.Source {
		return &monitor.Processes{FS: procfs.Default, Roots: roots, Except: os.Getpid()}
	}
	switch {
	case o.serverPID != 0:
		return tree([]int{o.serverPID}), fmt.Sprintf("processes under %d (-server-pid)", o.serverPID), nil
	case o.adminURL != "":
		url := o.adminURL + "/metrics"
		return monitor.Metrics{URL: url, Client: &http.Client{}}, url, nil
	case !addr.Addr().IsLoopback():
		return nil, "", errors.New("it runs on another machine; give its -admin-url")
	}
	roots, err := procfs.Default.Listeners(addr)
	if err != nil {
		return nil, "", err
	}
	return tree(roots), fmt.Sprintf("processes under %v, found by the listening socket", roots), nil
}

// resolve returns the server's address.
func (o *options) resolve(ctx context.Context) (netip.AddrPort, error) {
	if ip, err := netip.ParseAddr(o.host); err == nil {
		return netip.AddrPortFrom(ip, o.port), nil
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", o.host)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("-url %s: %w", o.url, err)
	}
	for _, ip := range ips { // IPv4 if there is one: source addresses can be ranges then
		if ip.Unmap().Is4() {
			return netip.AddrPortFrom(ip.Unmap(), o.port), nil
		}
	}
	return netip.AddrPortFrom(ips[0], o.port), nil
}

// knock looks whether anybody listens.
func knock(ctx context.Context, addr netip.AddrPort) error {
	d := net.Dialer{Timeout: knockTimeout}
	c, err := d.DialContext(ctx, "tcp", addr.String())
	if err == nil {
		c.Close()
		return nil
	}
	hint := "start one with `make run` or `bin/server`, or name another with -url"
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("no server at %s: %s", addr, hint)
	}
	return fmt.Errorf("no server at %s (%w): %s", addr, err, hint)
}
