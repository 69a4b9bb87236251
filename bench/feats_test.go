package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
)

// A feat's folder in the results is its own, whatever else was measured at that commit on that day.
func TestFeatFolder(t *testing.T) {
	c := Conditions{Date: "2026-01-02", Commit: "abc1234"}
	for _, test := range []struct {
		opts options
		want string
	}{
		{options{}, "bench/results/2026-01-02-abc1234"},
		{options{feat: storm}, "bench/results/2026-01-02-abc1234/storm"},
		{options{feat: storm, out: "elsewhere"}, "elsewhere"},
	} {
		if got := test.opts.folder(c); got != test.want {
			t.Errorf("the results of %+v go to %s, want %s", test.opts, got, test.want)
		}
	}
}

func TestFeatsAlone(t *testing.T) {
	for _, test := range []struct {
		played string
		given  string
		want   options
	}{
		{"idle,chat", "", options{conns: 1, rounds: 2, benchmark: true}},
		{tailLatency, "", options{feat: tailLatency, conns: 100_000, rounds: 3}},
		{million, "", options{feat: million, conns: 1_000_000, rounds: 1}},
		{million, "conns", options{feat: million, conns: 1, rounds: 1}},
		{churn, "rounds", options{feat: churn, conns: 50_000, rounds: 2}},
	} {
		got := options{conns: 1, rounds: 2, benchmark: true}
		if err := got.alone(test.played, map[string]bool{test.given: true}); err != nil {
			t.Errorf("%s: %v", test.played, err)
		}
		if got.feat != test.want.feat || got.conns != test.want.conns || got.rounds != test.want.rounds || got.benchmark != test.want.benchmark {
			t.Errorf("%s with %q given: %+v, want %+v", test.played, test.given, got, test.want)
		}
	}
}

func TestFeatScenarios(t *testing.T) {
	for _, test := range []struct {
		kind       string
		conns      int
		name       string
		contenders []string
		load       string
	}{
		{tailLatency, 4000, "tail-4000", []string{"hubbub", "hubbub -realtime"}, "-rate 20 -duration 20s"},
		{churn, 4000, "churn-4000", []string{"calm", "churn", "floor, calm", "floor, churn"}, "-rate 1 -duration 20s"},
		{storm, 4000, "storm-4000", []string{"hubbub"}, "-mode storm -duration 10m -timeout 1m"},
		{recovery, 4000, "recover-4000", []string{"hubbub"}, "-mode storm -duration 10m -timeout 2m -recover 30 -protocol rooms -channel-prefix chat:"},
		{keepalive, 4000, "keepalive-4000", []string{"hubbub"}, "-mode idle -duration 1m0s"},
		{million, 4000, "million-4000", []string{"hubbub", "floor"}, "-rate 1 -duration 10s -settle 10s"},
		{million, 130_000, "million-130000", []string{"hubbub", "floor"}, "-rate 0.3333333333333333 -duration 30s -settle 10s"},
		{million, 1_000_000, "million-1000000", []string{"hubbub", "floor"}, "-rate 0.05 -duration 3m20s -settle 10s"},
	} {
		all := scenarios(options{feat: test.kind, scenarios: []string{test.kind}, conns: test.conns, length: usual, realtime: true})
		if len(all) != 1 {
			t.Errorf("%d scenarios of %s, want 1", len(all), test.kind)
			continue
		}
		s := all[0]
		var names []string
		for _, c := range s.contenders {
			names = append(names, c.name)
		}
		if s.name != test.name || s.conns != test.conns || strings.Join(s.load, " ") != test.load || !slices.Equal(names, test.contenders) {
			t.Errorf("%s, %d connections, by %q under %q; want %+v", s.name, s.conns, names, s.load, test)
		}
		if !slices.ContainsFunc(featColumns, func(c column) bool { return slices.Contains(c.kinds, s.kind) }) {
			t.Errorf("%s shows nothing of its own", s.kind)
		}
		if _, ok := featPoints[s.kind]; !ok || featWords[s.kind] == "" {
			t.Errorf("%s: nothing says what it is played for, or what its words mean", s.kind)
		}
	}
}

func TestFeatFigures(t *testing.T) {
	run := func(system string, round int, m Measured) Run { return Run{System: system, Round: round, Measured: m} }
	played := func(kind string, runs ...Run) *Results {
		return &Results{Scenarios: []Played{{Kind: kind, Conns: 4000, Runs: runs}}}
	}
	for _, test := range []struct {
		r    *Results
		want []string
	}{
		{played(tailLatency, run("hubbub", 1, Measured{LatencyP99MS: 12}), run(realtimeName, 1, Measured{LatencyP99MS: 4})),
			[]string{"10 members beside 4,000 in permanent fan-out: p99: 12 ms, enough", "10 members beside 4,000, server and generator with -realtime: p99: 4 ms, aim reached"}},
		{played(churn, run(calm, 1, Measured{LastMS: 100}), run(churn, 1, Measured{LastMS: 104}), run(calm, 2, Measured{LastMS: 200}), run(churn, 2, Measured{LastMS: 240})),
			[]string{"fan-out to 4,000 while 2,000 a second come and go: last delivery over calm: 1.12 [1.04–1.20], enough"}},
		{played(storm, run("hubbub", 1, Measured{BackS: 16})),
			[]string{"server killed under 4,000: all back after: 16 s, missed"}},
		{played(recovery, run("hubbub", 1, Measured{ReadyS: 14, BackS: 31})),
			[]string{"4,000 at once, each recovering 30 messages: all ready after: 14 s, aim reached", "server killed under 4,000: all back, and recovered, after: 31 s, missed"}},
		{played(keepalive, run("hubbub", 1, Measured{ServerCPUPercent: 2.5})),
			[]string{"4,000 idle, pinged every 30 s: server CPU: 2.50 % of a core, aim reached"}},
		{played(million, run("hubbub", 1, Measured{OpenedS: 40, LastMS: 8500, EverythingBytes: 7.5e9, Missing: 1, Messages: 10})),
			[]string{"4,000 connections: opened in: 40 s, aim reached", "fan-out to 4,000: last delivery: 8.50 s, enough",
				"4,000: memory of everything: 7.50 GB, enough", "4,000: lost, doubled, reordered over 10 messages: 1, missed"}},
	} {
		var got []string
		for _, f := range figures(test.r) {
			got = append(got, f.What+": "+f.MeasuredText()+", "+f.Verdict())
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("figures %q, want %q", got, test.want)
		}
		if words := test.r.FeatWords(); len(words) != 2 || !strings.Contains(words[1], ",000") {
			t.Errorf("words %q, want what they mean and at what size", words)
		}
	}
}

func TestMeasuredOfFeats(t *testing.T) {
	const text = `{"conns_failed": 7, "conns_lost": 3, "churn": {"failed": 5}, "server": {"rss_bytes": 5000}, "generator": {"rss_bytes": 7000}, "recovery": {"all_ready_s": 4.5},
		"storm": {"lost": 90, "first_loss": "2026-01-02T03:04:05.5Z", "back_s": {"p50": 1, "last": 2.5}}}`
	var load loadReport
	if err := json.Unmarshal([]byte(text), &load); err != nil {
		t.Fatal(err)
	}
	if m := measured(load); m.ConnsFailed != 15 || m.GeneratorRSSBytes != 7000 || m.ReadyS != 4.5 {
		t.Errorf("%d connections failed, %v bytes of the generator, all ready after %v s; want those that were lost, and of the churn, too: 15, and 7000, 4.5", m.ConnsFailed, m.GeneratorRSSBytes, m.ReadyS)
	}
	killed := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if s := load.Storm; s.Lost != 90 || s.back(killed) != 3 {
		t.Errorf("%+v: all back %v s after %v, want 3", s, s.back(killed), killed)
	}
}

func TestFeatsOverTheFloor(t *testing.T) {
	run := func(system string, last float64) Run {
		return Run{System: system, Round: 1, Measured: Measured{LastMS: last}}
	}
	for _, test := range []struct {
		kind string
		runs []Run
		want string
	}{
		{churn, []Run{run(calm, 100), run(churn, 150), run(calmFloor, 50), run(churnFloor, 60)}, "Over the floor's, that figure is 1.25."},
		{churn, []Run{run(calm, 100), run(churn, 150)}, ""},
		{million, []Run{run("hubbub", 18), run(floorName, 16)}, "Over the floor's, that figure is 1.12."},
		{storm, []Run{run("hubbub", 18), run(floorName, 16)}, ""},
	} {
		r := Results{Scenarios: []Played{{Kind: test.kind, Conns: 4000, Runs: test.runs}}}
		words := r.FeatWords()
		if got := slices.Index(words, test.want); (got < 0) != (test.want == "") || test.want == "" && len(words) != 2 {
			t.Errorf("%s: words %q, want %q among them", test.kind, words, test.want)
		}
	}
}

func TestMemoryTaken(t *testing.T) {
	const meminfo = "MemTotal:       1000 kB\nMemFree:         300 kB\nMemAvailable:    700 kB\nBuffers:          50 kB\nCached:          150 kB\nHugePages_Total:       7\n"
	if got, err := memoryTaken(meminfo); err != nil || got != (memory{300 * 1024, 500 * 1024}) {
		t.Errorf("memoryTaken = %v, %v, want 307200 and 512000", got, err)
	}
	for _, text := range []string{"MemTotal: 1000 kB\n", "MemTotal: 1000 kB\nMemFree: 100 kB\n"} {
		if _, err := memoryTaken(text); err == nil {
			t.Errorf("a machine that says only %q has memory taken", text)
		}
	}
}
