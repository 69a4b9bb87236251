package main

import (
	"runtime"
	"testing"
)

func TestCPUModel(t *testing.T) {
	for _, test := range []struct{ cpuinfo, want string }{
		{"processor\t: 0\nmodel\t\t: 1\nmodel name\t: AMD EPYC: 7 \nmodel name\t: other\n", "AMD EPYC: 7"},
		{"processor\t: 0\nCPU implementer\t: 0x41\n", "unknown " + runtime.GOARCH},
		{"", "unknown " + runtime.GOARCH},
	} {
		if got := cpuModel(test.cpuinfo); got != test.want {
			t.Errorf("cpuModel(%q) = %q, want %q", test.cpuinfo, got, test.want)
		}
	}
}

func TestBuckets(t *testing.T) {
	for entries, want := range map[string]int{"262144": 262144, "-262144": 262144, unknown: 0} {
		if got := buckets(entries); got != want {
			t.Errorf("buckets(%q) = %d, want %d", entries, got, want)
		}
	}
}

func TestMemoryGiB(t *testing.T) {
	for _, test := range []struct {
		meminfo string
		want    float64
	}{
		{"MemFree: 1 kB\nMemTotal:       25165824 kB\n", 24},
		{"", 0},
	} {
		if got := memoryGiB(test.meminfo); got != test.want {
			t.Errorf("memoryGiB(%q) = %v, want %v", test.meminfo, got, test.want)
		}
	}
}
