package main

import (
	"fmt"
	"io"
	"slices"
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

	about Played // the scenario that it's taken from, if it is from one
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

// figures draws the figures from the results, of those scenarios that were played. What is wanted of
// the biggest fan-out is meant for 100,000 connections.
func figures(r *Results) []Figure {
	held, small, big := r.find(idle), r.find(fanOut), r.find(bigFanOut)
	busy, answered, timed, many := r.find(chat), r.find(echo), r.find(latency), r.find(rooms)
	smallTo, bigTo := thousands(small.Conns), thousands(big.Conns)

	wrong, messages := lost(big)
	goroutines, counted := goroutineGrowth(small)
	allocs, benchmarked := allocsPerDelivery(r.Benchmarks)
	all := []Figure{
		{about: held, What: fmt.Sprintf("RSS per idle connection at %s in one process", thousands(held.Conns)), AtLeast: 470, Aim: 350, Unit: " B",
			Measured: spreadOf(held.values(hubbub.name, idleMemory))},
		{about: small, What: fmt.Sprintf("fan-out to %s: last delivery over the floor's", smallTo), AtLeast: 0.8, Aim: 0.65,
			Measured: small.over(floorName, lastDelivery)},
		{about: small, What: fmt.Sprintf("fan-out to %s: last delivery over gorilla's", smallTo), AtLeast: 0.9, Aim: 0.6,
			Measured: small.over(gorilla, lastDelivery)},
		{about: big, What: fmt.Sprintf("fan-out to %s: last delivery over the floor's", bigTo), AtLeast: 1, Aim: 0.8,
			Measured: big.over(floorName, lastDelivery)},
		{about: busy, What: fmt.Sprintf("%s members, 8 publishers: deliveries/s over gorilla's", thousands(busy.Conns)), AtLeast: 4, Aim: 6, More: true,
			Measured: busy.over(gorilla, deliveries)},
		{about: answered, What: fmt.Sprintf("echo to %s: answers/s over gorilla's", thousands(answered.Conns)), AtLeast: 1.3, Aim: 1.5, More: true,
			Measured: answered.over(gorilla, deliveries)},
		{about: held, What: fmt.Sprintf("connections/s at %s over gorilla's", thousands(held.Conns)), AtLeast: 2.3, Aim: 2.5, More: true,
			Measured: held.over(gorilla, connects)},
		{about: timed, What: fmt.Sprintf("%s members, 100 messages/s: p99 over the best peer's", thousands(timed.Conns)), AtLeast: 1, Aim: 0.5,
			Measured: spreadOf(ratios(timed.values(hubbub.name, latencyP99), timed.least(latencyP99)))},
		{about: many, What: fmt.Sprintf("rooms of %d, everybody posting: deliveries/s over gorilla's", roomSize), AtLeast: 1.5, Aim: 2, More: true,
			Measured: many.over(gorilla, deliveries)},
		{about: big, What: bigTo + " connections: opened in", AtLeast: 15_000, Aim: 25_000, Unit: "/s", More: true,
			Measured: spreadOf(big.values(hubbub.name, connects))},
		{about: big, What: bigTo + ": RSS of all server processes together", AtLeast: 300, Aim: 150, Unit: " MB",
			Measured: spreadOf(big.values(hubbub.name, memoryMB))},
		{about: big, What: fmt.Sprintf("%s: lost, doubled, reordered over %d messages", bigTo, messages), Measured: wrong},
		{about: small, What: fmt.Sprintf("goroutines at %s connections minus at 0", smallTo), Measured: goroutines, Known: counted},
		{What: "allocations per delivery in steady state", Measured: allocs, Known: benchmarked},
	}
	all = append(all, featFigures(r)...)
	for i := range all {
		all[i].Known = all[i].Known || all[i].Measured.N > 0
	}
	return slices.DeleteFunc(all, func(f Figure) bool { return !f.Known && f.about.Runs == nil })
}

// over returns the server's figure over another's, round by round.
func (p Played) over(other string, figure func(Measured) float64) Spread {
	return spreadOf(ratios(p.values(hubbub.name, figure), p.values(other, figure)))
}

// least returns the least that any of the others had in each round.
func (p Played) least(figure func(Measured) float64) map[int]float64 {
	least := make(map[int]float64)
	for _, run := range p.Runs {
		v := figure(run.Measured)
		if run.System == hubbub.name || run.Error != "" || v == 0 {
			continue
		}
		if have, ok := least[run.Round]; !ok || v < have {
			least[run.Round] = v
		}
	}
	return least
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
		if f.Known {
			fmt.Fprintf(w, "%-60s %s (%s)\n", f.What, f.MeasuredText(), f.Verdict())
		}
	}
}
