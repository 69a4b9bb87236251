// Package pacer says when messages have to leave, as a pure function of the
// time since the start and of how many have left: it never sleeps, so the
// schedule doesn't drift and is tested without waiting.
//
// It is an open model: a server that is slow to take messages doesn't slow the
// schedule down, and latency counts from the time a message should have left.
package pacer

import "time"

// Pacer is a constant rate over a bounded number of events. Event i is due at
// i/Rate seconds; the first at once.
type Pacer struct {
	Rate  float64 // events per second; zero or less means all at once
	Total int     // how many events there are
}

// Count returns how many events fall into a run of length d at rate per
// second.
func Count(rate float64, d time.Duration) int {
	// A product like 0.1 * 30 may end a hair below the whole number it stands for.
	return int(rate*d.Seconds() + 1e-9)
}

// At returns when event i is due, counted from the start.
func (p Pacer) At(i int) time.Duration {
	if p.Rate <= 0 {
		return 0
	}
	return time.Duration(float64(i) / p.Rate * float64(time.Second))
}

// Due returns how many events are due once elapsed has passed: exactly those
// for which At is at most elapsed.
func (p Pacer) Due(elapsed time.Duration) int {
	if elapsed < 0 {
		return 0
	}
	if p.Rate <= 0 {
		return p.Total
	}
	guess := elapsed.Seconds() * p.Rate
	if guess >= float64(p.Total)+1 {
		return p.Total
	}
	n := max(0, int(guess)-1) // certainly due; rounding leaves a step or two to go
	for n < p.Total && p.At(n) <= elapsed {
		n++
	}
	return n
}

// Wait returns how long after elapsed event n is due, zero if it is due
// already. It reports whether there is such an event.
func (p Pacer) Wait(elapsed time.Duration, n int) (time.Duration, bool) {
	if n >= p.Total {
		return 0, false
	}
	return max(0, p.At(n)-elapsed), true
}
