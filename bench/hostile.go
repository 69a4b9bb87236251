package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	calm            = "calm" // the kind that the others are compared with
	hostileShare    = 5      // one connection in so many misbehaves
	hostileMessages = 10     // to everybody else, one a second
	hostileTopic    = "honest"
	// bigMessage is what the server lets peers send, for the kind that does: 1 MiB.
	bigMessage = 1 << 20
)

// Hostility is what the measurement of hostile peers gave, as hostile.json.gz holds it.
type Hostility struct {
	Conditions Conditions    `json:"conditions"`
	Rounds     int           `json:"rounds"`
	Honest     int           `json:"honest"`  // connections
	Hostile    int           `json:"hostile"` // connections
	Kinds      []HostileKind `json:"kinds"`   // calm first
	Trials     []Trial       `json:"trials"`  // in the order in which they were played
}

// HostileKind is a way to misbehave.
type HostileKind struct {
	Name string `json:"name"`
	What string `json:"what"`
}

// Trial is a run of the load generator while others misbehave. Its System is their kind.
type Trial struct {
	Run
	For string `json:"for"` // the kind that it is played for: calm is played before each turn of each kind
	// CPU is the processor time in seconds from the load generator's start to its end.
	CPU struct {
		Server    float64 `json:"server"`
		Generator float64 `json:"generator"`
		Hostile   float64 `json:"hostile"`
		Others    float64 `json:"others"` // whatever else the machine was busy with, this program included
	} `json:"cpu_s"`
	PeakRSS float64            `json:"peak_rss_bytes"` // of the server
	Counted map[string]float64 `json:"counted"`        // by the server
	Hostile json.RawMessage    `json:"hostile,omitempty"`
}

// runHostile measures, for each kind of hostile peers, what becomes of everybody else, writes the
// results, and reports whether nobody of them lost anything.
func runHostile(ctx context.Context, opts options) (bool, error) {
	kinds, err := hostileKinds(ctx, opts.kinds)
	if err != nil {
		return false, err
	}
	conns := min(opts.conns, smallConns)
	h := &Hostility{Conditions: conditions(time.Now()), Rounds: opts.rounds, Hostile: conns / hostileShare, Kinds: kinds}
	h.Honest = conns - h.Hostile
	for _, kind := range kinds[1:] {
		for round := 1; round <= opts.rounds; round++ {
			for _, name := range []string{calm, kind.Name} {
				t := Trial{Run: Run{Scenario: "hostile", System: name, Round: round}, For: kind.Name}
				if err := t.play(ctx, h.Honest, h.Hostile); err != nil {
					t.Error = strings.ReplaceAll(err.Error(), "\n", "; ")
				}
				if err := ctx.Err(); err != nil {
					return false, fmt.Errorf("broken off, nothing is written: %w", err)
				}
				progress(fanOut, t.Run)
				h.Trials = append(h.Trials, t)
			}
		}
	}
	folder := opts.folder(h.Conditions)
	if err := h.write(folder); err != nil {
		return false, err
	}
	fmt.Print(h.table())
	fmt.Println("report:", filepath.Join(folder, "hostile.md"))
	faulty := h.faulty()
	for _, t := range faulty {
		fmt.Fprintf(os.Stderr, "bench: %s, round %d: %s\n", t.System, t.Round, t.Fault())
	}
	return len(faulty) == 0, nil
}

// hostileKinds asks the program which kinds there are, and returns those that are wanted, separated
// by commas, or all; calm first.
func hostileKinds(ctx context.Context, wanted string) ([]HostileKind, error) {
	output, err := runProgram(ctx, &Run{}, "hostile", "-list")
	if err != nil {
		return nil, err
	}
	return chooseKinds(string(output), wanted)
}

// chooseKinds reads lines of a name, a tab and a description, the reference first.
func chooseKinds(list, wanted string) ([]HostileKind, error) {
	var all, chosen []HostileKind
	for line := range strings.Lines(list) {
		name, what, _ := strings.Cut(strings.TrimSpace(line), "\t")
		all = append(all, HostileKind{name, what})
	}
	if len(all) == 0 || all[0].Name != calm {
		return nil, fmt.Errorf("the kinds are to begin with %s, and the program says %q", calm, list)
	}
	if wanted == "" {
		return all, nil
	}
	chosen = all[:1:1]
	for name := range strings.SplitSeq(wanted, ",") {
		i := slices.IndexFunc(all[1:], func(k HostileKind) bool { return k.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("-kinds: there is no %q; see hostile -list", name)
		}
		chosen = append(chosen, all[1+i])
	}
	return chosen, nil
}

// play takes a fresh server, has the hostile misbehave and measures a fan-out to the honest.
func (t *Trial) play(ctx context.Context, honest, hostile int) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	server, err := t.serve(ctx, honest+hostile)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.stop()) }()

	// The server takes the first topic of a query, so the one that the load generator adds is of no
	// effect, and both are on the same.
	url := "ws://" + server.addr + "/ws?topic=" + hostileTopic
	herd, err := startHerd(ctx, &t.Run, "-url", url, "-kind", t.System, "-conns", strconv.Itoa(hostile))
	if err != nil {
		return err
	}
	defer func() {
		output, stopped := herd.stop()
		t.Hostile = output
		err = errors.Join(err, stopped)
	}()

	pids := []int{server.cmd.Process.Pid, herd.cmd.Process.Pid}
	before, err := cpuSeconds(pids...)
	if err != nil {
		return err
	}
	err = generate(ctx, &t.Run, honest, url, server.cmd.Process.Pid, []string{"-rate", "1",
		"-duration", fmt.Sprintf("%ds", hostileMessages), "-size", strconv.Itoa(messageSize)})
	if err != nil {
		return err
	}
	after, err := cpuSeconds(pids...)
	if err != nil {
		return err
	}
	if t.CPU.Generator, err = generatorCPU(t.Raw); err != nil {
		return err
	}
	t.CPU.Server, t.CPU.Hostile = after[0]-before[0], after[1]-before[1]
	t.CPU.Others = max(0, after[2]-before[2]-t.CPU.Server-t.CPU.Hostile-t.CPU.Generator)
	t.PeakRSS = peakRSS(read(fmt.Sprintf("/proc/%d/status", server.cmd.Process.Pid)))
	page, err := get(ctx, "http://"+server.admin+"/metrics")
	if err != nil {
		return err
	}
	t.Counted, err = counted(page)
	return err
}

// serve starts a server with room for so many connections, and for those that come back before it has
// let go of their last one. An address that was free may be taken by then, where thousands of
// connections come and go: it is tried again.
func (t *Trial) serve(ctx context.Context, conns int) (up upServer, err error) {
	for range 3 {
		t.Commands = nil
		up, err = hubbub.with(conns/8, "-max-message", strconv.Itoa(bigMessage)).up(ctx, &t.Run, conns)
		if err == nil {
			break
		}
	}
	return up, err
}

// generatorCPU returns the processor time in the load generator's report.
func generatorCPU(raw json.RawMessage) (float64, error) {
	var report struct {
		Generator struct {
			CPU float64 `json:"cpu_s"`
		} `json:"generator"`
	}
	if err := json.Unmarshal(raw, &report); err != nil {
		return 0, fmt.Errorf("reading the load generator's report: %w", err)
	}
	return report.Generator.CPU, nil
}

// herd is the hostile peers' process.
type herd struct {
	*process
	output *bufio.Reader
}

// startHerd starts the program and waits until all its connections have been up.
func startHerd(ctx context.Context, run *Run, args ...string) (*herd, error) {
	cmd := child(ctx, run, program("hostile"), args...)
	reader, writer := io.Pipe()
	h := &herd{&process{name: "hostile", cmd: cmd, log: new(said), ended: make(chan struct{})}, bufio.NewReader(reader)}
	cmd.Stdout, cmd.Stderr = writer, h.log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting hostile: %w", err)
	}
	go func() {
		h.err = cmd.Wait()
		writer.Close()
		close(h.ended)
	}()
	if line, err := h.output.ReadString('\n'); err != nil || line != "ready\n" {
		output, stopped := h.stop()
		return nil, errors.Join(fmt.Errorf("hostile said %q instead of ready%s", line+string(output), tail(h.log)), stopped)
	}
	return h, nil
}

// stop ends the program and returns its counts.
func (h *herd) stop() (json.RawMessage, error) {
	h.cmd.Process.Signal(syscall.SIGTERM)
	output, _ := io.ReadAll(h.output) // its end is the process's
	if err := h.process.stop(); err != nil {
		return nil, err
	}
	if !json.Valid(output) {
		return nil, fmt.Errorf("hostile's counts are no JSON: %q", output)
	}
	return json.RawMessage(output), nil
}
