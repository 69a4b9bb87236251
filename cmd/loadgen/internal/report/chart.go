package report

import (
	"bytes"
	"fmt"
	"html/template"
	"image/color"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Size of a chart in points; the page scales it.
const (
	chartWidth  = 640
	chartHeight = 240
)

// A chart is drawn in stand-in colours, which are then replaced by the page's
// CSS variables, so that it follows the reader's light or dark scheme.
func ink() color.Color  { return color.RGBA{1, 1, 1, 255} }
func rule() color.Color { return color.RGBA{2, 2, 2, 255} }

func stroke(series int) color.Color { return color.RGBA{3, 3, uint8(3 + series), 255} }

func paint(svg string) string {
	svg = strings.NewReplacer(
		"#010101", "var(--ink)",
		"#020202", "var(--rule)",
		"#030303", "var(--s0)",
		"#030304", "var(--s1)",
		"#030305", "var(--s2)",
	).Replace(svg)
	svg = regexp.MustCompile(`font-family:[^;"]*`).ReplaceAllString(svg, "font-family:inherit")
	return svg
}

// series is a line of a chart.
type series struct {
	name string
	xys  plotter.XYs
}

// chart is a drawing with what goes around it on the page.
type chart struct {
	Title  string
	Note   string
	Legend []string
	SVG    template.HTML
}

// axis describes one axis.
type axis struct {
	label string
	ticks plot.Ticker // nil: plain numbers
}

// newChart draws lines. Without any points there is no chart.
func newChart(title, note string, x, y axis, lines ...series) (*chart, error) {
	p := plot.New()
	p.BackgroundColor = nil
	p.X.Label.Text, p.Y.Label.Text = x.label, y.label
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.LineStyle.Color, a.Tick.LineStyle.Color = rule(), rule()
		a.Tick.Label.Color, a.Label.TextStyle.Color = ink(), ink()
		a.Padding = 0
	}
	p.X.Tick.Marker, p.Y.Tick.Marker = plain{}, plain{}
	if x.ticks != nil {
		p.X.Tick.Marker = x.ticks
	}
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = rule(), rule()
	grid.Vertical.Width, grid.Horizontal.Width = vg.Points(0.5), vg.Points(0.5)
	p.Add(grid)

	c := &chart{Title: title, Note: note}
	for i, s := range lines {
		if len(s.xys) == 0 {
			return nil, nil
		}
		line, points, err := plotter.NewLinePoints(s.xys)
		if err != nil {
			return nil, fmt.Errorf("chart %q: %w", title, err)
		}
		line.Color, line.Width = stroke(i), vg.Points(1.6)
		line.Dashes = [][]vg.Length{nil, {vg.Points(6), vg.Points(3)}, {vg.Points(2), vg.Points(2)}}[i%3]
		points.Color, points.Shape, points.Radius = stroke(i), draw.CircleGlyph{}, vg.Points(2)
		p.Add(line)
		if len(s.xys) <= 60 {
			p.Add(points)
		}
		c.Legend = append(c.Legend, s.name)
	}
	p.Y.Min = 0
	if p.Y.Max <= 0 {
		p.Y.Max = 1
	}
	step := roundStep(p.Y.Max)
	p.Y.Max = step * math.Ceil(p.Y.Max/step) // up to a mark
	if p.X.Max <= p.X.Min {
		p.X.Max = p.X.Min + 1
	}
	canvas := vgsvg.New(chartWidth, chartHeight)
	// Room for half of the outermost labels, which stand over the axes' ends.
	p.Draw(draw.Crop(draw.New(canvas), 0, -vg.Points(18), 0, -vg.Points(6)))
	var buf bytes.Buffer
	if _, err := canvas.WriteTo(&buf); err != nil {
		return nil, fmt.Errorf("chart %q: %w", title, err)
	}
	svg := buf.String()
	svg = svg[strings.Index(svg, "<svg"):] // without the XML prologue
	_, body, _ := strings.Cut(svg, ">")    // without its size in points: the page decides that
	// Every text in it is ours: titles, labels and numbers.
	c.SVG = template.HTML(fmt.Sprintf(`<svg viewBox="0 0 %d %d" role="img" aria-label="%s">`,
		chartWidth, chartHeight, template.HTMLEscapeString(title)) + paint(body))
	return c, nil
}

// plain marks an axis at four to nine round numbers.
type plain struct{}

// Ticks implements plot.Ticker.
func (plain) Ticks(lo, hi float64) []plot.Tick {
	step := roundStep(hi - lo)
	decimals := max(0, int(-math.Floor(math.Log10(step))))
	var ticks []plot.Tick
	for i := math.Ceil(lo / step); i*step <= hi*(1+1e-9); i++ {
		ticks = append(ticks, plot.Tick{Value: i * step, Label: strconv.FormatFloat(i*step, 'f', decimals, 64)})
	}
	return ticks
}

// roundStep divides a span into four to nine steps of 1, 2 or 5 times a power
// of ten.
func roundStep(span float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(span/4)))
	switch m := span / 4 / power; {
	case m >= 5:
		return 5 * power
	case m >= 2:
		return 2 * power
	}
	return power
}

// nines marks an axis of log10 1/(1-q) at 50 %, 90 %, 99 % and so on.
type nines struct{}

// Ticks implements plot.Ticker.
func (nines) Ticks(lo, hi float64) []plot.Tick {
	ticks := []plot.Tick{{Value: 0, Label: "0 %"}, {Value: math.Log10(2), Label: "50 %"}}
	for n := 1; float64(n) <= hi; n++ {
		percent := strconv.FormatFloat(100-100*math.Pow(10, -float64(n)), 'f', max(0, n-2), 64)
		ticks = append(ticks, plot.Tick{Value: float64(n), Label: percent + " %"})
	}
	return ticks
}

// charts draws all charts that there are figures for.
func (r *Report) charts() ([]*chart, error) {
	var out []*chart
	for _, draw := range []func() (*chart, error){r.curveChart, r.timelineChart, r.memoryChart, r.cpuChart} {
		c, err := draw()
		if err != nil {
			return nil, err
		}
		if c != nil {
			out = append(out, c)
		}
	}
	return out, nil
}

func (r *Report) curveChart() (*chart, error) {
	var xys plotter.XYs
	last := 0.0
	for _, q := range r.Curve {
		x := -math.Log10(1 - q.Q)
		if q.Q == 1 { // the last delivery: drawn where one in all of them is
			x = math.Log10(math.Max(float64(r.Delivered), 2))
		}
		last = max(last, x)
		xys = append(xys, plotter.XY{X: last, Y: q.MS})
	}
	return newChart("Latency of all deliveries", "From the intended time of sending until a subscriber had it; the axis stretches the slowest.",
		axis{label: "share of deliveries", ticks: nines{}}, axis{label: "ms"}, series{"latency", xys})
}

func (r *Report) timelineChart() (*chart, error) {
	var p50, p99, last plotter.XYs
	for _, m := range r.Timeline {
		p50 = append(p50, plotter.XY{X: m.OffsetS, Y: m.P50})
		p99 = append(p99, plotter.XY{X: m.OffsetS, Y: m.P99})
		last = append(last, plotter.XY{X: m.OffsetS, Y: m.Last})
	}
	return newChart("Fan-out, message by message", "Until 50, 99 and 100 % of a message's subscribers had it.",
		axis{label: "intended time, s"}, axis{label: "ms"},
		series{"100 %", last}, series{"99 %", p99}, series{"50 %", p50})
}

func (r *Report) memoryChart() (*chart, error) {
	var server, generator plotter.XYs
	for _, s := range r.Samples {
		server = append(server, plotter.XY{X: s.T, Y: float64(s.ServerRSS) / 1e6})
		generator = append(generator, plotter.XY{X: s.T, Y: float64(s.GeneratorRSS) / 1e6})
	}
	lines := []series{{"server", server}, {"load generator", generator}}
	if r.Server == nil {
		lines = []series{{"load generator", generator}}
	}
	return newChart("Resident memory", "All processes of each together, without what the kernel holds for the sockets.",
		axis{label: "time, s"}, axis{label: "MB"}, lines...)
}

func (r *Report) cpuChart() (*chart, error) {
	var server, generator plotter.XYs
	for i := 1; i < len(r.Samples); i++ {
		a, b := r.Samples[i-1], r.Samples[i]
		dt := b.T - a.T
		if dt < minSpan.Seconds() { // too near for a resolution of 10 ms
			continue
		}
		server = append(server, plotter.XY{X: b.T, Y: max(0, b.ServerCPU-a.ServerCPU) / dt})
		generator = append(generator, plotter.XY{X: b.T, Y: max(0, b.GeneratorCPU-a.GeneratorCPU) / dt})
	}
	lines := []series{{"server", server}, {"load generator", generator}}
	if r.Server == nil {
		lines = []series{{"load generator", generator}}
	}
	return newChart("Processor time", fmt.Sprintf("Cores kept busy, of %d.", r.Conditions.Cores),
		axis{label: "time, s"}, axis{label: "cores"}, lines...)
}

// minSpan is the shortest time between samples that a share of processor time
// is computed over.
const minSpan = 200 * time.Millisecond
