package main

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// someHostility has two kinds in two rounds, a loss and a run that failed.
func someHostility() *Hostility {
	trial := func(system, of string, round int, last float64, counted map[string]float64) Trial {
		t := Trial{Run: Run{Scenario: "hostile", System: system, Round: round, Measured: Measured{LastMS: last, P99MS: 0.9 * last}},
			For: of, PeakRSS: 20e6, Counted: counted}
		t.CPU.Server, t.CPU.Generator, t.CPU.Hostile, t.CPU.Others = 2, 3, 0.25, float64(round)
		return t
	}
	h := &Hostility{
		Conditions: Conditions{Date: "2026-01-02", Commit: "abc1234", Go: "1.26.0", Kernel: "6.1.0", CPU: "Some CPU",
			Cores: 2, MemoryGiB: 23.6, Descriptors: 20000, Load: "0.07"},
		Rounds: 2, Honest: 800, Hostile: 200,
		Kinds: []HostileKind{{"calm", "behave"}, {"trickle", "read slowly"}, {"garbage", "send noise"}},
		Trials: []Trial{
			trial("calm", "trickle", 1, 100, map[string]float64{"ended peer": 800}),
			trial("trickle", "trickle", 1, 110, map[string]float64{"ended peer": 800, "ended slow_consumer": 30, "backlog bytes": 1200}),
			trial("calm", "trickle", 2, 200, nil),
			trial("trickle", "trickle", 2, 180, map[string]float64{"ended peer": 800, "ended slow_consumer": 10}),
			trial("calm", "garbage", 1, 120, nil),
			trial("garbage", "garbage", 1, 240, map[string]float64{"refused malformed": 7, "ended peer": 804}),
			trial("calm", "garbage", 2, 100, nil),
			{Run: Run{System: "garbage", Round: 2, Error: "hostile said nothing"}, For: "garbage"},
		},
	}
	h.Trials[5].Measured.Missing, h.Trials[5].Measured.ConnsFailed = 3, 1
	h.Trials[7].Commands = []string{"bin/server", "bin/hostile"}
	return h
}

func TestHostileReport(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "results")
	if err := someHostility().write(folder); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(folder, "hostile.md"))
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "hostile.md")
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the report differs from %s (go test ./bench -update writes it anew):\n%s", golden, got)
	}
}

func TestHostileFaults(t *testing.T) {
	h := someHostility()
	faulty := h.faulty()
	if len(faulty) != 2 || faulty[0].System != "garbage" || faulty[1].Error == "" {
		t.Errorf("faulty = %+v, want both runs of garbage", faulty)
	}
	if len(h.Trials) != 8 {
		t.Errorf("looking for faults has left %d trials of 8", len(h.Trials))
	}
}

func TestChooseKinds(t *testing.T) {
	const list = "calm\tbehave well\ntrickle\tread slowly\ngarbage\tsend noise\n"
	for _, test := range []struct {
		list, wanted string
		want         []HostileKind // nil: refused
	}{
		{list, "", []HostileKind{{"calm", "behave well"}, {"trickle", "read slowly"}, {"garbage", "send noise"}}},
		{list, "garbage", []HostileKind{{"calm", "behave well"}, {"garbage", "send noise"}}},
		{list, "garbage,trickle", []HostileKind{{"calm", "behave well"}, {"garbage", "send noise"}, {"trickle", "read slowly"}}},
		{list, "calm", nil},
		{list, "garbage,", nil},
		{"trickle\tread slowly\n", "", nil},
		{"", "", nil},
	} {
		got, err := chooseKinds(test.list, test.wanted)
		if !slices.Equal(got, test.want) || (err != nil) != (test.want == nil) {
			t.Errorf("chooseKinds(%q, %q) = %v, %v, want %v", test.list, test.wanted, got, err, test.want)
		}
	}
}

func TestParseCPU(t *testing.T) {
	for _, test := range []struct {
		stat string
		want float64 // 0: refused
	}{
		{"12 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 150 25 13 14", 1.75},
		{"12 (a) S 1 2 3 4 5 6 7 8 9 10 x 25", 0},
		{"12 (a) S 1", 0},
		{"", 0},
	} {
		got, err := parseCPU(test.stat)
		if got != test.want || (err != nil) != (test.want == 0) {
			t.Errorf("parseCPU(%q) = %v, %v, want %v", test.stat, got, err, test.want)
		}
	}
	if all, err := cpuSeconds(os.Getpid()); err != nil || len(all) != 2 || all[1] <= all[0] {
		t.Errorf("this process and the machine: %v, %v", all, err)
	}
}

func TestParseBusy(t *testing.T) {
	for _, test := range []struct {
		line string
		want float64 // 0: refused
	}{
		{"cpu  100 200 300 9000 9000 1 2 3 50 50", 6.06}, // a guest's time is in the user's
		{"cpu0 100 200 300 9000 9000 1 2 3", 0},
		{"cpu 100 200", 0},
		{"cpu 100 200 300 9000 9000 1 2 x", 0},
	} {
		got, err := parseBusy(test.line)
		if got != test.want || (err != nil) != (test.want == 0) {
			t.Errorf("parseBusy(%q) = %v, %v, want %v", test.line, got, err, test.want)
		}
	}
}

func TestPeakRSS(t *testing.T) {
	if got := peakRSS("VmRSS:\t 1 kB\nVmHWM:\t 2000 kB\n"); got != 2_048_000 {
		t.Errorf("peakRSS = %v, want 2048000", got)
	}
	if got := peakRSS(""); got != 0 {
		t.Errorf("peakRSS of nothing = %v", got)
	}
}

func TestCounted(t *testing.T) {
	const page = `# TYPE hubbub_handshakes_refused_total counter
hubbub_handshakes_refused_total{reason="timeout",worker="0"} 3
hubbub_handshakes_refused_total{reason="timeout",worker="1"} 4
hubbub_handshakes_refused_total{reason="gone",worker="1"} 0
# TYPE hubbub_http_rejected_total counter
hubbub_http_rejected_total 5
# TYPE hubbub_backlog_bytes gauge
hubbub_backlog_bytes 6
# TYPE hubbub_topics gauge
hubbub_topics 7
`
	got, err := counted(page)
	want := map[string]float64{"refused timeout": 7, "http rejected": 5, "backlog bytes": 6}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("counted = %v, %v, want %v", got, err, want)
	}
}
