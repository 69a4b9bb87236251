package main

import "time"

// catchUp bounds what a pace makes up for after a pause: a process that got no processor for a
// second must not throw a second's worth at the server at once.
const catchUp = 100 * time.Millisecond

// pace hands out turns, so many a second. The zero value hands out none.
type pace struct {
	rate float64 // a second
	owed float64 // turns due, with the fraction of one
	last time.Time
}

// take returns how many turns have come due since it was last asked; from the first call on.
func (p *pace) take(now time.Time) int {
	if p.last.IsZero() {
		p.last = now
	}
	// One is always owed at most, however slow the pace.
	most := max(1, p.rate*catchUp.Seconds())
	p.owed = min(p.owed+p.rate*now.Sub(p.last).Seconds(), most)
	p.last = now
	n := int(p.owed)
	p.owed -= float64(n)
	return n
}
