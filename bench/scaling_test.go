package main

import (
	"slices"
	"testing"
	"time"
)

func TestSizes(t *testing.T) {
	for _, test := range []struct {
		most int
		want []int
	}{
		{500, []int{500}},
		{1000, []int{1000}},
		{4000, []int{1000, 4000}},
		{100_000, []int{1000, 10_000, 100_000}},
		{1_000_000, []int{1000, 10_000, 100_000, 1_000_000}},
	} {
		if got := sizes(test.most); !slices.Equal(got, test.want) {
			t.Errorf("sizes(%d) = %v, want %v", test.most, got, test.want)
		}
	}
}

// A message to a million takes longer than a second, and all of them longer than other scenarios.
func TestScalingToAMillionTakesItsTime(t *testing.T) {
	some := scalingScenario(options{conns: 100_000, length: short})
	million := scalingScenario(options{conns: 1_000_000, length: short})
	if some.patience != 0 || million.patience < slowly*time.Minute {
		t.Errorf("patience of %v with 100,000 and %v with 1,000,000", some.patience, million.patience)
	}
	var names []string
	for _, c := range million.contenders {
		names = append(names, c.name)
	}
	if want := []string{"1,000", "10,000", "100,000", "1,000,000"}; !slices.Equal(names, want) {
		t.Errorf("played with %q, want %q", names, want)
	}
}
