package main

import (
	"maps"
	"slices"
)

// Spread is the median of some values and the range that they lie in.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	N      int     `json:"n"` // values
}

// spreadOf summarizes the values of some rounds.
func spreadOf(byRound map[int]float64) Spread {
	sorted := slices.Sorted(maps.Values(byRound))
	n := len(sorted)
	if n == 0 {
		return Spread{}
	}
	return Spread{
		Median: (sorted[(n-1)/2] + sorted[n/2]) / 2,
		Min:    sorted[0],
		Max:    sorted[n-1],
		N:      n,
	}
}

// ratios divides a by b within each round that both have: what the machine did besides in that
// round was much the same for both.
func ratios(a, b map[int]float64) map[int]float64 {
	byRound := make(map[int]float64)
	for round, v := range a {
		if w := b[round]; w != 0 {
			byRound[round] = v / w
		}
	}
	return byRound
}
