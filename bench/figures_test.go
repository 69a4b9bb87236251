package main

import (
	"slices"
	"strings"
	"testing"
)

func TestVerdict(t *testing.T) {
	for _, test := range []struct {
		name   string
		figure Figure
		want   string
	}{
		{"less is better: at the aim", Figure{AtLeast: 2, Aim: 1, Measured: Spread{Median: 1}, Known: true}, "aim reached"},
		{"less is better: between", Figure{AtLeast: 2, Aim: 1, Measured: Spread{Median: 2}, Known: true}, "enough"},
		{"less is better: beyond", Figure{AtLeast: 2, Aim: 1, Measured: Spread{Median: 2.1}, Known: true}, "missed"},
		{"more is better: at the aim", Figure{AtLeast: 1, Aim: 2, More: true, Measured: Spread{Median: 2}, Known: true}, "aim reached"},
		{"more is better: between", Figure{AtLeast: 1, Aim: 2, More: true, Measured: Spread{Median: 1}, Known: true}, "enough"},
		{"more is better: beyond", Figure{AtLeast: 1, Aim: 2, More: true, Measured: Spread{Median: 0.9}, Known: true}, "missed"},
		{"nothing known", Figure{AtLeast: 1, Aim: 2}, "not measured"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.figure.Verdict(); got != test.want {
				t.Errorf("Verdict = %q, want %q", got, test.want)
			}
		})
	}
}

// What went wrong in a single round is not to vanish in a median.
func TestFiguresShowTheWorst(t *testing.T) {
	r := someResults()
	r.Scenarios[2].Runs = append(r.Scenarios[2].Runs, Run{System: "hubbub", Round: 3, Measured: Measured{LastMS: 1, Messages: 20}})
	r.Benchmarks = append(r.Benchmarks, GoBenchmark{Values: map[string]float64{"ns/op": 10, "ns/delivery": 10, "allocs/op": 1}})
	got := figures(r)
	if wrong := figureOf(t, got, "lost"); wrong.Measured.Median != 3 || wrong.Verdict() != "missed" {
		t.Errorf("losses of 3, 0 and 0 count as %v, %s", wrong.Measured.Median, wrong.Verdict())
	}
	if allocs := figureOf(t, got, "allocations"); allocs.Measured.Median != 1 || allocs.Verdict() != "missed" {
		t.Errorf("allocations of 0.002 and 1 count as %v, %s", allocs.Measured.Median, allocs.Verdict())
	}
}

// figureOf returns the one whose name has the word in it.
func figureOf(t *testing.T, all []Figure, word string) Figure {
	t.Helper()
	i := slices.IndexFunc(all, func(f Figure) bool { return strings.Contains(f.What, word) })
	if i < 0 {
		t.Fatalf("no figure says %q", word)
	}
	return all[i]
}

// The best of the others in a round is what counts, not the one that is best over all.
func TestLatencyIsComparedWithTheBestPeer(t *testing.T) {
	run := func(system string, round int, p99 float64) Run {
		return Run{System: system, Round: round, Measured: Measured{LatencyP99MS: p99}}
	}
	r := &Results{Scenarios: []Played{{Kind: latency, Conns: 1000, Runs: []Run{
		run("hubbub", 1, 4), run("gorilla", 1, 8), run("gws", 1, 16),
		run("hubbub", 2, 4), run("gorilla", 2, 40), run("gws", 2, 4),
	}}}}
	all := figures(r)
	if got := figureOf(t, all, "p99").Measured; got.Min != 0.5 || got.Max != 1 {
		t.Errorf("p99 over the best peer's is %v to %v, want 0.5 to 1", got.Min, got.Max)
	}
	if len(all) != 1 {
		t.Errorf("%d figures of a run with one scenario: %+v", len(all), all)
	}
}

func TestFault(t *testing.T) {
	for _, test := range []struct {
		name  string
		run   Run
		fault bool
	}{
		{"all well", Run{Measured: Measured{LastMS: 1}}, false},
		{"an error", Run{Error: "server ended"}, true},
		{"missing", Run{Measured: Measured{Missing: 1}}, true},
		{"duplicate", Run{Measured: Measured{Duplicate: 1}}, true},
		{"reordered", Run{Measured: Measured{Reordered: 1}}, true},
		{"corrupt", Run{Measured: Measured{Corrupt: 1}}, true},
		{"not connected", Run{Measured: Measured{ConnsFailed: 1}}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.run.Fault(); (got != "") != test.fault {
				t.Errorf("Fault = %q", got)
			}
		})
	}
}
