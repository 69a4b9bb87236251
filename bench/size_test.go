package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// What all of these runs have.
const (
	sizeConns     = 10_000
	sizeProcesses = "3" // of the server and of the load generator
)

// sized is what of the load generator's report tells whether a run had its size.
type sized struct {
	ConnsOpen int `json:"conns_open"`
	Stalled   int `json:"stalled"`
	Messages  int `json:"messages"`
	Delivered int `json:"delivered"`
	Churn     struct {
		Opened int `json:"opened"`
	} `json:"churn"`
	Storm struct {
		Lost int `json:"lost"`
		Back int `json:"back"`
	} `json:"storm"`
	Recovery struct {
		All int `json:"all"`
	} `json:"recovery"`
	Server struct {
		Processes int `json:"processes"`
	} `json:"server"`
	Generator struct {
		Processes int `json:"processes"`
	} `json:"generator"`
}

// TestAtSize plays scenarios with the real programs, in several processes each, at ten thousand connections:
// nothing may get lost, doubled, out of order or corrupt, whatever else goes on, and nothing is left behind.
func TestAtSize(t *testing.T) {
	folder, temporary := built(t), t.TempDir()
	t.Chdir(folder)
	t.Setenv("TMPDIR", temporary)
	defer func() {
		for where, want := range map[string]int{folder: 1, temporary: 0} { // the programs
			if left, err := os.ReadDir(where); err != nil || len(left) != want {
				t.Errorf("in %s are %v, %v; want %d", where, left, err, want)
			}
		}
	}()
	t.Setenv("HUBBUB_WORKERS", sizeProcesses)
	t.Setenv("LOADGEN_PROCESSES", sizeProcesses)
	feat := func(kind string) scenario {
		return featScenario(options{feat: kind, conns: sizeConns, length: short})
	}
	for _, test := range []struct {
		scenario
		processes int // of the server: workers, and what supervises them
		whole     func(sized) bool
	}{
		{slowAndChurned(), 4, func(r sized) bool {
			return r.ConnsOpen == sizeConns && r.Stalled == sizeStalled && r.Churn.Opened == sizeChurned && r.Delivered == 25*(sizeConns-sizeStalled)
		}},
		{scenario{name: "rooms", conns: sizeConns, path: pathTopic, contenders: contenders([]server{hubbub.with(0)}),
			load: []string{"-topics", "1000", "-publishers", "10000", "-window", "1", "-duration", "3s"}}, 4,
			func(r sized) bool {
				return r.ConnsOpen == sizeConns && r.Messages >= sizeConns && r.Delivered == roomSize*r.Messages
			}},
		{feat(storm), 0, func(r sized) bool { // two servers: the generator can't follow them
			return r.ConnsOpen == sizeConns && r.Storm.Lost == sizeConns && r.Storm.Back == sizeConns
		}},
		{feat(recovery), 0, func(r sized) bool { return r.Storm.Back == sizeConns && r.Recovery.All == 2*sizeConns }},
		{feat(tailLatency), 4, func(r sized) bool { // the report is the small topic's
			return r.ConnsOpen == smallTopic && r.Messages == smallRate*short.messages && r.Delivered == smallTopic*r.Messages
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			run := Run{Scenario: test.name}
			if err := test.turn(context.Background(), test.contenders[0], &run); err != nil {
				t.Fatalf("%v\n%q", err, run.Commands)
			}
			if fault := run.Fault(); fault != "" {
				t.Errorf("%s\n%q", fault, run.Commands)
			}
			var r sized
			if err := json.Unmarshal(run.Raw, &r); err != nil {
				t.Fatal(err)
			}
			if !test.whole(r) {
				t.Errorf("something is missing: %+v\n%q", r, run.Commands)
			}
			if r.Generator.Processes != 3 || r.Server.Processes != test.processes {
				t.Errorf("%d processes of the generator and %d of the server, want 3 and %d", r.Generator.Processes, r.Server.Processes, test.processes)
			}
		})
	}
}

const (
	sizeStalled = sizeConns / 10
	sizeChurned = 2_000
)

// slowAndChurned is a fan-out while some have stopped reading, who are too slow after a few of its messages
// of 16 KiB, and others come and go.
func slowAndChurned() scenario {
	server := hubbub.with(sizeChurned, "-max-backlog", "65536")
	return scenario{name: "slow and churned", conns: sizeConns, path: pathTopic,
		load: []string{"-slow", "0.1", "-churn", "400", "-size", "16384", "-rate", "5", "-duration", "5s"},
		contenders: []contender{{name: hubbub.name, run: func(ctx context.Context, run *Run, s *scenario) (err error) {
			up, err := server.up(ctx, run, s.conns)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, up.stop()) }()
			if err := generate(ctx, run, s.conns, "ws://"+up.addr+s.path, up.cmd.Process.Pid, s.load); err != nil {
				return err
			}
			page, err := get(ctx, "http://"+up.admin+"/metrics")
			if err != nil {
				return err
			}
			counts, err := counted(page)
			if err == nil && counts["ended slow_consumer"] != sizeStalled {
				return fmt.Errorf("the server says %v, want %d slow consumers", counts, sizeStalled)
			}
			return err
		}}}}
}

// built builds server and load generator as make does, and returns the folder that their own one is in.
func built(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", filepath.Join(folder, binaries)+"/", "hubbub/cmd/server", "hubbub/cmd/loadgen")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, output)
	}
	return folder
}
