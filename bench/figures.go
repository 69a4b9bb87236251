package main

import (
	"fmt"
	"io"
)

// Figure is one of the figures that the server is judged by.
type Figure struct {
	What     string  `json:"what"`
	AtLeast  float64 `json:"at_least"`
	Aim      float64 `json:"aim"`
	Unit     string  `json:"unit"`
	Measured Spread  `json:"measured"`
	More     bool    `json:"more"` // whether more is better
	Known    bool    `json:"known"`
}

// Verdict says how the median compares with what was wanted.
func (f Figure) Verdict() string {
	reaches := func(want float64) bool {
		if f.More {
			return f.Measured.Median >= want
		}
		return f.Measured.Median <= want
	}
	switch {
	case !f.Known:
		return "not measured"
	case reaches(f.Aim):
		return "aim reached"
	case reaches(f.AtLeast):
		return "enough"
	}
	return "missed"
}

// figures draws the figures from the results. What is wanted of the
// biggest fan-out is meant for 100,000 connections.
func figures(r *Results) []Figure {
	idle, small, big := r.Scenarios[0], r.Scenarios[1], r.Scenarios[len(r.Scenarios)-1]
	smallTo, bigTo := thousands(small.Conns), thousands(big.Conns)

	wrong, messages := lost(big)
	goroutines, counted := goroutineGrowth(small)
	allocs, benchmarked := allocsPerDelivery(r.Benchmarks)
	figures := []Figure{
		{What: bigTo + " connections: opened in", AtLeast: 15_000, Aim: 25_000, Unit: "/s", More: true,
			Measured: spreadOf(big.values(hubbub.name, func(m Measured) float64 { return m.ConnectPerS }))},
		{What: fmt.Sprintf("%s: lost, doubled, reordered over %d messages", bigTo, messages), Measured: wrong},
		{What: bigTo + ": last delivery over the floor's", AtLeast: 1.5, Aim: 1,
			Measured: spreadOf(ratios(big.values(hubbub.name, lastDelivery), big.values(floorName, lastDelivery)))},
		{What: bigTo + ": RSS of all server processes together", AtLeast: 300, Aim: 150, Unit: " MB",
			Measured: spreadOf(big.values(hubbub.name, func(m Measured) float64 { return m.RSSBytes / 1e6 }))},
		{What: fmt.Sprintf("RSS per idle connection at %s in one process", smallTo), AtLeast: 700, Aim: 400, Unit: " B",
			Measured: spreadOf(idle.values(hubbub.name, idleMemory))},
		{What: fmt.Sprintf("goroutines at %s connections minus at 0", smallTo), Measured: goroutines, Known: counted},
		{What: "allocations per delivery in steady state", Measured: allocs, Known: benchmarked},
		{What: fmt.Sprintf("fan-out to %s over the gorilla hub's", smallTo), AtLeast: 0.9, Aim: 0.6,
			Measured: spreadOf(ratios(small.values(hubbub.name, lastDelivery), small.values(gorilla.name, lastDelivery)))},
	}
	for i := range figures {
		figures[i].Known = figures[i].Known || figures[i].Measured.N > 0
	}
	return figures
}

// lost adds up, for each of the server's runs, what didn't arrive once and in order. messages is
// how many each run sent.
func lost(p Played) (wrong Spread, messages int64) {
	byRound := make(map[int]float64)
	for _, run := range p.Runs {
		if run.System == hubbub.name && run.Error == "" {
			m := run.Measured
			byRound[run.Round] = float64(m.Missing + m.Duplicate + m.Reordered)
			messages = m.Messages
		}
	}
	wrong = spreadOf(byRound)
	wrong.Median = wrong.Max // one loss is one too many
	return wrong, messages
}

// goroutineGrowth returns how many more goroutines the server had with all connections.
func goroutineGrowth(p Played) (Spread, bool) {
	byRound := make(map[int]float64)
	for _, run := range p.Runs {
		if run.Measured.Goroutines != nil {
			byRound[run.Round] = float64(*run.Measured.Goroutines)
		}
	}
	return spreadOf(byRound), len(byRound) > 0
}

// allocsPerDelivery returns the range over the benchmarks that measure deliveries; the worst of
// them is what counts.
func allocsPerDelivery(all []GoBenchmark) (Spread, bool) {
	values := make(map[int]float64)
	for i, b := range all {
		if v, ok := b.perDelivery(); ok {
			values[i] = v
		}
	}
	s := spreadOf(values)
	s.Median = s.Max
	return s, len(values) > 0
}

func printFigures(w io.Writer, figures []Figure) {
	for _, f := range figures {
		fmt.Fprintf(w, "%-60s %s (%s)\n", f.What, f.MeasuredText(), f.Verdict())
	}
}
