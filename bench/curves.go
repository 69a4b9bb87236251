package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
)

// byPercentile are the kinds of scenarios whose latencies are drawn by percentile; byTime are those of
// which it is drawn what share of the subscribers had a message after how long.
var (
	byPercentile = []string{chat, echo, latency, rooms, history}
	byTime       = []string{fanOut, bigFanOut}
)

// curve is the distribution of a contender's latencies.
type curve struct {
	system string
	points []quantile // by share; the median over the rounds
}

// quantile says within how many milliseconds a share of the deliveries arrived.
type quantile struct {
	Share float64 `json:"q"`
	MS    float64 `json:"ms"`
}

// What the curves are drawn up to, since beyond 99.99 % it is few deliveries that decide, and a little
// more: the shares come in binary.
const (
	mostNines = 4
	hair      = 1e-6
)

// curvesOf takes the curves of a scenario's contenders from what the load generator reported. It
// samples all distributions at the same shares; those are taken that every round has.
func curvesOf(p Played) ([]curve, error) {
	if !slices.Contains(byPercentile, p.Kind) && !slices.Contains(byTime, p.Kind) {
		return nil, nil
	}
	var all []curve
	for _, system := range p.Systems() {
		rounds := 0
		byShare := make(map[float64]map[int]float64)
		for _, run := range p.Runs {
			if run.System != system || run.Error != "" || run.Raw == nil {
				continue
			}
			var report struct {
				Curve []quantile `json:"latency_curve"`
			}
			if err := json.Unmarshal(run.Raw, &report); err != nil {
				return nil, fmt.Errorf("reading the report of %s, round %d: %w", system, run.Round, err)
			}
			rounds++
			for _, q := range report.Curve {
				if byShare[q.Share] == nil {
					byShare[q.Share] = make(map[int]float64)
				}
				byShare[q.Share][run.Round] = q.MS
			}
		}
		c := curve{system: system}
		for share, byRound := range byShare {
			if len(byRound) == rounds && nines(share) <= mostNines+hair {
				c.points = append(c.points, quantile{share, spreadOf(byRound).Median})
			}
		}
		slices.SortFunc(c.points, func(a, b quantile) int { return cmp.Compare(a.Share, b.Share) })
		if len(c.points) > 1 {
			all = append(all, c)
		}
	}
	return all, nil
}

// nines is where a share stands on an axis that stretches the last: 1 for 90 %, 2 for 99 % and so on.
func nines(share float64) float64 { return -math.Log10(1 - share) }

// curvePictures draws a scenario's curves, if it has any.
func curvePictures(p Played) ([]picture, error) {
	curves, err := curvesOf(p)
	if err != nil || len(curves) == 0 {
		return nil, err
	}
	draw := percentilePicture
	if slices.Contains(byTime, p.Kind) {
		draw = timePicture
	}
	pic, err := draw(p, curves)
	return []picture{pic}, err
}

// percentilePicture draws latencies over percentiles from 50 on, on an axis that stretches the slowest.
func percentilePicture(p Played, curves []curve) (picture, error) {
	chart := newChart("share of deliveries", "latency, ms")
	least, most := math.Inf(1), 0.0
	var lines []line
	for _, c := range curves {
		var xys plotter.XYs
		for _, q := range c.points {
			if q.Share < almostHalf {
				continue
			}
			xys = append(xys, plotter.XY{X: nines(q.Share), Y: q.MS})
			least, most = min(least, q.MS), max(most, q.MS)
		}
		if len(xys) > 0 {
			lines = append(lines, lineOf(c.system, xys))
		}
	}
	if err := addLines(chart, lines); err != nil {
		return picture{}, err
	}
	chart.X.Min, chart.X.Max = nines(0.5), mostNines
	chart.X.Tick.Marker = plot.ConstantTicks{
		{Value: nines(0.5), Label: "50 %"}, {Value: 1, Label: "90 %"}, {Value: 2, Label: "99 %"},
		{Value: 3, Label: "99.9 %"}, {Value: 4, Label: "99.99 %"},
	}
	chart.Y.Tick.Marker = linearTicks{}
	chart.Y.Min = 0
	if most > 10*least && least > 0 {
		chart.Y.Min = least
		logScale(&chart.Y)
	}
	return picture{File: p.Name + "-latency.svg", Title: p.Title + ": latency by percentile", chart: chart, height: linesHeight}, nil
}

// almostHalf is the last share before 50 % that the load generator samples.
const almostHalf = 0.498

// timePicture draws the share of the subscribers that had a message over the time since it was due. All
// messages of a run go to as many, so it is the distribution of all their latencies.
func timePicture(p Played, curves []curve) (picture, error) {
	chart := newChart("ms after a message was due", "share of subscribers that had it")
	slices.SortStableFunc(curves, func(a, b curve) int { // as they reach the top, from left to right
		return cmp.Compare(a.points[len(a.points)-1].MS, b.points[len(b.points)-1].MS)
	})
	lines := make([]line, len(curves))
	for i, c := range curves {
		var xys plotter.XYs
		for _, q := range c.points {
			xys = append(xys, plotter.XY{X: q.MS, Y: 100 * q.Share})
		}
		lines[i] = lineOf(c.system, xys)
	}
	if err := addLines(chart, lines); err != nil {
		return picture{}, err
	}
	chart.X.Min, chart.Y.Min, chart.Y.Max = 0, 0, 100
	chart.X.Tick.Marker = linearTicks{}
	chart.Y.Tick.Marker = plot.ConstantTicks{
		{Value: 0, Label: "0 %"}, {Value: 25, Label: "25 %"}, {Value: 50, Label: "50 %"}, {Value: 75, Label: "75 %"}, {Value: 100, Label: "100 %"},
	}
	return picture{File: p.Name + "-time.svg", Title: p.Title + ": who had a message after how long", chart: chart, height: linesHeight}, nil
}
