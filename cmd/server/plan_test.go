package main

import (
	"strings"
	"testing"

	"hubbub"
)

func TestPlan(t *testing.T) {
	for _, tt := range []struct {
		name                     string
		maxConns, workers, limit int
		want                     processes
	}{
		{"one process has room", 100, 0, 228,
			processes{1, 100, "one process: it may hold 100 connections (limit of 228 open files)"}},
		{"one connection more", 101, 0, 228,
			processes{2, 51, "2 workers of 51 connections: a process may hold 100 (limit of 228 open files)"}},
		{"a machine as it often is", 100_000, 0, 20_000,
			processes{6, 16_667, "6 workers of 16667 connections: a process may hold 19872 (limit of 20000 open files)"}},
		{"a million", 1_000_000, 0, 20_000,
			processes{51, 19_608, "51 workers of 19608 connections: a process may hold 19872 (limit of 20000 open files)"}},
		{"no limit to speak of", 1_000_000, 0, 1 << 30,
			processes{1, 1_000_000, "one process: it may hold 1073741696 connections (limit of 1073741824 open files)"}},
		{"more workers than it takes", 100, 3, 228,
			processes{3, 34, "3 workers of 34 connections, as asked for"}},
		{"as many as it takes", 200, 2, 228,
			processes{2, 100, "2 workers of 100 connections, as asked for"}},
		{"one, asked for", 100, 1, 228,
			processes{1, 100, "one process: it may hold 100 connections (limit of 228 open files)"}},
		{"more workers than connections", 2, 3, 228,
			processes{3, 1, "3 workers of 1 connections, as asked for"}},
		{"room for one", 3, 0, hubbub.ReservedDescriptors + 1,
			processes{3, 1, "3 workers of 1 connections: a process may hold 1 (limit of 129 open files)"}},
	} {
		got, err := plan(tt.maxConns, tt.workers, tt.limit)
		if err != nil || got != tt.want {
			t.Errorf("%s: %+v and %v, want %+v", tt.name, got, err, tt.want)
		}
	}
}

func TestPlanRefuses(t *testing.T) {
	for _, tt := range []struct {
		name                     string
		maxConns, workers, limit int
		want                     []string // parts of the error: what is wrong, and the way out
	}{
		{"too few workers", 101, 1, 228,
			[]string{"-workers 1 can hold 100 connections of -max-conns 101", "-workers 2 or 0", "ulimit -n"}},
		{"too few workers by one", 301, 3, 228, []string{"-workers 3 can hold 300", "-workers 4 or 0"}},
		{"no room at all", 1, 0, hubbub.ReservedDescriptors, []string{"only 128 files", "at least 129"}},
		{"less than that", 1, 4, 3, []string{"only 3 files", "at least 129"}},
	} {
		p, err := plan(tt.maxConns, tt.workers, tt.limit)
		if err == nil {
			t.Errorf("%s: %+v, want an error", tt.name, p)
			continue
		}
		for _, part := range tt.want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %q, want something with %q", tt.name, err, part)
			}
		}
	}
}

// TestPlanFits looks at every small case: all connections have a place, no
// process is over its limit, and none is there without need.
func TestPlanFits(t *testing.T) {
	for maxConns := 1; maxConns <= 60; maxConns++ {
		for room := 1; room <= 20; room++ {
			for workers := range 10 {
				p, err := plan(maxConns, workers, hubbub.ReservedDescriptors+room)
				if err != nil {
					if workers == 0 || workers*room >= maxConns {
						t.Errorf("plan(%d, %d, reserved+%d): %v", maxConns, workers, room, err)
					}
					continue
				}
				fits := p.perConns <= room && p.workers*p.perConns >= maxConns
				least := p.perConns >= 1 && p.workers*(p.perConns-1) < maxConns
				asked := p.workers == workers || workers == 0 && (p.workers-1)*room < maxConns
				if !fits || !least || !asked {
					t.Errorf("plan(%d, %d, reserved+%d) = %+v", maxConns, workers, room, p)
				}
			}
		}
	}
}
