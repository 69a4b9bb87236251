package main

import (
	"bytes"
	"fmt"
	"html/template"
	"image/color"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// width is that of all plots: on a phone's display their text can still be read.
const width = 12 * vg.Centimeter

// shade is a colour of plots: as their files have it, and as a page has it for readers who want it dark.
type shade struct{ Name, Light, Dark string }

// shades are all colours that plots have. Those of contenders are named after them.
var shades = []shade{
	{"paper", "#FFFFFF", "#1E2125"},
	{"ink", "#22252A", "#E6E4DF"},
	{"rule", "#D9D7D2", "#3A3E45"},
	{hubbub.name, "#1F6FB3", "#6DB3F2"},
	{gorilla, "#B3401F", "#F0865F"},
	{"gws", "#3D7D3A", "#85C97F"},
	{"nbio", "#8A4FB0", "#C79BE8"},
	{"gnet", "#A07000", "#E5B84B"},
	{"coder", "#0F8A8A", "#5FD0CF"},
	{centrifuge, "#5C6B12", "#BFD05E"},
	{channels.name, "#3C3F9E", "#A3A7FF"},
	{keptChannels.name, "#7A5230", "#D2A679"},
	{guestName, "#C2327A", "#FF8CC0"},
	{floorName, "#8A9099", "#9AA1AB"},
}

// shadeOf returns the colour of that name, as it is in files; whatever has none is the user's own server.
func shadeOf(name string) color.Color {
	i := slices.IndexFunc(shades, func(s shade) bool { return s.Name == name })
	if i < 0 {
		return shadeOf(guestName)
	}
	rgb, _ := strconv.ParseUint(shades[i].Light[1:], 16, 32)
	return color.RGBA{R: uint8(rgb >> 16), G: uint8(rgb >> 8), B: uint8(rgb), A: 0xff}
}

// picture is a plot of a scenario.
type picture struct {
	File  string // its name in the folder of the results
	Title string

	chart  *plot.Plot
	height vg.Length // without the title
}

// pictures returns the plots of a scenario.
func pictures(p Played) ([]picture, error) {
	if p.Kind == scaling {
		return scalingPictures(p)
	}
	curves, err := curvePictures(p)
	return append([]picture{barPicture(p)}, curves...), err
}

// drawAll writes the plots of all scenarios.
func drawAll(folder string, r *Results) error {
	for _, p := range r.Scenarios {
		all, err := pictures(p)
		if err != nil {
			return fmt.Errorf("drawing %s: %w", p.Name, err)
		}
		for _, pic := range all {
			svg, err := pic.SVG()
			if err == nil {
				err = os.WriteFile(filepath.Join(folder, pic.File), svg, 0o644)
			}
			if err != nil {
				return fmt.Errorf("drawing %s: %w", pic.File, err)
			}
		}
	}
	return nil
}

// SVG draws the plot as a file that stands for itself.
func (p picture) SVG() ([]byte, error) {
	style := p.chart.Title.TextStyle
	p.chart.Title.Text = broken(p.Title, width-margin, style)
	return p.draw(p.height + style.Height(p.chart.Title.Text) + p.chart.Title.Padding)
}

// Inline draws the plot for a page that has its title beside it and its shades as variables.
func (p picture) Inline() (template.HTML, error) {
	p.chart.Title.Text = ""
	svg, err := p.draw(p.height)
	if err != nil {
		return "", err
	}
	text := string(svg[bytes.Index(svg, []byte("<svg")):]) // without the XML prologue
	_, body, _ := strings.Cut(text, ">")                   // without its size: the page decides that
	for _, s := range shades {
		body = strings.ReplaceAll(body, s.Light, "var(--"+s.Name+")")
	}
	// Every text in it is ours: names of contenders, labels and numbers.
	return template.HTML(fmt.Sprintf(`<svg viewBox="0 0 %.0f %.0f" role="img" aria-label="%s">`,
		width.Points(), p.height.Points(), template.HTMLEscapeString(p.Title)) + body), nil
}

// margin is left free at the right, where the last of an axis's labels reaches beyond it.
const margin = 2 * vg.Millimeter

func (p picture) draw(height vg.Length) ([]byte, error) {
	canvas := vgsvg.New(width, height)
	all := draw.New(canvas)
	all.SetColor(shadeOf("paper"))
	all.Fill(all.Rectangle.Path())
	p.chart.Draw(draw.Crop(all, margin, -margin, margin, -margin))
	var svg bytes.Buffer
	if _, err := canvas.WriteTo(&svg); err != nil {
		return nil, err
	}
	// Where that font isn't installed a browser would take one with serifs, of other widths.
	return bytes.ReplaceAll(svg.Bytes(), []byte("font-family:Liberation Sans"), []byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif")), nil
}

// newChart returns a plot without anything in it but its axes.
func newChart(x, y string) *plot.Plot {
	chart := plot.New()
	chart.BackgroundColor = nil
	chart.Title.Padding = 3 * vg.Millimeter
	chart.X.Label.Text, chart.Y.Label.Text = x, y
	chart.X.Padding, chart.Y.Padding = 0, 0
	chart.Title.TextStyle = inStyle(chart.Title.TextStyle, 11)
	for _, axis := range []*plot.Axis{&chart.X, &chart.Y} {
		axis.LineStyle.Color, axis.Tick.LineStyle.Color = shadeOf("rule"), shadeOf("rule")
		axis.Tick.Label = inStyle(axis.Tick.Label, 9)
		axis.Label.TextStyle = inStyle(axis.Label.TextStyle, 9)
	}
	return chart
}

// inStyle gives text our colour and font.
func inStyle(s text.Style, size font.Length) text.Style {
	s.Color, s.Font.Variant, s.Font.Size = shadeOf("ink"), "Sans", vg.Points(float64(size))
	return s
}

// labelStyle is that of what is written among lines and bars.
func labelStyle(chart *plot.Plot) text.Style {
	s := chart.X.Tick.Label
	s.XAlign, s.YAlign = draw.XLeft, draw.YCenter
	return s
}

// broken breaks a text into lines of at most a width.
func broken(s string, width vg.Length, style text.Style) string {
	var lines []string
	for word := range strings.FieldsSeq(s) {
		if last := len(lines) - 1; last >= 0 && style.Width(lines[last]+" "+word) <= width {
			lines[last] += " " + word
		} else {
			lines = append(lines, word)
		}
	}
	return strings.Join(lines, "\n")
}
