package main

import (
	"slices"
	"testing"

	"gonum.org/v1/plot/vg"
)

// What some round doesn't have would be the others' median.
func TestCurvesAreMediansOfAllRounds(t *testing.T) {
	run := func(system string, round int, raw []byte) Run { return Run{System: system, Round: round, Raw: raw} }
	failed := run("hubbub", 4, distributed(1000, 81))
	failed.Error = "server ended"
	curves, err := curvesOf(Played{Kind: chat, Runs: []Run{
		run("hubbub", 1, distributed(1, 81)), run("gorilla", 1, []byte(`{"latency_curve": []}`)),
		run("hubbub", 2, distributed(5, 130)), run("hubbub", 3, distributed(2, 41)), failed,
	}})
	if err != nil {
		t.Fatal(err)
	}
	if len(curves) != 1 || curves[0].system != "hubbub" {
		t.Fatalf("curves %+v, want one of hubbub", curves)
	}
	points := curves[0].points
	if n := len(points); n != 41 || points[0] != (quantile{0, 2}) || points[40] != (quantile{0.99, 2 * 41}) {
		t.Errorf("%d points from %+v to %+v, want 41 from 2 to 82", n, points[0], points[n-1])
	}
	curves, err = curvesOf(Played{Kind: chat, Runs: []Run{run("hubbub", 1, distributed(1, 130))}})
	if err != nil || len(curves[0].points) != 81 {
		t.Errorf("%d points, %v; want 81, up to 99.99 %%", len(curves[0].points), err)
	}
	if _, err := curvesOf(Played{Kind: chat, Runs: []Run{run("hubbub", 1, []byte("no JSON"))}}); err == nil {
		t.Error("no error for a report that can't be read")
	}
}

func TestApart(t *testing.T) {
	for _, test := range []struct {
		name     string
		at, want []vg.Length
	}{
		{"far enough", []vg.Length{80, 20}, []vg.Length{80, 20}},
		{"too near", []vg.Length{50, 52}, []vg.Length{42, 52}},
		{"all on top: in their order", []vg.Length{100, 100, 100}, []vg.Length{95, 85, 75}},
		{"at the bottom", []vg.Length{0, 3, 60}, []vg.Length{5, 15, 60}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := apart(test.at, 10, 5, 95); !slices.Equal(got, test.want) {
				t.Errorf("apart(%v) = %v, want %v", test.at, got, test.want)
			}
		})
	}
}

func TestLogTicks(t *testing.T) {
	labels := func(least, most float64) (all []string) {
		for _, t := range (logTicks{}).Ticks(least, most) {
			all = append(all, t.Label)
		}
		return all
	}
	if got, want := labels(0.2, 11), []string{"0.2", "0.5", "1", "2", "5", "10"}; !slices.Equal(got, want) {
		t.Errorf("marks %q, want %q", got, want)
	}
	if got, want := labels(1000, 1_000_000), []string{"1,000", "10,000", "100,000", "1,000,000"}; !slices.Equal(got, want) {
		t.Errorf("marks %q, want %q", got, want)
	}
}
