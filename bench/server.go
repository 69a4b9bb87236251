package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// server is a program that the load generator can be pointed at.
type server struct {
	name string
	// command returns the program, its arguments and the URL of its health page, for a number of
	// connections and two free addresses.
	command func(conns int, addr, admin string) (program string, args []string, health string)
	metrics bool // whether /metrics beside the health page tells the number of goroutines
}

var hubbub = server{
	name: "hubbub",
	command: func(conns int, addr, admin string) (string, []string, string) {
		return "server", []string{"-addr", addr, "-admin", admin, "-max-conns", strconv.Itoa(conns)}, "http://" + admin + "/healthz"
	},
	metrics: true,
}

var gorilla = server{
	name: "gorilla",
	command: func(_ int, addr, _ string) (string, []string, string) {
		return "gorilla", []string{"-addr", addr}, "http://" + addr + "/healthz"
	},
}

// loadReport is what of the load generator's report is shown.
type loadReport struct {
	ConnsOpen   int     `json:"conns_open"`
	ConnsFailed int     `json:"conns_failed"`
	ConnsLost   int     `json:"conns_lost"`
	ConnectPerS float64 `json:"connect_per_s"`
	Messages    int64   `json:"messages"`
	Missing     int64   `json:"missing"`
	Duplicate   int64   `json:"duplicate"`
	Reordered   int64   `json:"reordered"`
	Corrupt     int64   `json:"corrupt"`
	FanOut      struct {
		P50Mean  float64 `json:"p50_mean"`
		P99Mean  float64 `json:"p99_mean"`
		LastMean float64 `json:"last_mean"`
	} `json:"fanout_ms"`
	Server *struct {
		RSSBytes       int64   `json:"rss_bytes"`
		RSSBytesBefore int64   `json:"rss_bytes_before"`
		CPURunS        float64 `json:"cpu_run_s"`
	} `json:"server"`
	ServerWhy string `json:"server_why"`
	Generator struct {
		CPURunS   float64 `json:"cpu_run_s"`
		Saturated bool    `json:"saturated"`
	} `json:"generator"`
	Machine struct {
		Saturated bool `json:"saturated"`
	} `json:"machine"`
}

// fanOut sends everyone a message a second and measures how long each takes to reach the last.
func (s server) fanOut(ctx context.Context, run *Run, conns int) error {
	return s.under(ctx, run, conns, s.metrics, "-rate", "1", "-duration", fmt.Sprintf("%ds", messages), "-size", strconv.Itoa(messageSize))
}

// idle opens connections, holds them and measures what the server needs for them.
func (s server) idle(ctx context.Context, run *Run, conns int) error {
	// The memory is taken after the pause, in which the server's garbage collector may settle.
	// Goroutines aren't counted here: the pages that tell their number cost memory too.
	err := s.under(ctx, run, conns, false, "-mode", "idle", "-settle", "5s", "-duration", "1s")
	if err != nil {
		return err
	}
	var load loadReport
	if err := json.Unmarshal(run.Raw, &load); err != nil {
		return fmt.Errorf("reading the load generator's report: %w", err)
	}
	run.Measured.BytesPerIdle = float64(load.Server.RSSBytes-load.Server.RSSBytesBefore) / float64(max(1, load.ConnsOpen))
	return nil
}

// under starts the server, puts the load generator on it and enters what that reports, and with
// count how the number of goroutines grew.
func (s server) under(ctx context.Context, run *Run, conns int, count bool, load ...string) (err error) {
	addr, err := freeAddress()
	if err != nil {
		return err
	}
	admin, err := freeAddress()
	if err != nil {
		return err
	}
	program, args, health := s.command(conns, addr, admin)
	p, err := start(ctx, run, health, program, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()

	var goroutines *goroutineCount
	if count {
		if goroutines, err = countGoroutines(ctx, "http://"+admin, conns); err != nil {
			return err
		}
	}
	if err := generate(ctx, run, conns, "ws://"+addr+"/ws", p.cmd.Process.Pid, load); err != nil {
		return err
	}
	if goroutines != nil {
		run.Measured.Goroutines = goroutines.growth()
	}
	return nil
}

// generate runs the load generator and enters its report into the run.
func generate(ctx context.Context, run *Run, conns int, url string, pid int, load []string) error {
	// Among the binaries, so that the command can be repeated as it stands in the report.
	file := filepath.Join(binaries, "bench-load.json")
	if err := os.RemoveAll(file); err != nil {
		return fmt.Errorf("removing the last run's report: %w", err)
	}
	args := append([]string{"-conns", strconv.Itoa(conns)}, load...)
	args = append(args, "-json", file, "-url", url, "-server-pid", strconv.Itoa(pid))
	_, failed := runProgram(ctx, run, "loadgen", args...)
	raw, err := os.ReadFile(file)
	if err != nil {
		return errors.Join(failed, fmt.Errorf("reading the load generator's report: %w", err))
	}
	run.Raw = raw
	var report loadReport
	if err := json.Unmarshal(raw, &report); err != nil {
		return fmt.Errorf("reading the load generator's report: %w", err)
	}
	if report.Server == nil {
		return fmt.Errorf("the load generator could not follow the server: %s", report.ServerWhy)
	}
	run.Measured = measured(report)
	if failed != nil && run.Fault() == "" {
		return failed
	}
	return nil
}

// measured takes from the load generator's report what ours shows.
func measured(load loadReport) Measured {
	m := Measured{
		ConnectPerS:   load.ConnectPerS,
		LastMS:        load.FanOut.LastMean,
		P50MS:         load.FanOut.P50Mean,
		P99MS:         load.FanOut.P99Mean,
		RSSBytes:      float64(load.Server.RSSBytes),
		ServerCPUS:    load.Server.CPURunS,
		GeneratorCPUS: load.Generator.CPURunS,
		Messages:      load.Messages,
		Missing:       load.Missing,
		Duplicate:     load.Duplicate,
		Reordered:     load.Reordered,
		Corrupt:       load.Corrupt,
		ConnsFailed:   load.ConnsFailed + load.ConnsLost,
	}
	switch {
	case load.Generator.Saturated:
		m.Saturated = saturatedGenerator
	case load.Machine.Saturated:
		m.Saturated = saturatedMachine
	}
	return m
}
