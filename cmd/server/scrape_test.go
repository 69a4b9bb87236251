package main

import (
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// scrapePage reads /metrics of a server.
func (p *process) scrapePage(query string) families {
	p.t.Helper()
	status, page := get(p.t, p.admin, "/metrics"+query)
	if status != 200 {
		p.t.Fatalf("/metrics: %d %s", status, page)
	}
	return parseMetrics(p.t, page)
}

func parseMetrics(t *testing.T, page string) families {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	fs, err := parser.TextToMetricFamilies(strings.NewReader(page))
	if err != nil {
		t.Fatalf("%v in:\n%s", err, page)
	}
	return fs
}

// labelled returns the value of a label of a series.
func labelled(m *dto.Metric, name string) (string, bool) {
	for _, l := range m.Label {
		if l.GetName() == name {
			return l.GetValue(), true
		}
	}
	return "", false
}

// byWorker returns the values of a gauge or counter by worker, of the series
// that have the label name=value.
func (fs families) byWorker(family, name, value string) map[string]float64 {
	values := map[string]float64{}
	for _, m := range fs[family].GetMetric() {
		if v, _ := labelled(m, name); v == value {
			worker, _ := labelled(m, workerLabel)
			values[worker] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return values
}

// connections returns the number of connections at /ws by worker.
func (p *process) connections() map[string]float64 {
	p.t.Helper()
	return p.scrapePage("").byWorker("hubbub_connections", "path", "/ws")
}
