package main

import (
	"maps"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// TestMemoryLimit: each process has its share of what there is, unless it is told
// otherwise.
func TestMemoryLimit(t *testing.T) {
	there, err := memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem)()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"GOMEMLIMIT", "AUTOMEMLIMIT"} {
		t.Setenv(name, "")
		os.Unsetenv(name)
	}
	for _, form := range forms {
		all := map[string]float64{"": 1}
		if form.name == "supervised" {
			all = map[string]float64{"0": 3, "1": 3, "supervisor": 3}
		}
		expect := func(t *testing.T, want func(of float64) float64) {
			t.Helper()
			limits := start(t, form.args...).scrapePage("").byWorker("go_gc_gomemlimit_bytes", "", "")
			if !slices.Equal(slices.Sorted(maps.Keys(limits)), slices.Sorted(maps.Keys(all))) {
				t.Errorf("limits by process: %v", limits)
			}
			for process, limit := range limits {
				if want := want(all[process]); math.Abs(limit-want) > 10 { // rounded
					t.Errorf("process %q has a limit of %v bytes, want %v", process, limit, want)
				}
			}
		}
		t.Run(form.name+"/share", func(t *testing.T) {
			expect(t, func(of float64) float64 { return 0.9 * float64(there) / of })
		})
		t.Run(form.name+"/told", func(t *testing.T) {
			t.Setenv("GOMEMLIMIT", "100MiB")
			expect(t, func(float64) float64 { return 100 << 20 })
		})
	}
}
