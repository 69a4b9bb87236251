package main

import "testing"

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
	if wrong := got[1]; wrong.Measured.Median != 3 || wrong.Verdict() != "missed" {
		t.Errorf("losses of 3, 0 and 0 count as %v, %s", wrong.Measured.Median, wrong.Verdict())
	}
	if allocs := got[6]; allocs.Measured.Median != 1 || allocs.Verdict() != "missed" {
		t.Errorf("allocations of 0.002 and 1 count as %v, %s", allocs.Measured.Median, allocs.Verdict())
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
