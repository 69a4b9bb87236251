// Package report is what a run is told in: the figures as a value with stable
// JSON keys, a summary to read, and a page to look at. It computes and writes,
// and measures nothing itself.
package report

import (
	"encoding/json"
	"io"
	"time"

	"hubbub/cmd/loadgen/internal/plan"
)

// Report holds a run's figures. The JSON keys are stable. Times are
// milliseconds unless the key says otherwise.
type Report struct {
	Mode string `json:"mode"`

	ConnsRequested int     `json:"conns_requested"`
	ConnsOpen      int     `json:"conns_open"`   // that were open at some time
	ConnsFailed    int     `json:"conns_failed"` // that never were
	ConnsLost      int     `json:"conns_lost"`   // that were and didn't stay so
	ConnectPerS    float64 `json:"connect_per_s"`
	ConnectRetries int     `json:"connect_retries"`
	Stalled        int     `json:"stalled"`       // that stopped reading, as they were to
	StalledEnded   int     `json:"stalled_ended"` // of them, those that the server ended

	Messages       int64   `json:"messages"`  // sent
	Expected       int64   `json:"expected"`  // deliveries
	Delivered      int64   `json:"delivered"` // each counted once
	Missing        int64   `json:"missing"`
	Duplicate      int64   `json:"duplicate"`
	Reordered      int64   `json:"reordered"`
	Corrupt        int64   `json:"corrupt"`
	DeliveriesPerS float64 `json:"deliveries_per_s"` // from the first intended send to the last delivery

	Answers *Answers `json:"answers"` // null where the protocol has none to messages

	Latency   *Latency   `json:"latency_ms"` // intended send to arrival, over all deliveries
	Fanout    *Fanout    `json:"fanout_ms"`  // per message, until a share of its subscribers had it
	Handshake *Latency   `json:"handshake_ms"`
	Churn     *Churn     `json:"churn"`    // null without
	Storm     *Storm     `json:"storm"`    // null but in that mode
	Recovery  *Recovery  `json:"recovery"` // null without
	Server    *Server    `json:"server"`
	ServerWhy string     `json:"server_why,omitempty"` // why there is no server
	Generator *Generator `json:"generator"`
	Machine   *Machine   `json:"machine"`

	Failures    map[string]int `json:"failures"` // connections that failed or were lost, and messages that were refused, by reason
	Warnings    []string       `json:"warnings"`
	Interrupted bool           `json:"interrupted"`
	OK          bool           `json:"ok"`

	TimelineStep int        `json:"timeline_step"` // of how many messages the timeline has one
	Timeline     []Message  `json:"timeline"`
	Samples      []Sample   `json:"samples"`
	Curve        []Quantile `json:"latency_curve"`

	Conditions Conditions `json:"conditions"`
}

// Answers are those of the server to the messages that it was sent.
type Answers struct {
	Acknowledged int64 `json:"acknowledged"`
	Refused      int64 `json:"refused"`
	Missing      int64 `json:"missing"`
}

// ok reports whether every message was acknowledged.
func (a *Answers) ok() bool { return a == nil || a.Refused == 0 && a.Missing == 0 }

// Latency is a distribution of times in milliseconds.
type Latency struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

// Fanout says how long it took, over all messages in the timeline, until 50, 99
// and 100 % of the subscribers that got a message had it.
type Fanout struct {
	P50Mean  float64 `json:"p50_mean"`
	P99Mean  float64 `json:"p99_mean"`
	LastMean float64 `json:"last_mean"`
	LastMin  float64 `json:"last_min"`
	LastMax  float64 `json:"last_max"`
}

// Server is what the server's processes used together.
type Server struct {
	RSS        int64   `json:"rss_bytes"`          // with all connections open and idle, before the first message
	RSSPerConn float64 `json:"rss_bytes_per_conn"` // RSS over open connections: nothing is subtracted
	CPU        float64 `json:"cpu_s"`              // from before the first connection to the end
	Processes  int     `json:"processes"`
	RSSBefore  int64   `json:"rss_bytes_before"` // before the first connection
	RSSAfter   int64   `json:"rss_bytes_after"`  // at the end, connections still open
	CPUConnect float64 `json:"cpu_connect_s"`    // of CPU, while connecting
	CPURun     float64 `json:"cpu_run_s"`        // of CPU, from the first message on
	Split      *Split  `json:"cpu_run_split"`    // of CPURun; null where only the sum is known
	FDs        int64   `json:"fds"`              // when RSS was taken
	Source     string  `json:"source"`           // where these figures come from
}

// Split is where processor time went, in seconds.
type Split struct {
	User   float64 `json:"user_s"`   // in the programs
	System float64 `json:"system_s"` // in the kernel, on their behalf
}

// Generator is what the load generator used, all its processes together.
type Generator struct {
	Processes    int      `json:"processes"` // that hold connections; one more leads them
	Loops        int      `json:"loops"`     // event loops in all of them
	CPU          float64  `json:"cpu_s"`
	CPURun       float64  `json:"cpu_run_s"` // of CPU, from the first message on
	CPUShare     float64  `json:"cpu_share"` // of the processors, while messages were under way
	RSS          int64    `json:"rss_bytes"` // taken with the server's
	Lateness     *Latency `json:"lateness_ms"`
	LoopLag      *Latency `json:"loop_lag_ms"`
	ReadPause    float64  `json:"read_pause_ms"` // between two reads while a large fan-out comes in, which adds to latency
	Saturated    bool     `json:"saturated"`
	SaturatedWhy string   `json:"saturated_why"`
}

// Machine is how busy the generator's machine was while messages were under
// way: from each message's intended time to its last delivery. Shares are of
// all its processors.
type Machine struct {
	ActiveS        float64 `json:"active_s"` // how long messages were under way
	CPUShare       float64 `json:"cpu_share"`
	ServerShare    float64 `json:"server_share"` // 0 if it runs elsewhere
	GeneratorShare float64 `json:"generator_share"`
	OtherShare     float64 `json:"other_share"` // other programs, and interrupts, on average over the run
	Saturated      bool    `json:"saturated"`
	Note           string  `json:"note"`
}

// Message is one message's fan-out.
type Message struct {
	Message    int     `json:"message"`
	OffsetS    float64 `json:"offset_s"` // intended time, from the first message's
	P50        float64 `json:"p50_ms"`
	P99        float64 `json:"p99_ms"`
	Last       float64 `json:"last_ms"`
	Deliveries uint64  `json:"deliveries"`
}

// Sample is what was used at a moment.
type Sample struct {
	T            float64 `json:"t_s"` // from the start of the load generator
	Mark         string  `json:"mark,omitempty"`
	ServerRSS    int64   `json:"server_rss_bytes"`
	ServerCPU    float64 `json:"server_cpu_s"`
	ServerFDs    int64   `json:"server_fds"`
	GeneratorRSS int64   `json:"generator_rss_bytes"`
	GeneratorCPU float64 `json:"generator_cpu_s"`
}

// Quantile is a point of the latency distribution.
type Quantile struct {
	Q  float64 `json:"q"` // share of deliveries
	MS float64 `json:"ms"`
}

// Conditions say what was run where.
type Conditions struct {
	Version  string    `json:"version"`
	Commit   string    `json:"commit"`
	Go       string    `json:"go"`
	Kernel   string    `json:"kernel"`
	CPU      string    `json:"cpu"`
	Cores    int       `json:"cores"`
	Memory   int64     `json:"memory_bytes"`
	Command  []string  `json:"command"`
	Started  time.Time `json:"started"`
	URL      string    `json:"url"`
	Sources  int       `json:"source_addresses"`
	Protocol string    `json:"protocol"`
	Model    string    `json:"model"` // how messages were paced
	Run      string    `json:"run"`
	Size     int       `json:"size_bytes"`
	Topics   int       `json:"topics"`
	Senders  int       `json:"publishers"`
}

// sends reports whether messages were sent.
func (r *Report) sends() bool { return plan.Mode(r.Mode).Sends() }

// WriteJSON writes the report as JSON.
func (r *Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}
