package main

import (
	"cmp"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

const (
	linesHeight  = 75 * vg.Millimeter
	sampleLength = 6 * vg.Millimeter // of a line, in front of its name
)

// line is a curve of a plot, with its name at its right end.
type line struct {
	name   string
	xys    plotter.XYs
	colour color.Color
	dashes []vg.Length // nil for none
	points bool        // whether to mark what is known
}

// dashes tell lines apart where colours don't.
var dashes = [][]vg.Length{{5, 2}, {2, 1.5}, {7, 2, 2, 2}}

// lineOf returns a contender's line: hubbub's is the one that isn't broken.
func lineOf(system string, xys plotter.XYs) line {
	l := line{name: system, xys: xys, colour: shadeOf(system)}
	if system != hubbub.name {
		i := slices.IndexFunc(shades, func(s shade) bool { return s.Name == system })
		l.dashes = dashes[max(0, i)%len(dashes)]
	}
	return l
}

func (l line) style() draw.LineStyle {
	s := draw.LineStyle{Color: l.colour, Width: vg.Points(1.2), Dashes: l.dashes}
	if l.dashes == nil {
		s.Width = vg.Points(1.8)
	}
	return s
}

// addLines draws lines over a grid. Those that end as high are named in their order, from the top.
func addLines(chart *plot.Plot, lines []line) error {
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = shadeOf("rule"), shadeOf("rule")
	grid.Vertical.Width, grid.Horizontal.Width = vg.Points(0.5), vg.Points(0.5)
	chart.Add(grid)
	for _, l := range lines {
		drawn, points, err := plotter.NewLinePoints(l.xys)
		if err != nil {
			return err
		}
		drawn.LineStyle = l.style()
		points.Color, points.Shape, points.Radius = l.colour, draw.CircleGlyph{}, vg.Points(2.5)
		chart.Add(drawn)
		if l.points {
			chart.Add(points)
		}
	}
	chart.Add(lineNames(lines))
	return nil
}

// lineNames writes the names of lines beside the plot, each with a sample of its line.
type lineNames []line

// Plot implements plot.Plotter.
func (n lineNames) Plot(c draw.Canvas, chart *plot.Plot) {
	_, y := chart.Transforms(&c)
	style := labelStyle(chart)
	pitch := style.Height("X") * 1.25
	at := make([]vg.Length, len(n))
	for i, l := range n {
		at[i] = y(l.xys[len(l.xys)-1].Y)
	}
	for i, y := range apart(at, pitch, c.Min.Y+pitch/2, c.Max.Y-pitch/2) {
		left := c.Max.X + 2*gap
		c.StrokeLine2(n[i].style(), left, y, left+sampleLength, y)
		c.FillText(style, vg.Point{X: left + sampleLength + gap, Y: y}, n[i].name)
	}
}

// GlyphBoxes implements plot.GlyphBoxer: room for the names.
func (n lineNames) GlyphBoxes(chart *plot.Plot) []plot.GlyphBox {
	var wide vg.Length
	for _, l := range n {
		wide = max(wide, labelStyle(chart).Width(l.name))
	}
	return []plot.GlyphBox{{X: 1, Y: 0.5, Rectangle: vg.Rectangle{Max: vg.Point{X: 3*gap + sampleLength + wide}}}}
}

// apart moves what would be nearer to each other than pitch, or outside of least to most, no further
// than it takes. What is at the same height is stacked in its order, the first on top.
func apart(at []vg.Length, pitch, least, most vg.Length) []vg.Length {
	order := make([]int, len(at)) // from the top
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(at[b], at[a]) })
	moved := slices.Clone(at)
	bound := most
	for _, i := range order {
		moved[i] = min(moved[i], bound)
		bound = moved[i] - pitch
	}
	bound = least
	for _, i := range slices.Backward(order) {
		moved[i] = max(moved[i], bound)
		bound = moved[i] + pitch
	}
	return moved
}

// linearTicks marks round numbers.
type linearTicks struct{}

// Ticks implements plot.Ticker.
func (linearTicks) Ticks(least, most float64) []plot.Tick {
	var ticks []plot.Tick
	for _, t := range (plot.DefaultTicks{}).Ticks(least, most) {
		if !t.IsMinor() {
			ticks = append(ticks, plot.Tick{Value: t.Value, Label: decimal(t.Value, -1)})
		}
	}
	return ticks
}

// logTicks marks the powers of ten, and where they are few also twice and five times these.
type logTicks struct{}

// Ticks implements plot.Ticker.
func (logTicks) Ticks(least, most float64) []plot.Tick {
	times := []float64{1, 2, 5}
	if most/least > 500 {
		times = times[:1]
	}
	var ticks []plot.Tick
	for power := math.Floor(math.Log10(least)); math.Pow(10, power) <= most; power++ {
		for _, t := range times {
			if v := t * math.Pow(10, power); v >= least*(1-1e-9) && v <= most*(1+1e-9) {
				ticks = append(ticks, plot.Tick{Value: v, Label: decimal(v, -1)})
			}
		}
	}
	return ticks
}

// logScale makes an axis of what is more than 0 logarithmic.
func logScale(axis *plot.Axis) {
	axis.Scale, axis.Tick.Marker = plot.LogScale{}, logTicks{}
}
