package main

import (
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	start := time.Unix(1000, 0)
	type ask struct {
		after time.Duration // since the start
		want  int
	}
	for _, test := range []struct {
		name string
		rate float64
		asks []ask
	}{
		{"none", 0, []ask{{0, 0}, {time.Hour, 0}}},
		{"nothing at first", 1000, []ask{{0, 0}, {10 * time.Millisecond, 10}, {20 * time.Millisecond, 10}}},
		{"fractions add up", 150, []ask{{0, 0}, {10 * time.Millisecond, 1}, {20 * time.Millisecond, 2}, {30 * time.Millisecond, 1}}},
		{"a pause isn't made up for", 1000, []ask{{0, 0}, {10 * time.Second, 100}, {10*time.Second + 10*time.Millisecond, 10}}},
		{"slow ones get their turn", 0.5, []ask{{0, 0}, {time.Second, 0}, {2 * time.Second, 1}, {9 * time.Second, 1}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := pace{rate: test.rate}
			for _, a := range test.asks {
				if got := p.take(start.Add(a.after)); got != a.want {
					t.Errorf("after %v it hands out %d turns, want %d", a.after, got, a.want)
				}
			}
		})
	}
}

func TestSourceAddr(t *testing.T) {
	for _, test := range []struct {
		conn, tries int
		want        [4]byte
	}{
		{0, 0, [4]byte{127, 100, 0, 1}},
		{99, 0, [4]byte{127, 100, 0, 1}},
		{100, 0, [4]byte{127, 100, 0, 2}},
		{0, 1, [4]byte{127, 100, 0, 2}},
		{3199, 1, [4]byte{127, 100, 0, 33}},
		{3199, 2, [4]byte{127, 100, 0, 1}}, // around
	} {
		if got := sourceAddr(test.conn, test.tries, 3200); got != test.want {
			t.Errorf("connection %d, try %d: leaves from %v, want %v", test.conn, test.tries, got, test.want)
		}
	}
}
