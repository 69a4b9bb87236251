package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Endpoints of a server.
const (
	pathTopic = "/ws"   // relays to everybody on the topic
	pathEcho  = "/echo" // answers the sender

	pathChannels = "/connection/websocket" // speaks the Centrifuge client protocol
)

// server is a program that the load generator can be pointed at.
type server struct {
	name string
	// command returns the program's path and arguments, and the URL of its health page or
	// nothing if it has none, for a number of connections and two free addresses.
	command func(conns int, addr, admin string) (path string, args []string, health string)
	metrics bool // whether /metrics beside the health page tells the number of goroutines
	spreads bool // over as many processes as the limit of descriptors asks for

	path  string   // of its endpoint, where that isn't the scenario's
	load  []string // further flags of the load generator
	lacks []string // kinds of scenarios that it can't play
}

// hubbub is the server that all of this is about.
var hubbub = server{
	name: "hubbub",
	command: func(conns int, addr, admin string) (string, []string, string) {
		return program("server"), []string{"-addr", addr, "-admin", admin, "-max-conns", strconv.Itoa(conns)}, "http://" + admin + "/healthz"
	},
	metrics: true,
	spreads: true,
}

// gorilla is the peer that ratios are taken over.
const gorilla = "gorilla"

// peers are the programs of bench/peers, and hubbub's own channels.
var peers = []string{gorilla, "gws", "nbio", "gnet", "coder", centrifuge, channels.name}

// centrifuge is the peer that speaks the Centrifuge client protocol.
const centrifuge = "centrifuge"

// inChannels returns the server's channels as a contender, in those of a namespace. Its goroutines aren't counted.
func (s server) inChannels(name, namespace string) server {
	s.name, s.metrics, s.spreads = name, false, false
	s.path, s.load = pathChannels, []string{"-protocol", "rooms", "-channel-prefix", namespace}
	return s
}

// channels is hubbub with channels that do what the peers do: nothing is kept.
var channels = hubbub.with(0, "-namespaces", `{"live":{"subscribe":"anyone","publish":"subscribers"}}`).
	inChannels("channels", "live:").without(echo, latency)

// keptChannels is hubbub with channels as they are unless somebody says otherwise: with a history.
var keptChannels = hubbub.inChannels("channels, kept", "chat:")

// without returns the server, which doesn't play some kinds of scenarios.
func (s server) without(kinds ...string) server {
	s.lacks = kinds
	return s
}

// peer returns one of those that there are to compare with.
func peer(name string) server {
	if name == channels.name {
		return channels
	}
	s := server{name: name, command: func(_ int, addr, _ string) (string, []string, string) {
		return program(name), []string{"-addr", addr}, "http://" + addr + "/healthz"
	}}
	if name == centrifuge {
		s.path, s.load, s.lacks = pathChannels, []string{"-protocol", "rooms"}, []string{echo}
	}
	return s
}

// with returns the server with room for so many more connections, and with further flags. Its goroutines
// aren't counted.
func (s server) with(room int, flags ...string) server {
	command := s.command
	s.command = func(conns int, addr, admin string) (string, []string, string) {
		path, args, health := command(conns+room, addr, admin)
		return path, append(args, flags...), health
	}
	s.metrics = false
	return s
}

// guestName is that of a server of the user's own, unless they give it another.
const guestName = "yours"

// nameBefore matches what a command may begin with: a name for the server.
var nameBefore = regexp.MustCompile(`^\s*([A-Za-z][A-Za-z0-9.+-]*)=`)

// guest returns a server that a command starts, which has {addr} where the address to listen on belongs.
func guest(command string) (server, error) {
	name := guestName
	if m := nameBefore.FindStringSubmatch(command); m != nil {
		name, command = m[1], command[len(m[0]):]
	}
	if slices.Contains(peers, name) || name == hubbub.name || name == floorName {
		return server{}, fmt.Errorf("-server: the name %s is taken", name)
	}
	words := strings.Fields(command)
	if len(words) == 0 || !strings.Contains(command, "{addr}") {
		return server{}, fmt.Errorf("-server %q: has to be a command with {addr} where the address to listen on belongs", command)
	}
	return server{name: name, command: func(_ int, addr, _ string) (string, []string, string) {
		var filled []string
		for _, w := range words {
			filled = append(filled, strings.ReplaceAll(w, "{addr}", addr))
		}
		return filled[0], filled[1:], ""
	}}, nil
}

// spreading returns those servers that hold more connections than one process can.
func spreading(servers []server) []server {
	return slices.DeleteFunc(slices.Clone(servers), func(s server) bool { return !s.spreads })
}

// loadReport is what of the load generator's report is shown.
type loadReport struct {
	ConnsOpen      int     `json:"conns_open"`
	ConnsFailed    int     `json:"conns_failed"`
	ConnsLost      int     `json:"conns_lost"`
	ConnectPerS    float64 `json:"connect_per_s"`
	Messages       int64   `json:"messages"`
	Delivered      int64   `json:"delivered"`
	Missing        int64   `json:"missing"`
	Duplicate      int64   `json:"duplicate"`
	Reordered      int64   `json:"reordered"`
	Corrupt        int64   `json:"corrupt"`
	DeliveriesPerS float64 `json:"deliveries_per_s"`
	Latency        struct {
		P50 float64 `json:"p50"`
		P99 float64 `json:"p99"`
	} `json:"latency_ms"`
	FanOut struct {
		P50Mean  float64 `json:"p50_mean"`
		P99Mean  float64 `json:"p99_mean"`
		LastMean float64 `json:"last_mean"`
	} `json:"fanout_ms"`
	Server *struct {
		RSSBytes       int64   `json:"rss_bytes"`
		RSSBytesBefore int64   `json:"rss_bytes_before"`
		CPURunS        float64 `json:"cpu_run_s"`
		Split          struct {
			User   float64 `json:"user_s"`
			System float64 `json:"system_s"`
		} `json:"cpu_run_split"` // zero where only the sum is known
	} `json:"server"`
	ServerWhy string `json:"server_why"`
	Churn     struct {
		Failed int `json:"failed"`
	} `json:"churn"`
	Storm    stormReport `json:"storm"`
	Recovery struct {
		AllReady float64 `json:"all_ready_s"`
	} `json:"recovery"`
	Generator struct {
		RSSBytes  int64   `json:"rss_bytes"`
		CPURunS   float64 `json:"cpu_run_s"`
		Saturated bool    `json:"saturated"`
	} `json:"generator"`
	Machine struct {
		Saturated bool `json:"saturated"`
	} `json:"machine"`
}

// up starts the server in a place of its own.
func (s server) up(ctx context.Context, run *Run, conns int) (upServer, error) {
	at, err := findPlace()
	if err != nil {
		return upServer{}, err
	}
	up, err := s.upAt(ctx, run, conns, at)
	if err != nil {
		err = errors.Join(err, at.leave())
	}
	return up, err
}

// upAt starts it in this one.
func (s server) upAt(ctx context.Context, run *Run, conns int, at place) (upServer, error) {
	path, args, health := s.command(conns, at.addr, at.admin)
	cmd := child(ctx, run, path, args...)
	cmd.Env = append(os.Environ(), "HUBBUB_DATA_DIR="+at.data)
	p, err := start(ctx, cmd, ready(at.addr, health))
	return upServer{p, at}, err
}

// under starts the server, puts the scenario's load on it and enters what the load generator reports,
// and, where it can be told, how the number of goroutines grew.
func (s server) under(ctx context.Context, run *Run, sc *scenario) (err error) {
	up, err := s.up(ctx, run, sc.conns)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, up.stop()) }()

	// Not where memory is measured: the pages that tell the number of goroutines cost some too.
	var goroutines *goroutineCount
	if s.metrics && sc.kind != idle && sc.kind != scaling {
		if goroutines, err = countGoroutines(ctx, "http://"+up.admin, sc.conns); err != nil {
			return err
		}
	}
	load := slices.Concat([]string{"-size", strconv.Itoa(messageSize)}, s.load, sc.load)
	if err := generate(ctx, run, sc.conns, "ws://"+up.addr+cmp.Or(s.path, sc.path), up.cmd.Process.Pid, load); err != nil {
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
	_, failed := runProgram(ctx, run, "loadgen", loadArgs(conns, load, file, url, pid)...)
	raw, report, err := readLoad(file)
	if err != nil {
		return errors.Join(failed, err)
	}
	run.Raw = raw
	if report.Server == nil {
		return fmt.Errorf("the load generator could not follow the server: %s", report.ServerWhy)
	}
	run.Measured = measured(report)
	if failed != nil && run.Fault() == "" {
		return failed
	}
	return nil
}

// loadArgs are the load generator's.
func loadArgs(conns int, load []string, file, url string, pid int) []string {
	args := append([]string{"-conns", strconv.Itoa(conns)}, load...)
	return append(args, "-json", file, "-url", url, "-server-pid", strconv.Itoa(pid))
}

// readLoad reads the load generator's report.
func readLoad(file string) (raw json.RawMessage, report loadReport, err error) {
	if raw, err = os.ReadFile(file); err == nil {
		err = json.Unmarshal(raw, &report)
	}
	if err != nil {
		return nil, report, fmt.Errorf("reading the load generator's report: %w", err)
	}
	return raw, report, nil
}

// measured takes from the load generator's report what ours shows.
func measured(load loadReport) Measured {
	m := Measured{
		ConnectPerS:    load.ConnectPerS,
		DeliveriesPerS: load.DeliveriesPerS,
		LatencyP50MS:   load.Latency.P50,
		LatencyP99MS:   load.Latency.P99,
		LastMS:         load.FanOut.LastMean,
		P50MS:          load.FanOut.P50Mean,
		P99MS:          load.FanOut.P99Mean,
		RSSBytes:       float64(load.Server.RSSBytes),
		BytesPerIdle:   float64(load.Server.RSSBytes-load.Server.RSSBytesBefore) / float64(max(1, load.ConnsOpen)),
		ServerCPUS:     load.Server.CPURunS,
		ServerUserS:    load.Server.Split.User,
		ServerSystemS:  load.Server.Split.System,
		GeneratorCPUS:  load.Generator.CPURunS,
		Messages:       load.Messages,
		Deliveries:     load.Delivered,
		Missing:        load.Missing,
		Duplicate:      load.Duplicate,
		Reordered:      load.Reordered,
		Corrupt:        load.Corrupt,
		ConnsFailed:    load.ConnsFailed + load.ConnsLost + load.Churn.Failed,
	}
	m.ReadyS = load.Recovery.AllReady
	m.GeneratorRSSBytes = float64(load.Generator.RSSBytes)
	switch {
	case load.Generator.Saturated:
		m.Saturated = saturatedGenerator
	case load.Machine.Saturated:
		m.Saturated = saturatedMachine
	}
	return m
}
