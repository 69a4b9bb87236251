// Package recorder keeps latencies so that they can be merged over event loops
// and processes without loss: every delivery in an HDR histogram, and per
// message how its deliveries spread over time.
package recorder

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Longest is the longest time a Histogram tells apart; what takes longer
// counts as that.
const Longest = 10 * time.Minute

// Histogram is a histogram of durations with a resolution of a microsecond and
// three significant digits.
type Histogram struct{ h *hdrhistogram.Histogram }

// NewHistogram returns an empty Histogram. It takes about 150 KB.
func NewHistogram() Histogram {
	return Histogram{hdrhistogram.New(1, Longest.Microseconds(), 3)}
}

// Record enters a duration in nanoseconds. Less than nothing counts as zero.
func (h Histogram) Record(nanos int64) {
	us := min(max(nanos/1000, 0), Longest.Microseconds())
	_ = h.h.RecordValue(us) // fails only out of its range
}

// Merge adds what other holds.
func (h Histogram) Merge(other Histogram) { h.h.Merge(other.h) }

// Count returns how many durations were recorded.
func (h Histogram) Count() int64 { return h.h.TotalCount() }

// Quantile returns the duration that the share q, from 0 to 1, of all recorded
// ones doesn't exceed.
func (h Histogram) Quantile(q float64) time.Duration {
	return time.Duration(h.h.ValueAtPercentile(q*100)) * time.Microsecond
}

// Max returns the longest duration recorded.
func (h Histogram) Max() time.Duration {
	if h.h.TotalCount() == 0 {
		return 0
	}
	return time.Duration(h.h.Max()) * time.Microsecond
}

// MarshalText implements encoding.TextMarshaler, in HdrHistogram's own V2
// format.
func (h Histogram) MarshalText() ([]byte, error) {
	return h.h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Histogram) UnmarshalText(text []byte) error {
	got, err := hdrhistogram.Decode(text)
	if err != nil {
		return fmt.Errorf("histogram: %w", err)
	}
	h.h = got
	return nil
}
