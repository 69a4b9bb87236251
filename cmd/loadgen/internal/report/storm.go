package report

import (
	"time"

	"hubbub/cmd/loadgen/internal/client"
)

// Storm is what became of the connections that were lost, each counted once.
type Storm struct {
	Lost     int            `json:"lost"`
	Back     int            `json:"back"`     // open again, and still so in the end
	NotBack  int            `json:"not_back"` // though the timeout has passed
	Attempts int            `json:"attempts"` // to come back
	LostBy   map[string]int `json:"lost_by"`  // losses, by reason
	Refused  map[string]int `json:"refused"`  // attempts that failed, by reason
	Times    *Return        `json:"back_s"`

	FirstLoss time.Time `json:"first_loss,omitzero"` // when the first connection was lost
}

// Return is a distribution of times from the first loss of the run to
// connections being back, in seconds.
type Return struct {
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	Last float64 `json:"last"`
}

func newStorm(res *client.Storm) *Storm {
	if res == nil { // no process has lived to tell
		return &Storm{LostBy: map[string]int{}, Refused: map[string]int{}}
	}
	s := &Storm{
		Lost: res.Lost, Back: res.Back, NotBack: res.Lost - res.Back,
		Attempts: res.Attempts, LostBy: res.LostBy, Refused: res.Refused,
	}
	if res.Back > 0 {
		s.Times = &Return{
			P50: seconds(res.Times.Quantile(0.5)), P99: seconds(res.Times.Quantile(0.99)), Last: seconds(time.Duration(res.Last)),
		}
	}
	return s
}

// ok reports whether connections were lost and all are back; so it is in a run
// that was no storm.
func (s *Storm) ok() bool { return s == nil || s.Lost > 0 && s.NotBack == 0 }
