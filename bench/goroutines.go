package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// goroutineCount watches how many goroutines a server has.
type goroutineCount struct {
	before int
	with   chan int // what it has with all connections, if it got so far
	cancel context.CancelFunc
}

// countGoroutines counts the server's goroutines now, and again once it holds conns connections.
func countGoroutines(ctx context.Context, admin string, conns int) (*goroutineCount, error) {
	before, err := fewestGoroutines(ctx, admin)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	c := &goroutineCount{before: before, with: make(chan int, 1), cancel: cancel}
	go func() {
		defer close(c.with)
		for ctx.Err() == nil {
			if connections(ctx, admin) >= conns {
				if n, err := fewestGoroutines(ctx, admin); err == nil {
					c.with <- n
				}
				return
			}
			time.Sleep(200 * time.Millisecond)
		}
	}()
	return c, nil
}

// growth ends the watch and returns the difference, or nil where the connections never were all
// there.
func (c *goroutineCount) growth() *int {
	c.cancel()
	with, ok := <-c.with
	if !ok {
		return nil
	}
	n := with - c.before
	return &n
}

// connections returns how many connections the server says it has; none if it can't say.
func connections(ctx context.Context, admin string) int {
	page, err := get(ctx, admin+"/healthz")
	if err != nil {
		return 0
	}
	var health struct {
		Connections int `json:"connections"`
	}
	if json.Unmarshal([]byte(page), &health) != nil {
		return 0
	}
	return health.Connections
}

// fewestGoroutines returns the least number of some looks: those that serve a request just over
// come and go.
func fewestGoroutines(ctx context.Context, admin string) (int, error) {
	fewest := 0
	for look := range 3 {
		time.Sleep(200 * time.Millisecond)
		page, err := get(ctx, admin+"/metrics")
		if err != nil {
			return 0, fmt.Errorf("counting goroutines: %w", err)
		}
		n, err := sumMetric(page, "go_goroutines")
		if err != nil {
			return 0, err
		}
		if look == 0 || int(n) < fewest {
			fewest = int(n)
		}
	}
	return fewest, nil
}

// sumMetric adds up the values of a gauge on a page of metrics: one for each process of the server.
func sumMetric(page, name string) (float64, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(page))
	if err != nil {
		return 0, fmt.Errorf("reading the server's metrics: %w", err)
	}
	family := families[name]
	if family == nil {
		return 0, fmt.Errorf("the server's metrics have no %s", name)
	}
	var sum float64
	for _, metric := range family.Metric {
		sum += metric.GetGauge().GetValue()
	}
	return sum, nil
}
