package report

import "hubbub/cmd/loadgen/internal/client"

// Churn is what became of the connections that came and went beside the others.
type Churn struct {
	Requested int      `json:"requested"` // due by the schedule
	Opened    int      `json:"opened"`
	Failed    int      `json:"failed"`
	Handshake *Latency `json:"handshake_ms"` // due to open
}

func newChurn(res *client.Result) *Churn {
	c := res.Counts
	return &Churn{Requested: c.Churned, Opened: c.ChurnOpened, Failed: c.ChurnFailed, Handshake: latency(res.Churn)}
}

// ok reports whether every connection opened; so it is where there was none.
func (c *Churn) ok() bool { return c == nil || c.Failed == 0 && c.Opened == c.Requested }
