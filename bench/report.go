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

// helpers are what the report needs as Markdown and as a page.
var helpers = map[string]any{
	"table":      tableOf,
	"ratioLines": ratioLines,
	"pictures":   pictures,
	"words":      func() []word { return words },
}

var reportTemplate = template.Must(template.New("report").Funcs(helpers).Parse(reportText))

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
	{"publications/s", 0, deliveries, []string{history}, true}, // each comes back to its publisher alone
	{"latency p50, ms", 2, func(m Measured) float64 { return m.LatencyP50MS }, []string{chat, echo, latency, rooms, history}, false},
	{"latency p99, ms", 2, latencyP99, []string{chat, echo, latency, rooms, history}, true},
	{"server RSS, MB", 1, memoryMB, []string{idle, fanOut, bigFanOut, rooms, history}, false},
	{"per idle connection, B", 0, idleMemory, []string{idle}, true},
}

// columnsOf returns the columns of a kind of scenario.
func columnsOf(kind string) []column {
	return slices.DeleteFunc(slices.Concat(scalingColumns, featColumns, columns), func(c column) bool { return c.kinds != nil && !slices.Contains(c.kinds, kind) })
}

func connects(m Measured) float64     { return m.ConnectPerS }
func deliveries(m Measured) float64   { return m.DeliveriesPerS }
func latencyP99(m Measured) float64   { return m.LatencyP99MS }
func lastDelivery(m Measured) float64 { return m.LastMS }
func idleMemory(m Measured) float64   { return m.BytesPerIdle }
func memoryMB(m Measured) float64     { return m.RSSBytes / 1e6 }

// generatorShare is what it took of the processor time that it and the server used for deliveries, in
// percent.
func generatorShare(m Measured) float64 {
	if m.Deliveries == 0 || m.ServerCPUS == 0 {
		return 0
	}
	return 100 * m.GeneratorCPUS / (m.GeneratorCPUS + m.ServerCPUS)
}

// point is what a scenario is played for: the figure that contenders are compared by.
type point struct {
	name  string // of a ratio
	axis  string // of a plot
	of    func(Measured) float64
	scale float64 // from the figure to the axis
}

// pointOf returns the point of a kind of scenario.
func pointOf(kind string) point {
	if p, ok := featPoints[kind]; ok {
		return p
	}
	switch kind {
	case idle:
		return point{"memory per idle connection", "server's memory per connection, bytes", idleMemory, 1}
	case fanOut, bigFanOut:
		return point{"last delivery", "until the last subscriber had a message, ms", lastDelivery, 1}
	case history:
		return point{"publications/s", "publications/s, thousands", deliveries, 1e-3}
	case latency:
		return point{"99 % of latencies", "99 % of deliveries had arrived after, ms", latencyP99, 1}
	}
	return point{"deliveries/s", "deliveries/s, thousands", deliveries, 1e-3}
}

// table shows a scenario, a line to each contender.
type table struct {
	Head []string // without that of the names
	Rows []row
}

type row struct {
	Name  string
	Cells []string
}

// tableOf makes a scenario's table, with those columns that anyone has something in.
func tableOf(p Played) table {
	var t table
	for _, system := range p.Systems() {
		t.Rows = append(t.Rows, row{Name: system})
	}
	add := func(title string, cell func(system string) string) {
		cells := make([]string, len(t.Rows))
		known := false
		for i, row := range t.Rows {
			cells[i] = cell(row.Name)
			known = known || cells[i] != none
		}
		if !known {
			return
		}
		t.Head = append(t.Head, title)
		for i := range t.Rows {
			t.Rows[i].Cells = append(t.Rows[i].Cells, cells[i])
		}
	}
	for _, c := range columnsOf(p.Kind) {
		add(c.title, func(system string) string { return spreadOf(p.values(system, c.of)).format(c.digits) })
	}
	add("server CPU per delivery, µs (user + kernel)", p.perDelivery)
	add("generator's share of CPU, %", func(system string) string { return spreadOf(p.values(system, generatorShare)).format(0) })
	add("wrong", p.wrong)
	add("saturated", p.saturated)
	return t
}

// perDelivery writes what a delivery took of the server's processor time, in µs: the medians of its
// own and of the kernel's, or of their sum where only that is known.
func (p Played) perDelivery(system string) string {
	each := func(seconds func(Measured) float64) Spread {
		return spreadOf(p.values(system, func(m Measured) float64 {
			if m.Deliveries == 0 {
				return 0
			}
			return 1e6 * seconds(m) / float64(m.Deliveries)
		}))
	}
	sum := each(func(m Measured) float64 { return m.ServerCPUS })
	user, kernel := each(func(m Measured) float64 { return m.ServerUserS }), each(func(m Measured) float64 { return m.ServerSystemS })
	switch {
	case user.N+kernel.N > 0:
		return decimal(user.Median, 1) + " + " + decimal(kernel.Median, 1)
	case sum.N > 0:
		return decimal(sum.Median, 1)
	}
	return none
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

// ratioLines compares the server with each of the others, and its channels with what does as much.
func ratioLines(p Played) []string {
	var lines []string
	point := pointOf(p.Kind)
	compare := func(one, other string) {
		if s := spreadOf(ratios(p.values(one, point.of), p.values(other, point.of))); s.N > 0 {
			lines = append(lines, fmt.Sprintf("%s over %s, %s: %s", one, other, point.name, s.format(2)))
		}
	}
	for _, other := range p.Systems() {
		if other != hubbub.name && other != channels.name {
			compare(hubbub.name, other)
		}
	}
	compare(channels.name, hubbub.name)
	compare(channels.name, centrifuge)
	compare(keptChannels.name, channels.name)
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

// Heading names the benchmark.
func (r *Results) Heading() string {
	text := "Benchmark of " + r.Conditions.Date + ", commit " + r.Conditions.Commit
	if r.Conditions.Dirty {
		text += " with uncommitted changes"
	}
	return text
}

// Machine describes what the benchmark was taken on.
func (c Conditions) Machine() string {
	table := ""
	if c.Buckets > 0 {
		table = fmt.Sprintf("%s buckets in the kernel's table of TCP connections; ", thousands(c.Buckets))
	}
	return fmt.Sprintf("%s, %d cores, %.0f GiB; Linux %s; Go %s; %d descriptors to a process; %sload before the start %s.",
		c.CPU, c.Cores, c.MemoryGiB, c.Kernel, c.Go, c.Descriptors, table, c.Load)
}

// Method says how the figures were come by.
func (r *Results) Method() string {
	return fmt.Sprintf("Server and load generator share the machine and talk over loopback. Each figure is the median of %d rounds "+
		"[least–most]; within a round all contenders take their turn, and ratios are taken round by round.", r.Rounds)
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
		if strings.ContainsAny(a, `^$*"`) {
			out[i] = "'" + a + "'"
		}
	}
	return out
}
