package main

import (
	"maps"
	"testing"
)

func TestSpreadOf(t *testing.T) {
	for _, test := range []struct {
		name   string
		values map[int]float64
		want   Spread
	}{
		{"nothing", nil, Spread{}},
		{"one round", map[int]float64{2: 7}, Spread{7, 7, 7, 1}},
		{"odd", map[int]float64{1: 9, 2: 1, 3: 2}, Spread{2, 1, 9, 3}},
		{"even", map[int]float64{1: 8, 2: 1, 3: 5, 4: 2}, Spread{3.5, 1, 8, 4}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := spreadOf(test.values); got != test.want {
				t.Errorf("spreadOf(%v) = %+v, want %+v", test.values, got, test.want)
			}
		})
	}
}

func TestRatiosArePairedByRound(t *testing.T) {
	got := ratios(
		map[int]float64{1: 10, 2: 20, 3: 30, 4: 5},
		map[int]float64{1: 5, 3: 60, 4: 0, 5: 1},
	)
	want := map[int]float64{1: 2, 3: 0.5}
	if !maps.Equal(got, want) {
		t.Errorf("ratios = %v, want %v", got, want)
	}
}
