package main

import (
	_ "embed"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/template"
)

//go:embed report.tmpl
var reportText string

var reportTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
	"table":      table,
	"ratioLines": ratioLines,
	"plotFile":   plotFile,
}).Parse(reportText))

// render writes the report in Markdown.
func render(w io.Writer, r *Results) error {
	return reportTemplate.Execute(w, r)
}

// none stands where there is no figure.
const none = "–"

// column is a figure that the tables of scenarios show.
type column struct {
	title    string
	digits   int
	of       func(Measured) float64
	kinds    []string // of the scenarios that show it; nil for all
	progress bool     // whether it is told as the runs go
}

var columns = []column{
	{"connections/s", 0, connects, []string{idle, fanOut, bigFanOut}, true},
	{"half had it, ms", 1, func(m Measured) float64 { return m.P50MS }, []string{fanOut, bigFanOut}, false},
	{"99 % had it, ms", 1, func(m Measured) float64 { return m.P99MS }, []string{fanOut, bigFanOut}, false},
	{"last delivery, ms", 1, lastDelivery, []string{fanOut, bigFanOut}, true},
	{"deliveries/s", 0, deliveries, []string{chat, echo, rooms}, true},
	{"latency p50, ms", 2, func(m Measured) float64 { return m.LatencyP50MS }, []string{chat, echo, latency, rooms}, false},
	{"latency p99, ms", 2, latencyP99, []string{chat, echo, latency, rooms}, true},
	{"server RSS, MB", 1, memoryMB, []string{idle, fanOut, bigFanOut, rooms}, false},
	{"per idle connection, B", 0, idleMemory, []string{idle}, true},
	{"server CPU, s", 2, func(m Measured) float64 { return m.ServerCPUS }, nil, false},
	{"generator CPU, s", 2, func(m Measured) float64 { return m.GeneratorCPUS }, nil, false},
}

// columnsOf returns the columns of a kind of scenario.
func columnsOf(kind string) []column {
	return slices.DeleteFunc(slices.Clone(columns), func(c column) bool { return c.kinds != nil && !slices.Contains(c.kinds, kind) })
}

func connects(m Measured) float64     { return m.ConnectPerS }
func deliveries(m Measured) float64   { return m.DeliveriesPerS }
func latencyP99(m Measured) float64   { return m.LatencyP99MS }
func lastDelivery(m Measured) float64 { return m.LastMS }
func idleMemory(m Measured) float64   { return m.BytesPerIdle }
func memoryMB(m Measured) float64     { return m.RSSBytes / 1e6 }

// point is what a scenario is played for: the figure that contenders are compared by.
type point struct {
	name  string // of a ratio
	axis  string // of a plot
	of    func(Measured) float64
	scale float64 // from the figure to the axis
}

// pointOf returns the point of a kind of scenario.
func pointOf(kind string) point {
	switch kind {
	case idle:
		return point{"memory per idle connection", "server's memory per connection, bytes", idleMemory, 1}
	case fanOut, bigFanOut:
		return point{"last delivery", "until the last subscriber had a message, ms", lastDelivery, 1}
	case latency:
		return point{"99 % of latencies", "99 % of deliveries had arrived after, ms", latencyP99, 1}
	}
	return point{"deliveries/s", "deliveries/s, thousands", deliveries, 1e-3}
}

// table shows a scenario, a line to each contender, with those columns that anyone has a figure for.
func table(p Played) string {
	head, rule := "| |", "|---|"
	lines := make([]string, len(p.Systems()))
	for i, system := range p.Systems() {
		lines[i] = "| " + system + " |"
	}
	for _, c := range columnsOf(p.Kind) {
		cells := make([]string, len(lines))
		known := false
		for i, system := range p.Systems() {
			s := spreadOf(p.values(system, c.of))
			cells[i] = s.format(c.digits)
			known = known || s.N > 0
		}
		if !known {
			continue
		}
		head, rule = head+" "+c.title+" |", rule+"---|"
		for i, cell := range cells {
			lines[i] += " " + cell + " |"
		}
	}
	for i, system := range p.Systems() {
		lines[i] += " " + p.wrong(system) + " | " + p.saturated(system) + " |"
	}
	return head + " wrong | saturated |\n" + rule + "---|---|\n" + strings.Join(lines, "\n") + "\n"
}

// wrong counts what went wrong in all of a contender's runs.
func (p Played) wrong(system string) string {
	var n int64
	for _, run := range p.Runs {
		if run.System != system {
			continue
		}
		if run.Error != "" {
			return "failed"
		}
		m := run.Measured
		n += m.Missing + m.Duplicate + m.Reordered + m.Corrupt + int64(m.ConnsFailed)
	}
	return strconv.FormatInt(n, 10)
}

// saturated says who was, in how many of a contender's runs.
func (p Played) saturated(system string) string {
	runs, by := 0, make(map[string]int)
	for _, run := range p.Runs {
		if run.System == system {
			runs++
			by[run.Measured.Saturated]++
		}
	}
	var said []string
	for _, who := range []string{saturatedMachine, saturatedGenerator} {
		if by[who] > 0 {
			said = append(said, fmt.Sprintf("%s in %d of %d", who, by[who], runs))
		}
	}
	if said == nil {
		return none
	}
	return strings.Join(said, ", ")
}

// ratioLines compares the server with each of the others.
func ratioLines(p Played) []string {
	var lines []string
	point := pointOf(p.Kind)
	for _, other := range p.Systems() {
		if s := p.over(other, point.of); other != hubbub.name && s.N > 0 {
			lines = append(lines, fmt.Sprintf("- %s over %s, %s: %s", hubbub.name, other, point.name, s.format(2)))
		}
	}
	return lines
}

// format writes the median and the range, only one of them where they read the same, or a dash where
// there was no value.
func (s Spread) format(digits int) string {
	least, most := decimal(s.Min, digits), decimal(s.Max, digits)
	switch {
	case s.N == 0:
		return none
	case least == most:
		return most
	}
	return fmt.Sprintf("%s [%s–%s]", decimal(s.Median, digits), least, most)
}

// decimal writes a number with so many digits behind the point, or with -1 as many as it has, and its
// thousands apart.
func decimal(v float64, digits int) string {
	text := strconv.FormatFloat(v, 'f', digits, 64)
	whole, fraction, _ := strings.Cut(text, ".")
	n, err := strconv.Atoi(whole)
	if err != nil || n < 1000 {
		return text
	}
	if fraction != "" {
		fraction = "." + fraction
	}
	return thousands(n) + fraction
}

// thousands writes a number with commas between its thousands.
func thousands(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

// Wanted writes one of the figure's limits.
func (f Figure) Wanted(v float64) string { return decimal(v, -1) + f.Unit }

// MeasuredText writes what the figure came to.
func (f Figure) MeasuredText() string {
	if !f.Known {
		return none
	}
	return f.Measured.format(digits(f.Measured.Max)) + f.Unit
}

// digits says how many digits behind the point suit a figure: none for bytes and rates, two for
// ratios, and for what should be nothing as many as it takes to see that it isn't.
func digits(v float64) int {
	switch {
	case v == math.Trunc(v) || math.Abs(v) >= 100:
		return 0
	case math.Abs(v) >= 0.1:
		return 2
	}
	return 5
}

// Value writes the benchmark's value in a unit.
func (b GoBenchmark) Value(unit string) string {
	v, ok := b.Values[unit]
	if !ok {
		return none
	}
	digits := 0
	if v != math.Trunc(v) {
		digits = 1
	}
	return strings.TrimSuffix(decimal(v, digits)+" "+strings.Split(unit, "/")[0], " allocs")
}

// Smaller is the number of connections of the biggest scenario, where that isn't 100,000.
func (r *Results) Smaller() string {
	conns := r.find(bigFanOut).Conns
	if conns == bigConns || conns == 0 {
		return ""
	}
	return thousands(conns)
}

// Faults are the runs in which something went wrong.
func (r *Results) Faults() []Run { return r.faulty() }

// Commands are all that was run, in the first round.
func (r *Results) Commands() []string {
	var commands []string
	if r.Benchmarks != nil {
		commands = append(commands, "go "+strings.Join(quoted(benchArgs), " "))
	}
	for _, s := range r.Scenarios {
		for _, run := range s.Runs {
			if run.Round == 1 {
				commands = append(commands, run.Commands...)
			}
		}
	}
	return commands
}

// quoted puts what a shell would interpret into quotes.
func quoted(args []string) []string {
	out := make([]string, len(args))
	for i, a := range args {
		out[i] = a
		if strings.ContainsAny(a, "^$*") {
			out[i] = "'" + a + "'"
		}
	}
	return out
}
