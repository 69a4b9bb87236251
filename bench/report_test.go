package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// someResults is a benchmark of two rounds with everything that the report tells apart: ranges,
// single values, a loss, a run that failed, saturation.
func someResults() *Results {
	goroutines := 0
	hub := func(last, rss, idle float64) Measured {
		return Measured{ConnectPerS: 21_400.4, LastMS: last, P50MS: last / 2, P99MS: 0.9 * last, RSSBytes: rss, BytesPerIdle: idle,
			ServerCPUS: 1.234, GeneratorCPUS: 2.5, Messages: 20, Goroutines: &goroutines, Saturated: saturatedMachine}
	}
	lossy := hub(800, 104e6, 0)
	lossy.Missing, lossy.Saturated = 3, saturatedGenerator
	floor := Measured{ConnectPerS: 30_000, LastMS: 600, GeneratorCPUS: 9, Messages: 20}
	r := &Results{
		Conditions: Conditions{Date: "2026-01-02", Commit: "abc1234", Dirty: true, Go: "1.26.0", Kernel: "6.1.0", CPU: "Some CPU",
			Cores: 2, MemoryGiB: 23.6, Descriptors: 20000, Load: "0.07"},
		Rounds: 2,
		Scenarios: []Played{
			{Kind: "idle", Name: "idle-16000", Title: "16,000 idle connections in one process", Conns: 16000, Runs: []Run{
				{System: "hubbub", Round: 1, Measured: hub(0, 20e6, 310), Commands: []string{"bin/server -addr 127.0.0.1:1", "bin/loadgen -conns 16000"}},
				{System: "gorilla", Round: 1, Measured: hub(0, 260e6, 15_500)},
				{System: "hubbub", Round: 2, Measured: hub(0, 20.4e6, 330)},
				{System: "gorilla", Round: 2, Measured: hub(0, 260e6, 15_500)},
			}},
			{Kind: "fanout", Name: "fanout-16000", Title: "Fan-out to 16,000 connections in one process", Conns: 16000, Runs: []Run{
				{System: "hubbub", Round: 1, Measured: hub(70, 20e6, 0)},
				{System: "gorilla", Round: 1, Measured: hub(140, 260e6, 0)},
				{System: "floor", Round: 1, Measured: floor},
				{System: "hubbub", Round: 2, Measured: hub(90, 20e6, 0)},
				{System: "gorilla", Round: 2, Measured: hub(100, 260e6, 0)},
				{System: "floor", Round: 2, Measured: floor},
			}},
			{Kind: "bigfanout", Name: "fanout-50000", Title: "Fan-out to 50,000 connections, over as many processes as it takes", Conns: 50000, Runs: []Run{
				{Scenario: "fanout-50000", System: "hubbub", Round: 1, Measured: lossy, Commands: []string{"bin/server -addr 127.0.0.1:2"}},
				{Scenario: "fanout-50000", System: "floor", Round: 1, Measured: floor, Commands: []string{"bin/floor -conns 50000"}},
				{Scenario: "fanout-50000", System: "hubbub", Round: 2, Measured: hub(1234.5, 104e6, 0)},
				{Scenario: "fanout-50000", System: "floor", Round: 2, Error: "floor: exit status 1"},
			}},
			{Kind: "chat", Name: "chat-1000", Title: "1,000 members of one topic, 8 publishers with one message in flight each", Conns: 1000, Runs: []Run{
				{System: "hubbub", Round: 1, Measured: Measured{DeliveriesPerS: 900_000, LatencyP50MS: 8.5, LatencyP99MS: 20.25, ServerCPUS: 4}},
				{System: "gorilla", Round: 1, Measured: Measured{DeliveriesPerS: 200_000, LatencyP50MS: 40, LatencyP99MS: 90, ServerCPUS: 6}},
				{System: "hubbub", Round: 2, Measured: Measured{DeliveriesPerS: 800_000, LatencyP50MS: 9.5, LatencyP99MS: 21.5, ServerCPUS: 4}},
				{System: "gorilla", Round: 2, Measured: Measured{DeliveriesPerS: 200_000, LatencyP50MS: 40, LatencyP99MS: 90, ServerCPUS: 6}},
			}},
		},
		Benchmarks: []GoBenchmark{
			{"hubbub/internal/wire", "Parse", map[string]float64{"ns/op": 131.5, "B/op": 0, "allocs/op": 0}},
			{"hubbub/internal/broadcast", "FanOut/members=1000", map[string]float64{"ns/op": 12000, "ns/delivery": 12, "B/op": 32, "allocs/op": 2}},
		},
	}
	r.Figures = figures(r)
	return r
}

func TestReport(t *testing.T) {
	var got bytes.Buffer
	if err := render(&got, someResults()); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "report.md")
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("the report differs from %s (go test ./bench -update writes it anew):\n%s", golden, got.Bytes())
	}
}

func TestResultsAreWrittenWhole(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "results")
	if err := someResults().write(folder); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(filepath.Join(folder, "results.json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	var back Results
	if err := json.NewDecoder(unpacked).Decode(&back); err != nil {
		t.Fatal(err)
	}
	if got := len(back.faulty()); got != 2 {
		t.Errorf("the results have %d faulty runs after reading them back, want 2", got)
	}
	for _, name := range []string{"report.md", "idle-16000.svg", "fanout-16000.svg", "fanout-50000.svg"} {
		if info, err := os.Stat(filepath.Join(folder, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s is missing or empty (%v)", name, err)
		}
	}
}

func TestPlotNamesWhatItShows(t *testing.T) {
	for _, test := range []struct {
		scenario int
		want     []string
		not      string
	}{
		{0, []string{"16,000 idle connections", "bytes", "320 [310–330]", "15,500", "hubbub", "gorilla"}, "floor"},
		{2, []string{"Fan-out to 50,000", "ms", "1,017 [800–1,234]", "600", "floor"}, "gorilla"},
	} {
		svg, err := drawSVG(someResults().Scenarios[test.scenario])
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range test.want {
			if !strings.Contains(string(svg), want) {
				t.Errorf("plot %d doesn't say %q", test.scenario, want)
			}
		}
		if strings.Contains(string(svg), test.not) {
			t.Errorf("plot %d says %q", test.scenario, test.not)
		}
	}
}

func TestDecimal(t *testing.T) {
	for _, test := range []struct {
		v      float64
		digits int
		want   string
	}{
		{0, 0, "0"},
		{1.5, -1, "1.5"},
		{999.96, 1, "1,000.0"},
		{1234567.89, 1, "1,234,567.9"},
		{100_000, -1, "100,000"},
		{0.0021, 5, "0.00210"},
		{-3, 0, "-3"},
	} {
		if got := decimal(test.v, test.digits); got != test.want {
			t.Errorf("decimal(%v, %d) = %q, want %q", test.v, test.digits, got, test.want)
		}
	}
}
