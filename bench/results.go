package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Results is a whole benchmark, as results.json.gz holds it.
type Results struct {
	Conditions Conditions    `json:"conditions"`
	Rounds     int           `json:"rounds"`
	Figures    []Figure      `json:"figures"`
	Scenarios  []Played      `json:"scenarios"`
	Benchmarks []GoBenchmark `json:"go_benchmarks"`
}

// Played is a scenario with what its runs gave, in the order in which they were played.
type Played struct {
	Kind  string `json:"kind"`
	Name  string `json:"name"`
	Title string `json:"title"`
	Conns int    `json:"conns"`
	Runs  []Run  `json:"runs"`
}

// Run is one contender's turn in one round.
type Run struct {
	Scenario string   `json:"scenario"`
	System   string   `json:"system"`
	Round    int      `json:"round"`
	Conns    int      `json:"conns,omitempty"` // of the run, where they aren't the scenario's
	Commands []string `json:"commands"`
	// Error says why there are no measurements.
	Error    string          `json:"error,omitempty"`
	Measured Measured        `json:"measured"`
	Raw      json.RawMessage `json:"raw,omitempty"` // what the load generator or the floor reported
}

// Measured is what the report shows of a run. Zero is a figure that the contender doesn't have.
type Measured struct {
	ConnectPerS    float64 `json:"connect_per_s,omitempty"`
	LastMS         float64 `json:"last_ms,omitempty"` // mean over messages: until the last subscriber had it
	P50MS          float64 `json:"p50_ms,omitempty"`  // mean over messages: until half of them had it
	P99MS          float64 `json:"p99_ms,omitempty"`
	LatencyP50MS   float64 `json:"latency_p50_ms,omitempty"` // over all deliveries, from the moment they were due
	LatencyP99MS   float64 `json:"latency_p99_ms,omitempty"`
	DeliveriesPerS float64 `json:"deliveries_per_s,omitempty"`        // of echo, answers
	RSSBytes       float64 `json:"rss_bytes,omitempty"`               // server, connections open and idle
	BytesPerIdle   float64 `json:"rss_bytes_per_idle_conn,omitempty"` // server, above what it had without any
	ServerCPUS     float64 `json:"server_cpu_s,omitempty"`            // from the first message on
	ServerUserS    float64 `json:"server_user_s,omitempty"`           // of ServerCPUS, in its programs
	ServerSystemS  float64 `json:"server_system_s,omitempty"`         // in the kernel; both are 0 where only the sum is known
	GeneratorCPUS  float64 `json:"generator_cpu_s,omitempty"`
	Messages       int64   `json:"messages,omitempty"`
	Deliveries     int64   `json:"deliveries,omitempty"` // of all messages; of echo, answers
	// Goroutines is how many more the server had with its connections than without.
	Goroutines *int `json:"goroutines,omitempty"`
	// What only feats have.
	OpenedS           float64 `json:"opened_s,omitempty"`           // from the first connection to the last
	ReadyS            float64 `json:"ready_s,omitempty"`            // from the first attempt to connect until all had recovered
	BackS             float64 `json:"back_s,omitempty"`             // from the server's end until all were connected again
	ServerCPUPercent  float64 `json:"server_cpu_percent,omitempty"` // of one core
	GeneratorRSSBytes float64 `json:"generator_rss_bytes,omitempty"`
	EverythingBytes   float64 `json:"everything_bytes,omitempty"` // by which the machine's available memory shrank
	PinnedBytes       float64 `json:"pinned_bytes,omitempty"`     // by which all that is neither free nor page cache grew
	// Saturated says who had no processor time left while messages were under way.
	Saturated string `json:"saturated,omitempty"`

	Missing     int64 `json:"missing"`
	Duplicate   int64 `json:"duplicate"`
	Reordered   int64 `json:"reordered"`
	Corrupt     int64 `json:"corrupt"`
	ConnsFailed int   `json:"conns_failed"` // never opened, or lost
}

// Who may be saturated, in Measured.
const (
	saturatedGenerator = "generator" // the figures may be its own
	saturatedMachine   = "machine"   // shared by server and generator, the server taking no less
)

// Fault says what went wrong in the run, or nothing.
func (r Run) Fault() string {
	m := r.Measured
	switch {
	case r.Error != "":
		return r.Error
	case m.Missing+m.Duplicate+m.Reordered+m.Corrupt > 0 || m.ConnsFailed > 0:
		return fmt.Sprintf("%d missing, %d duplicate, %d reordered, %d corrupt, %d connections failed",
			m.Missing, m.Duplicate, m.Reordered, m.Corrupt, m.ConnsFailed)
	}
	return ""
}

// find returns the scenario of a kind, an empty one if it wasn't played.
func (r *Results) find(kind string) Played {
	for _, p := range r.Scenarios {
		if p.Kind == kind {
			return p
		}
	}
	return Played{Kind: kind}
}

// faulty returns the runs that didn't deliver everything as it should be.
func (r *Results) faulty() []Run {
	var faulty []Run
	for _, s := range r.Scenarios {
		for _, run := range s.Runs {
			if run.Fault() != "" {
				faulty = append(faulty, run)
			}
		}
	}
	return faulty
}

// values returns one figure of a contender's runs in a scenario, by round, where there is one.
func (p Played) values(system string, figure func(Measured) float64) map[int]float64 {
	byRound := make(map[int]float64)
	for _, run := range p.Runs {
		if v := figure(run.Measured); run.System == system && run.Error == "" && v != 0 {
			byRound[run.Round] = v
		}
	}
	return byRound
}

// Systems returns the contenders of the scenario, in the order of their first turn.
func (p Played) Systems() []string {
	var names []string
	for _, run := range p.Runs {
		if run.Round == 1 {
			names = append(names, run.System)
		}
	}
	return names
}

// write puts everything into the folder: the raw results, the report as a page and as Markdown, the
// plots.
func (r *Results) write(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("making the folder for the results: %w", err)
	}
	if err := writeRaw(filepath.Join(folder, "results.json.gz"), r); err != nil {
		return err
	}
	for name, write := range map[string]func(io.Writer, *Results) error{"report.md": render, "report.html": renderPage} {
		var report bytes.Buffer
		if err := write(&report, r); err != nil {
			return fmt.Errorf("writing the report: %w", err)
		}
		if err := os.WriteFile(filepath.Join(folder, name), report.Bytes(), 0o644); err != nil {
			return fmt.Errorf("writing the report: %w", err)
		}
	}
	return drawAll(folder, r)
}

// writeRaw writes results as JSON, compressed: with every run's own report they are megabytes.
func writeRaw(name string, results any) error {
	file, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("writing the results: %w", err)
	}
	defer file.Close()
	packed := gzip.NewWriter(file)
	if err := json.NewEncoder(packed).Encode(results); err != nil {
		return fmt.Errorf("writing the results: %w", err)
	}
	if err := errors.Join(packed.Close(), file.Close()); err != nil {
		return fmt.Errorf("writing the results: %w", err)
	}
	return nil
}
