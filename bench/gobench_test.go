package main

import (
	"os"
	"reflect"
	"testing"
)

func TestParseBenchmarks(t *testing.T) {
	output, err := os.ReadFile("testdata/bench.txt")
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseBenchmarks(string(output))
	if err != nil {
		t.Fatal(err)
	}
	want := []GoBenchmark{
		{"hubbub/internal/wire", "Parse/size=128", map[string]float64{"ns/op": 131.5, "MB/s": 973.38, "B/op": 0, "allocs/op": 0}},
		{"hubbub/internal/broadcast", "FanOut/members=1000", map[string]float64{"ns/op": 12000, "ns/delivery": 12, "B/op": 32, "allocs/op": 2}},
		{"hubbub/internal/broadcast", "Unmeasured", map[string]float64{"ns/op": 1000}},
		{"hubbub/internal/broadcast", "NoProcessors/a-b", map[string]float64{"ns/op": 10}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestParseBenchmarksRefusesWhatIsNoNumber(t *testing.T) {
	if got, err := parseBenchmarks("BenchmarkX-2 100 fast ns/op\n"); err == nil {
		t.Errorf("got %v, want an error", got)
	}
}

func TestPerDelivery(t *testing.T) {
	for _, test := range []struct {
		name   string
		values map[string]float64
		want   float64
		ok     bool
	}{
		{"two allocations over a thousand deliveries", map[string]float64{"ns/op": 12000, "ns/delivery": 12, "allocs/op": 2}, 0.002, true},
		{"none", map[string]float64{"ns/op": 12000, "ns/delivery": 12, "allocs/op": 0}, 0, true},
		{"no deliveries", map[string]float64{"ns/op": 12000, "allocs/op": 2}, 0, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, ok := GoBenchmark{Values: test.values}.perDelivery()
			if got != test.want || ok != test.ok {
				t.Errorf("perDelivery = %v, %v; want %v, %v", got, ok, test.want, test.ok)
			}
		})
	}
}
