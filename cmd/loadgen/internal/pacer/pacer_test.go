package pacer

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestDue(t *testing.T) {
	for _, tt := range []struct {
		name    string
		p       Pacer
		elapsed time.Duration
		want    int
	}{
		{"before the start", Pacer{1, 10}, -time.Nanosecond, 0},
		{"the first at once", Pacer{1, 10}, 0, 1},
		{"just before the second", Pacer{1, 10}, time.Second - 1, 1},
		{"the second", Pacer{1, 10}, time.Second, 2},
		{"the last", Pacer{1, 10}, 9 * time.Second, 10},
		{"after the last", Pacer{1, 10}, time.Hour, 10},
		{"nothing to do", Pacer{1, 0}, time.Hour, 0},
		{"slow", Pacer{0.1, 10}, 10 * time.Second, 2},
		{"fast", Pacer{1e6, 1e6}, time.Millisecond, 1001},
		{"no rate: all at once", Pacer{0, 7}, 0, 7},
		{"no rate, before the start", Pacer{0, 7}, -1, 0},
		{"beyond any integer", Pacer{1e9, 5}, 1 << 62, 5},
	} {
		if got := tt.p.Due(tt.elapsed); got != tt.want {
			t.Errorf("%s: %+v.Due(%v) = %d, want %d", tt.name, tt.p, tt.elapsed, got, tt.want)
		}
	}
}

func TestCount(t *testing.T) {
	for _, tt := range []struct {
		rate float64
		d    time.Duration
		want int
	}{
		{1, 10 * time.Second, 10},
		{0.29, 100 * time.Second, 29}, // the product is less than 29 in floating point
		{3, 1500 * time.Millisecond, 4},
		{0.05, 10 * time.Second, 0},
		{1e6, time.Second, 1e6},
	} {
		if got := Count(tt.rate, tt.d); got != tt.want {
			t.Errorf("Count(%v, %v) = %d, want %d", tt.rate, tt.d, got, tt.want)
		}
	}
}

// Due counts exactly the events whose time has come, whatever the rate.
func TestDueAgreesWithAt(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 20000 {
		p := Pacer{Rate: 1e-2 + rnd.ExpFloat64()*1000, Total: 1 + rnd.IntN(1e6)}
		i := rnd.IntN(p.Total)
		at := p.At(i)
		if got := p.Due(at); got < i+1 {
			t.Fatalf("%+v: event %d is due at %v, but Due says %d", p, i, at, got)
		}
		if at > 0 {
			if got := p.Due(at - 1); got > i {
				t.Fatalf("%+v: event %d is due at %v, but a nanosecond before Due says %d", p, i, at, got)
			}
		}
	}
}

// Sleeping for what Wait says keeps the schedule however late each wake-up is.
func TestWaitDoesNotDrift(t *testing.T) {
	p := Pacer{Rate: 100, Total: 1000}
	var now, last time.Duration
	for {
		sent := p.Due(now)
		wait, more := p.Wait(now, sent)
		if !more {
			break
		}
		if wait <= 0 {
			t.Fatalf("at %v with %d sent: nothing is due, but the wait is %v", now, sent, wait)
		}
		now += wait + 3*time.Millisecond // a timer that is always late
		last = now
	}
	if over := last - p.At(999); over > 3*time.Millisecond {
		t.Errorf("the last event left %v late, want 3ms: delays have added up", over)
	}
	if wait, more := p.Wait(time.Hour, 5); wait != 0 || !more {
		t.Errorf("Wait for what is overdue = %v, %v; want 0, true", wait, more)
	}
}
