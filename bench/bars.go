package main

import (
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

const (
	barWidth = 5 * vg.Millimeter
	barPitch = 8 * vg.Millimeter // from bar to bar
	gap      = vg.Millimeter     // between a line or bar and what is written behind it
)

// barPicture draws a bar to each contender, as long as the median, with whiskers over the range, of
// what the scenario is played for.
func barPicture(p Played) picture {
	point := pointOf(p.Kind)
	chart := newChart(point.axis, "")
	systems := p.Systems()
	all := make(bars, len(systems))
	names := make([]string, len(systems))
	for i, system := range systems {
		at := len(systems) - 1 - i // the first is the topmost
		names[at] = system
		all[at] = bar{system, spreadOf(p.values(system, func(m Measured) float64 { return point.scale * point.of(m) }))}
	}
	chart.Add(all)
	chart.NominalY(names...)
	chart.Y.Min, chart.Y.Max = -0.6, float64(len(systems))-0.4
	chart.X.Tick.Marker = linearTicks{}
	return picture{
		File: p.Name + ".svg", Title: p.Title,
		chart: chart, height: barPitch*vg.Length(len(systems)) + 15*vg.Millimeter,
	}
}

// bar is what a contender reached.
type bar struct {
	system string
	Spread
}

// bars draws them from the lowest to the topmost, at 0, 1, 2 and so on.
type bars []bar

// DataRange implements plot.DataRanger.
func (b bars) DataRange() (xmin, xmax, ymin, ymax float64) {
	for _, bar := range b {
		xmax = max(xmax, bar.Max)
	}
	return 0, xmax, 0, float64(len(b) - 1)
}

// Plot implements plot.Plotter.
func (b bars) Plot(c draw.Canvas, chart *plot.Plot) {
	x, y := chart.Transforms(&c)
	whisker := draw.LineStyle{Color: shadeOf("ink"), Width: vg.Points(0.75)}
	for i, bar := range b {
		at := y(float64(i))
		c.FillPolygon(shadeOf(bar.system), []vg.Point{
			{X: x(0), Y: at - barWidth/2}, {X: x(bar.Median), Y: at - barWidth/2},
			{X: x(bar.Median), Y: at + barWidth/2}, {X: x(0), Y: at + barWidth/2},
		})
		if bar.Min < bar.Max {
			c.StrokeLine2(whisker, x(bar.Min), at, x(bar.Max), at)
			for _, end := range []float64{bar.Min, bar.Max} {
				c.StrokeLine2(whisker, x(end), at-barWidth/4, x(end), at+barWidth/4)
			}
		}
		c.FillText(labelStyle(chart), vg.Point{X: x(bar.Max) + gap, Y: at}, bar.format(0))
	}
}

// GlyphBoxes implements plot.GlyphBoxer: room for what is written behind the bars.
func (b bars) GlyphBoxes(chart *plot.Plot) []plot.GlyphBox {
	boxes := make([]plot.GlyphBox, len(b))
	for i, bar := range b {
		boxes[i] = plot.GlyphBox{
			X: chart.X.Norm(bar.Max), Y: chart.Y.Norm(float64(i)),
			Rectangle: vg.Rectangle{Max: vg.Point{X: gap + labelStyle(chart).Width(bar.format(0))}},
		}
	}
	return boxes
}
