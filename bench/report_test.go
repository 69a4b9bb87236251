package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// distributed is a report of the load generator's with so many shares of its latencies, 20 to each
// nine, of which the first is ms.
func distributed(ms float64, shares int) json.RawMessage {
	var report struct {
		Curve []quantile `json:"latency_curve"`
	}
	for i := range shares {
		report.Curve = append(report.Curve, quantile{Share: 1 - math.Pow(10, -float64(i)/20), MS: ms * float64(1+i)})
	}
	report.Curve = append(report.Curve, quantile{1, 1000 * ms})
	raw, err := json.Marshal(report)
	if err != nil {
		panic(err)
	}
	return raw
}

// someResults is a benchmark of two rounds with everything that the report tells apart: ranges,
// single values, a loss, a run that failed, saturation, curves.
func someResults() *Results {
	goroutines := 0
	hub := func(last, rss, idle float64) Measured {
		m := Measured{ConnectPerS: 21_400.4, LastMS: last, P50MS: last / 2, P99MS: 0.9 * last, RSSBytes: rss, BytesPerIdle: idle,
			ServerCPUS: 1.234, ServerUserS: 0.234, ServerSystemS: 1, GeneratorCPUS: 2.5, Messages: 20, Goroutines: &goroutines, Saturated: saturatedMachine}
		if last > 0 {
			m.Deliveries = 320_000
		}
		return m
	}
	size := func(conns int, round int, last, idle float64) Run {
		m := hub(last, 20e6, idle)
		m.Saturated = ""
		return Run{System: thousands(conns), Round: round, Conns: conns, Measured: m}
	}
	lossy := hub(800, 104e6, 0)
	lossy.Missing, lossy.Saturated = 3, saturatedGenerator
	floor := Measured{ConnectPerS: 30_000, LastMS: 600, ServerCPUS: 4, GeneratorCPUS: 5, Messages: 20, Deliveries: 320_000}
	r := &Results{
		Conditions: Conditions{Date: "2026-01-02", Commit: "abc1234", Dirty: true, Go: "1.26.0", Kernel: "6.1.0", CPU: "Some CPU",
			Cores: 2, MemoryGiB: 23.6, Descriptors: 20000, Buckets: 262144, Load: "0.07"},
		Rounds: 2,
		Scenarios: []Played{
			{Kind: "idle", Name: "idle-16000", Title: "16,000 idle connections in one process", Conns: 16000, Runs: []Run{
				{System: "hubbub", Round: 1, Measured: hub(0, 20e6, 310), Commands: []string{"bin/server -addr 127.0.0.1:1", "bin/loadgen -conns 16000"}},
				{System: "gorilla", Round: 1, Measured: hub(0, 260e6, 15_500)},
				{System: "hubbub", Round: 2, Measured: hub(0, 20.4e6, 330)},
				{System: "gorilla", Round: 2, Measured: hub(0, 260e6, 15_500)},
				{System: "centrifuge", Round: 1, Measured: hub(0, 380e6, 22_800)},
				{System: "channels", Round: 1, Measured: hub(0, 27e6, 760)},
			}},
			{Kind: "fanout", Name: "fanout-16000", Title: "Fan-out to 16,000 connections in one process", Conns: 16000, Runs: []Run{
				{System: "hubbub", Round: 1, Measured: hub(70, 20e6, 0), Raw: distributed(1, 81)},
				{System: "gorilla", Round: 1, Measured: hub(140, 260e6, 0), Raw: distributed(2, 81)},
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
				{System: "hubbub", Round: 1, Raw: distributed(1, 120), Measured: Measured{DeliveriesPerS: 900_000, LatencyP50MS: 8.5, LatencyP99MS: 20.25, ServerCPUS: 4, ServerSystemS: 4, GeneratorCPUS: 1, Deliveries: 2_000_000}},
				{System: "gorilla", Round: 1, Raw: distributed(4, 90), Measured: Measured{DeliveriesPerS: 200_000, LatencyP50MS: 40, LatencyP99MS: 90, ServerCPUS: 6, GeneratorCPUS: 2, Deliveries: 1_000_000}},
				{System: "hubbub", Round: 2, Raw: distributed(1.5, 120), Measured: Measured{DeliveriesPerS: 800_000, LatencyP50MS: 9.5, LatencyP99MS: 21.5, ServerCPUS: 4, ServerSystemS: 4, GeneratorCPUS: 1, Deliveries: 2_000_000}},
				{System: "gorilla", Round: 2, Raw: distributed(4, 70), Measured: Measured{DeliveriesPerS: 200_000, LatencyP50MS: 40, LatencyP99MS: 90, ServerCPUS: 6, GeneratorCPUS: 2, Deliveries: 1_000_000}},
			}},
			{Kind: "history", Name: "history-1000", Title: "1,000 channels with a publisher each, 4 publications in flight, all kept and acknowledged; and not kept", Conns: 1000, Runs: []Run{
				{System: "channels, kept", Round: 1, Measured: Measured{DeliveriesPerS: 20_000, LatencyP50MS: 180, LatencyP99MS: 300, ServerCPUS: 6, GeneratorCPUS: 2, Deliveries: 160_000}},
				{System: "channels", Round: 1, Measured: Measured{DeliveriesPerS: 80_000, LatencyP50MS: 40, LatencyP99MS: 90, ServerCPUS: 4, GeneratorCPUS: 4, Deliveries: 640_000}},
			}},
			{Kind: "scaling", Name: "scaling", Title: "From 1,000 to 100,000 connections: fan-out by hubbub alone", Conns: 100_000, Runs: []Run{
				size(1000, 1, 5, 900), size(10_000, 1, 60, 420), size(100_000, 1, 800, 360),
				size(1000, 2, 7, 920), size(10_000, 2, 62, 400), size(100_000, 2, 840, 350),
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
	for name, write := range map[string]func(io.Writer, *Results) error{"report.md": render, "report.html": renderPage} {
		var got bytes.Buffer
		if err := write(&got, someResults()); err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", name)
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
}

// The page needs nothing but itself, and nothing that was put in gets out as markup.
func TestPageIsSafe(t *testing.T) {
	r := someResults()
	r.Scenarios[2].Runs[3].Error = "floor: <script>alert(1)</script>"
	var page bytes.Buffer
	if err := renderPage(&page, r); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"<script", "<link", "<img", "@import", "url(", "src=", "ZgotmplZ"} {
		if strings.Contains(page.String(), bad) {
			t.Errorf("the page has %q in it", bad)
		}
	}
	for _, link := range regexp.MustCompile(`href="([^"]*)"`).FindAllStringSubmatch(page.String(), -1) {
		if id, inside := strings.CutPrefix(link[1], "#"); inside {
			if !strings.Contains(page.String(), `id="`+id+`"`) {
				t.Errorf("the page has no %s, to which it links", id)
			}
		} else if link[1] != "results.json.gz" {
			t.Errorf("the page links to %s", link[1])
		}
	}
	for _, s := range shades {
		if n := strings.Count(page.String(), s.Light); n != 1 {
			t.Errorf("%s is in the page %d times, want it in the style sheet alone", s.Light, n)
		}
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
	for _, name := range []string{"report.md", "report.html", "idle-16000.svg", "fanout-16000.svg", "fanout-16000-time.svg", "fanout-50000.svg",
		"chat-1000.svg", "chat-1000-latency.svg", "scaling.svg"} {
		if info, err := os.Stat(filepath.Join(folder, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s is missing or empty (%v)", name, err)
		}
	}
}

func TestPlotNamesWhatItShows(t *testing.T) {
	for _, test := range []struct {
		file string
		want []string
		not  string
	}{
		{"idle-16000.svg", []string{"16,000 idle connections", "bytes", "320 [310–330]", "15,500", "hubbub", "gorilla"}, "floor"},
		{"fanout-50000.svg", []string{"Fan-out to 50,000", "ms", "1,017 [800–1,234]", "600", "floor"}, "gorilla"},
		{"fanout-16000-time.svg", []string{"Fan-out to 16,000", "hubbub", "gorilla", "100 %"}, "floor"},
		{"chat-1000-latency.svg", []string{"hubbub", "gorilla", "50 %", "99.99 %", "latency, ms"}, "floor"},
		{"scaling.svg", []string{"last delivery, ms", "bytes/connection", "10,000"}, "gorilla"},
	} {
		svg := drawn(t, test.file)
		for _, want := range test.want {
			if !strings.Contains(svg, want) {
				t.Errorf("%s doesn't say %q", test.file, want)
			}
		}
		if strings.Contains(svg, test.not) {
			t.Errorf("%s says %q", test.file, test.not)
		}
	}
}

// drawn returns one of the plots of someResults.
func drawn(t *testing.T, file string) string {
	t.Helper()
	for _, p := range someResults().Scenarios {
		all, err := pictures(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, pic := range all {
			if pic.File == file {
				svg, err := pic.SVG()
				if err != nil {
					t.Fatal(err)
				}
				return string(svg)
			}
		}
	}
	t.Fatalf("there is no %s", file)
	return ""
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
