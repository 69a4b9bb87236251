package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
)

const (
	leastScale = 1_000       // connections of the first size; each further has ten times as many
	paced      = 100_000     // connections that a message a second can reach without lagging behind
	slowly     = 3           // messages to more than that
	perMessage = time.Minute // and time for each of them
)

// scalingColumns are what its table shows besides what all do.
var scalingColumns = []column{
	{"connections/s", 0, connects, []string{scaling}, true},
	{"half had it, ms", 1, func(m Measured) float64 { return m.P50MS }, []string{scaling}, false},
	{"last delivery, ms", 1, lastDelivery, []string{scaling}, true},
	{"server RSS, MB", 1, memoryMB, []string{scaling}, false},
	{"per connection, B", 0, idleMemory, []string{scaling}, true},
}

// sizes are the numbers of connections that are played: powers of ten, and the most that is asked for.
func sizes(most int) []int {
	var all []int
	for size := leastScale; size < most; size *= 10 {
		all = append(all, size)
	}
	return append(all, most)
}

// scalingScenario is the fan-out by the server alone to ever more connections. The contenders are its
// sizes.
func scalingScenario(opts options) scenario {
	s := scenario{
		kind: scaling, name: "scaling", conns: opts.conns, path: pathTopic,
		title: fmt.Sprintf("From %s to %s connections: fan-out by %s alone", thousands(min(leastScale, opts.conns)), thousands(opts.conns), hubbub.name),
	}
	for _, size := range sizes(opts.conns) {
		at := scenario{kind: scaling, conns: size, path: pathTopic, load: []string{"-settle", opts.length.settle.String()}}
		if size <= paced {
			at.load = append(at.load, "-rate", "1", "-duration", fmt.Sprintf("%ds", opts.length.messages))
		} else {
			s.patience = 2 * (slowly + 1) * perMessage
			at.load = append(at.load, "-rate", strconv.FormatFloat(1/perMessage.Seconds(), 'g', 4, 64),
				"-duration", (slowly * perMessage).String(), "-timeout", perMessage.String())
		}
		s.contenders = append(s.contenders, contender{name: thousands(size), run: func(ctx context.Context, run *Run, _ *scenario) error {
			run.Conns = size
			return hubbub.under(ctx, run, &at)
		}})
	}
	return s
}

// scalingPictures draws over the number of connections what a message and a connection take.
func scalingPictures(p Played) ([]picture, error) {
	conns := make(map[string]float64)
	var marks plot.ConstantTicks
	for _, run := range p.Runs {
		conns[run.System] = float64(run.Conns)
		if run.Round == 1 {
			marks = append(marks, plot.Tick{Value: float64(run.Conns), Label: run.System})
		}
	}
	lines := []line{
		{name: "last delivery, ms", colour: shadeOf(hubbub.name), points: true},
		{name: "bytes/connection", colour: shadeOf(gorilla), dashes: dashes[0], points: true},
	}
	for i, of := range []func(Measured) float64{lastDelivery, idleMemory} {
		for _, size := range p.Systems() {
			if s := spreadOf(p.values(size, of)); s.N > 0 {
				lines[i].xys = append(lines[i].xys, plotter.XY{X: conns[size], Y: s.Median})
			}
		}
	}
	lines = slices.DeleteFunc(lines, func(l line) bool { return len(l.xys) == 0 })
	if len(lines) == 0 { // all runs failed
		return nil, nil
	}
	chart := newChart("connections", "")
	if err := addLines(chart, lines); err != nil {
		return nil, err
	}
	logScale(&chart.X)
	logScale(&chart.Y)
	chart.X.Tick.Marker = marks
	return []picture{{File: p.Name + ".svg", Title: p.Title, chart: chart, height: linesHeight}}, nil
}
