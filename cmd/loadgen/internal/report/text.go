package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// WriteText writes the summary that is read in a terminal.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s "+format+"\n", append([]any{name}, args...)...)
	}
	reasons := func(name string, of map[string]int) {
		for _, reason := range slices.SortedFunc(maps.Keys(of), func(a, b string) int {
			if d := of[b] - of[a]; d != 0 {
				return d
			}
			return strings.Compare(a, b)
		}) {
			line(name, "%s × %s", count(of[reason]), reason)
		}
	}
	line("connections", "%s of %s open, %s failed, %s lost; %s/s",
		count(r.ConnsOpen), count(r.ConnsRequested), count(r.ConnsFailed), count(r.ConnsLost), count(int(r.ConnectPerS)))
	if r.Handshake != nil {
		line("handshake", "%s", r.Handshake)
	}
	if c := r.Recovery; c != nil {
		line("recovery", "%s got the %s publications of before as they subscribed, %s something else", count(c.All), count(c.Messages), count(c.Short))
		if c.AllReady > 0 {
			line("", "all ready after %.2f s; CPU until then: generator %.0f %%, server %.0f %% of %d core(s)",
				c.AllReady, 100*c.GeneratorShare, 100*c.ServerShare, r.Conditions.Cores)
		}
	}
	if r.Stalled > 0 {
		line("stalled", "%s stopped reading, %s of them ended by the server", count(r.Stalled), count(r.StalledEnded))
	}
	if c := r.Churn; c != nil {
		line("churn", "%s of %s opened and closed, %s failed", count(c.Opened), count(c.Requested), count(c.Failed))
		if c.Handshake != nil {
			line("", "open after %s", c.Handshake)
		}
	}
	if s := r.Storm; s != nil {
		line("storm", "%s lost, %s back, %s not; %s attempts", count(s.Lost), count(s.Back), count(s.NotBack), count(s.Attempts))
		if t := s.Times; t != nil {
			line("", "back after p50 %.1f s  p99 %.1f s  last %.1f s from the first loss", t.P50, t.P99, t.Last)
		}
		reasons("lost", s.LostBy)
		reasons("refused", s.Refused)
	}
	if r.sends() {
		line("messages", "%s sent; %s of %s deliveries; %s/s",
			count(int(r.Messages)), count(int(r.Delivered)), count(int(r.Expected)), count(int(r.DeliveriesPerS)))
		line("", "%s missing, %s duplicate, %s reordered, %s corrupt",
			count(int(r.Missing)), count(int(r.Duplicate)), count(int(r.Reordered)), count(int(r.Corrupt)))
		if a := r.Answers; a != nil {
			line("", "%s acknowledged, %s refused, %s without an answer",
				count(int(a.Acknowledged)), count(int(a.Refused)), count(int(a.Missing)))
		}
	}
	if r.Latency != nil {
		line("latency", "%s", r.Latency)
	}
	if f := r.Fanout; f != nil {
		line("fan-out", "50 %% %s  99 %% %s  all %s (%s to %s), means of %s message(s)",
			format(f.P50Mean), format(f.P99Mean), format(f.LastMean), format(f.LastMin), format(f.LastMax), count(len(r.Timeline)))
	}
	if s := r.Server; s != nil {
		line("server", "%s in %d process(es) with all connections open and idle, %s per connection; CPU %.2f s",
			memory(s.RSS), s.Processes, memory(int64(s.RSSPerConn)), s.CPU)
		if s.Split != nil && r.sends() {
			line("", "CPU from the first message on: %.2f s of its own, %.2f s of the kernel's", s.Split.User, s.Split.System)
		}
	} else {
		line("server", "not measured: %s", r.ServerWhy)
	}
	if g := r.Generator; g != nil {
		line("generator", "%s in %d process(es) and their parent; CPU %.2f s", memory(g.RSS), g.Processes, g.CPU)
		if g.Lateness != nil {
			line("", "messages left late by p99 %s, its loops noticed arrivals after p99 %s",
				format(g.Lateness.P99), format(lag(g)))
		}
	}
	if m := r.Machine; m != nil && m.Note != "" {
		line("note", "%s", m.Note)
	}
	reasons("failure", r.Failures)
	for _, warning := range r.Warnings {
		line("note", "%s", warning)
	}
	if g := r.Generator; g != nil && g.Saturated {
		line("WARNING", "the load generator was saturated, not (only) the server: %s", g.SaturatedWhy)
	}
	line("result", "%s", r.Verdict())
	_, err := io.WriteString(w, b.String())
	return err
}

func lag(g *Generator) float64 {
	if g.LoopLag == nil {
		return 0
	}
	return g.LoopLag.P99
}

// Verdict says in a few words how the run went.
func (r *Report) Verdict() string {
	switch {
	case r.OK:
		return "ok"
	case r.Interrupted:
		return "interrupted: the figures are of a part of the run"
	}
	return "FAILED"
}

// String implements fmt.Stringer.
func (l *Latency) String() string {
	return fmt.Sprintf("p50 %s  p90 %s  p99 %s  p99.9 %s  max %s",
		format(l.P50), format(l.P90), format(l.P99), format(l.P999), format(l.Max))
}

// format writes milliseconds with three significant digits or so.
func format(ms float64) string {
	switch {
	case ms >= 10_000:
		return strconv.FormatFloat(ms/1000, 'f', 1, 64) + " s"
	case ms >= 100:
		return strconv.FormatFloat(ms, 'f', 0, 64) + " ms"
	case ms >= 10:
		return strconv.FormatFloat(ms, 'f', 1, 64) + " ms"
	}
	return strconv.FormatFloat(ms, 'f', 2, 64) + " ms"
}

// count groups a number's digits by thousands.
func count(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// memory writes an amount of memory in decimal units.
func memory(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.2f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	case n >= 10_000:
		return fmt.Sprintf("%.1f KB", float64(n)/1e3)
	}
	return fmt.Sprintf("%d B", n)
}
