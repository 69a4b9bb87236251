package client

import (
	"maps"
	"math/rand/v2"
	"time"

	"hubbub/cmd/loadgen/internal/recorder"
)

// Back-off between the attempts to come back, as client libraries in browsers
// have it: doubled each time, and jittered down to half, so that those who were
// lost together don't come back together.
const (
	firstReturn = 100 * time.Millisecond
	lastReturn  = 5 * time.Second
)

// away marks a connection that is lost and not back.
const away = -1

// storm is the errand of connections that come back: whatever ends one, it tries
// again at once, and then with back-off until it is open.
type storm struct {
	lane     *lane
	back     []int64 // per connection: CLOCK_MONOTONIC when it last came back; away; 0 if it was never lost
	losses   int     // each time counted
	away     int
	first    int64 // CLOCK_MONOTONIC of the first loss, of the whole run if that is known
	attempts int   // to come back
	lostBy   map[string]int
	refusals map[string]int
}

func newStorm(l *lane) *storm {
	return &storm{lane: l, back: make([]int64, cap(l.conns)), lostBy: make(map[string]int), refusals: make(map[string]int)}
}

// lose enters the loss of a connection and sends it after the others.
func (s *storm) lose(c *conn, reason string) {
	l := s.lane
	if l.frozen {
		return
	}
	now := l.clk.Now()
	if s.first == 0 {
		s.first = now
	}
	s.losses++
	s.away++
	s.back[c.at] = away
	tally(s.lostBy, reason)
	l.attempt(c, s, now)
	c.st = waiting
	d := c.dial
	l.loop.Post(task(func() { // not in the midst of what has just ended
		if c.dial == d {
			s.try(c)
		}
	}))
}

func (s *storm) try(c *conn) {
	s.attempts++
	try(c)
}

// opened implements errand.
func (s *storm) opened(c *conn, now int64, rest []byte) {
	s.back[c.at] = now
	s.away--
	c.up(rest)
}

// refused implements errand.
func (s *storm) refused(c *conn, r refusal) {
	tally(s.refusals, r.reason)
	s.lane.loop.SetTimer(&c.dial.timer, backOff(c.dial.tries), func() { s.try(c) })
}

// backOff returns how long to wait after so many attempts: from half of the
// doubled time to all of it.
func backOff(tries int) time.Duration {
	d := min(firstReturn<<min(tries-1, 10), lastReturn)
	return d/2 + rand.N(d/2+1)
}

// freeze ends the attempts to come back.
func (s *storm) freeze() {
	for i, at := range s.back {
		if at == away {
			s.lane.abandon(&s.lane.conns[i])
		}
	}
}

// account returns what came of it.
func (s *storm) account() *Storm {
	out := newStormAccount()
	out.Attempts = s.attempts
	out.LostBy, out.Refused = maps.Clone(s.lostBy), maps.Clone(s.refusals)
	for _, at := range s.back {
		switch at {
		case 0:
		case away:
			out.Lost++
		default:
			out.Lost++
			out.Back++
			out.Times.Record(at - s.first)
			out.Last = max(out.Last, at-s.first)
		}
	}
	return out
}

// Storm is the account of the connections that were lost and came back, each
// counted once.
type Storm struct {
	Lost     int                `json:"lost"`     // at some time
	Back     int                `json:"back"`     // and open again in the end
	Attempts int                `json:"attempts"` // to come back
	LostBy   map[string]int     `json:"lost_by"`  // how often for which reason
	Refused  map[string]int     `json:"refused"`  // attempts that failed, by reason
	Times    recorder.Histogram `json:"times"`    // first loss of the run to being back for good
	Last     int64              `json:"last"`     // the longest of them, nanoseconds
}

func newStormAccount() *Storm {
	return &Storm{LostBy: make(map[string]int), Refused: make(map[string]int), Times: recorder.NewHistogram()}
}

// merge adds o; either may be nil.
func (s *Storm) merge(o *Storm) *Storm {
	switch {
	case o == nil:
		return s
	case s == nil:
		s = newStormAccount()
	}
	s.Lost += o.Lost
	s.Back += o.Back
	s.Attempts += o.Attempts
	for reason, n := range o.LostBy {
		s.LostBy[reason] += n
	}
	for reason, n := range o.Refused {
		s.Refused[reason] += n
	}
	s.Times.Merge(o.Times)
	s.Last = max(s.Last, o.Last)
	return s
}
