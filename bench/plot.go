package main

import (
	"bytes"
	"fmt"
	"image/color"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

var (
	barColour   = color.RGBA{R: 0x3b, G: 0x7d, B: 0xb8, A: 0xff}
	floorColour = color.RGBA{R: 0xa8, G: 0xb0, B: 0xb8, A: 0xff}
)

// plotFile is the name of a scenario's plot, in the folder of the results.
func plotFile(p Played) string { return p.Name + ".svg" }

// drawAll draws a plot for each scenario.
func drawAll(folder string, r *Results) error {
	for _, p := range r.Scenarios {
		svg, err := drawSVG(p)
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, plotFile(p)), svg, 0o644)
		}
		if err != nil {
			return fmt.Errorf("drawing %s: %w", p.Name, err)
		}
	}
	return nil
}

// drawSVG draws the scenario's plot.
func drawSVG(p Played) ([]byte, error) {
	chart, err := barsOf(p)
	if err != nil {
		return nil, err
	}
	const margin = 4 * vg.Millimeter
	canvas := vgsvg.New(16*vg.Centimeter, 9*vg.Centimeter)
	chart.Draw(draw.Crop(draw.New(canvas), margin, -margin, margin, -margin))
	var svg bytes.Buffer
	if _, err := canvas.WriteTo(&svg); err != nil {
		return nil, err
	}
	// Where that font isn't installed a browser would take one with serifs, of other widths.
	return bytes.ReplaceAll(svg.Bytes(), []byte("font-family:Liberation Sans"), []byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif")), nil
}

// barsOf draws a bar to each contender, as high as the median, with whiskers over the range, of what
// the scenario is played for.
func barsOf(p Played) (*plot.Plot, error) {
	chart := plot.New()
	chart.Title.Text = p.Title
	point := pointOf(p.Kind)
	chart.Y.Label.Text = point.axis
	chart.Y.Min = 0
	useSansSerif(chart)
	chart.NominalX(p.Systems()...)
	chart.X.Min, chart.X.Max = -0.6, float64(len(p.Systems()))-0.4
	chart.X.Padding, chart.Y.Padding = 0, 0
	chart.Title.Padding = 4 * vg.Millimeter
	chart.Y.Label.TextStyle.Font.Size = 10

	for i, system := range p.Systems() {
		s := spreadOf(p.values(system, func(m Measured) float64 { return point.scale * point.of(m) }))
		bar, err := plotter.NewBarChart(plotter.Values{s.Median}, 2*vg.Centimeter)
		if err != nil {
			return nil, err
		}
		bar.XMin = float64(i)
		bar.LineStyle.Width = 0
		bar.Color = barColour
		if system == floorName {
			bar.Color = floorColour
		}
		whiskers, err := plotter.NewYErrorBars(rangeAt{float64(i), s})
		if err != nil {
			return nil, err
		}
		label, err := plotter.NewLabels(plotter.XYLabels{
			XYs:    plotter.XYs{{X: float64(i), Y: s.Max}},
			Labels: []string{s.format(0)},
		})
		if err != nil {
			return nil, err
		}
		label.Offset = vg.Point{Y: 2 * vg.Millimeter}
		label.TextStyle[0].XAlign = draw.XCenter
		label.TextStyle[0].Font = sans(label.TextStyle[0].Font)
		chart.Add(bar, whiskers, label)
		chart.Y.Max = max(chart.Y.Max, 1.1*s.Max)
	}
	return chart, nil
}

// useSansSerif replaces the font of everything written beside the bars.
func useSansSerif(chart *plot.Plot) {
	for _, style := range []*font.Font{
		&chart.Title.TextStyle.Font,
		&chart.X.Tick.Label.Font,
		&chart.Y.Tick.Label.Font,
		&chart.Y.Label.TextStyle.Font,
	} {
		*style = sans(*style)
	}
}

func sans(f font.Font) font.Font {
	f.Variant = "Sans"
	return f
}

// rangeAt is a spread as error bar at a place on the X axis.
type rangeAt struct {
	x float64
	s Spread
}

func (r rangeAt) Len() int                       { return 1 }
func (r rangeAt) XY(int) (x, y float64)          { return r.x, r.s.Median }
func (r rangeAt) YError(int) (low, high float64) { return r.s.Median - r.s.Min, r.s.Max - r.s.Median }
