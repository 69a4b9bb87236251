package client

import "hubbub/cmd/loadgen/internal/recorder"

// Progress is how far a run is.
type Progress struct {
	Open      int   `json:"open"`
	Failed    int   `json:"failed"`
	Lost      int   `json:"lost"`
	Sent      int64 `json:"sent"`
	Delivered int64 `json:"delivered"`

	// In a storm:
	Losses    int   `json:"losses,omitempty"`     // of connections, each time counted
	Away      int   `json:"away,omitempty"`       // connections lost and not back
	FirstLoss int64 `json:"first_loss,omitempty"` // CLOCK_MONOTONIC, nanoseconds; 0: none
}

// Add adds another process's part.
func (p *Progress) Add(q Progress) {
	p.Open += q.Open
	p.Failed += q.Failed
	p.Lost += q.Lost
	p.Sent += q.Sent
	p.Delivered += q.Delivered
	p.Losses += q.Losses
	p.Away += q.Away
	p.FirstLoss = earlier(p.FirstLoss, q.FirstLoss)
}

// earlier returns the earlier of two times, of which either may be unknown, 0.
func earlier(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// Sent is how many messages a publisher has sent.
type Sent struct {
	Publisher int    `json:"publisher"`
	Messages  uint32 `json:"messages"`
}

// Counts add up over event loops and processes.
type Counts struct {
	Opened     int   `json:"opened"`      // connections that were open at some time
	Failed     int   `json:"failed"`      // connections that never opened
	Lost       int   `json:"lost"`        // connections that opened and didn't stay so
	Retries    int   `json:"retries"`     // attempts beyond a connection's first
	FirstDial  int64 `json:"first_dial"`  // CLOCK_MONOTONIC, nanoseconds
	LastOpen   int64 `json:"last_open"`   // likewise
	LastArrive int64 `json:"last_arrive"` // likewise, of a delivery
	ActiveCPU  int64 `json:"active_cpu"`  // processor time that went into messages and churn, nanoseconds
	Pause      int64 `json:"pause"`       // longest between two reads while messages come in, nanoseconds
	Sent       int64 `json:"sent"`        // messages
	Expected   int64 `json:"expected"`    // deliveries that should have come
	Delivered  int64 `json:"delivered"`   // deliveries that came, each counted once
	Missing    int64 `json:"missing"`
	Duplicate  int64 `json:"duplicate"`
	Reordered  int64 `json:"reordered"`
	Corrupt    int64 `json:"corrupt"`

	// Of the messages sent, where the protocol has the server answer each:
	Acknowledged int64 `json:"acknowledged"`
	Refused      int64 `json:"refused"`
	Unanswered   int64 `json:"unanswered"`

	Recovered int `json:"recovered"` // how often a connection subscribed and got all that was there before
	Short     int `json:"short"`     // how often it got something else, and was refused

	Stalled      int `json:"stalled"`       // connections that opened and stopped reading
	StalledEnded int `json:"stalled_ended"` // of them, those that the server ended

	Churned     int `json:"churned"`      // passing connections that were due
	ChurnOpened int `json:"churn_opened"` // of them, those that opened
	ChurnFailed int `json:"churn_failed"` // and those that didn't
}

// Result is the account of a finished run, or of a part of it.
type Result struct {
	Counts    Counts             `json:"counts"`
	Failures  map[string]int     `json:"failures"`
	Handshake recorder.Histogram `json:"handshake"` // first attempt to connection open
	Latency   recorder.Histogram `json:"latency"`   // intended time to arrival, of every delivery
	Late      recorder.Histogram `json:"late"`      // intended to actual time of sending
	Lag       recorder.Histogram `json:"lag"`       // of the event loops
	Churn     recorder.Histogram `json:"churn"`     // passing connections: due to open
	Storm     *Storm             `json:"storm"`     // nil but in that mode
	Messages  *recorder.Messages `json:"-"`
	Encoded   []byte             `json:"messages"` // Messages, for another process
}

func newResult() *Result {
	return &Result{
		Failures:  make(map[string]int),
		Handshake: recorder.NewHistogram(),
		Latency:   recorder.NewHistogram(),
		Late:      recorder.NewHistogram(),
		Lag:       recorder.NewHistogram(),
		Churn:     recorder.NewHistogram(),
		Messages:  recorder.NewMessages(maxKept),
	}
}

// NewResult returns an empty Result to merge others into.
func NewResult() *Result { return newResult() }

// Merge adds o, which may be changed by it.
func (r *Result) Merge(o *Result) {
	a, b := &r.Counts, &o.Counts
	a.Opened += b.Opened
	a.Failed += b.Failed
	a.Lost += b.Lost
	a.Retries += b.Retries
	a.FirstDial = earlier(a.FirstDial, b.FirstDial)
	a.LastOpen = max(a.LastOpen, b.LastOpen)
	a.LastArrive = max(a.LastArrive, b.LastArrive)
	a.ActiveCPU += b.ActiveCPU
	a.Pause = max(a.Pause, b.Pause)
	a.Sent += b.Sent
	a.Expected += b.Expected
	a.Delivered += b.Delivered
	a.Missing += b.Missing
	a.Duplicate += b.Duplicate
	a.Reordered += b.Reordered
	a.Corrupt += b.Corrupt
	a.Acknowledged += b.Acknowledged
	a.Refused += b.Refused
	a.Unanswered += b.Unanswered
	a.Recovered += b.Recovered
	a.Short += b.Short
	a.Stalled += b.Stalled
	a.StalledEnded += b.StalledEnded
	a.Churned += b.Churned
	a.ChurnOpened += b.ChurnOpened
	a.ChurnFailed += b.ChurnFailed
	for reason, n := range o.Failures {
		r.Failures[reason] += n
	}
	r.Handshake.Merge(o.Handshake)
	r.Latency.Merge(o.Latency)
	r.Late.Merge(o.Late)
	r.Lag.Merge(o.Lag)
	r.Churn.Merge(o.Churn)
	r.Storm = r.Storm.merge(o.Storm)
	r.Messages.Merge(o.Messages)
}

// Pack prepares r for being marshaled.
func (r *Result) Pack() (err error) {
	r.Encoded, err = r.Messages.MarshalBinary()
	return err
}

// Unpack completes r after it was unmarshaled.
func (r *Result) Unpack() error {
	r.Messages = &recorder.Messages{}
	return r.Messages.UnmarshalBinary(r.Encoded)
}
