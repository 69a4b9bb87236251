package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"google.golang.org/protobuf/proto"
)

// families are metrics by name.
type families map[string]*dto.MetricFamily

// metricsOf serves the metrics of all workers, and of this process, as one
// page: each series with a worker label, or with ?sum=1 without it and added
// up. A worker that doesn't answer is left out, and counted in
// hubbub_workers_silent.
func metricsOf(workers []*child, own prometheus.Gatherer, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), askTimeout)
		defer cancel()
		all := make([]families, len(workers))
		var wg sync.WaitGroup
		for i, c := range workers {
			wg.Go(func() {
				var err error
				if all[i], err = scrape(ctx, c); err != nil {
					log.Warn("a worker did not give its metrics", "worker", c.index, "error", err)
				}
			})
		}
		wg.Wait()
		merged := families{}
		silent := 0
		for i, f := range all {
			if f == nil {
				silent++
			}
			merged.add(f, strconv.Itoa(workers[i].index))
		}
		gathered, err := own.Gather()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		mine := families{}
		for _, f := range gathered {
			mine[f.GetName()] = f
		}
		merged.add(mine, "supervisor")
		if r.URL.Query().Has("sum") {
			merged = merged.sum()
		}
		merged["hubbub_workers"] = gauge("hubbub_workers", "Worker processes that there should be.", len(workers))
		merged["hubbub_workers_silent"] = gauge("hubbub_workers_silent", "Worker processes whose metrics are missing here.", silent)
		format := expfmt.NegotiateAccept(r.Header, expfmt.DefaultAcceptedFormats()...)
		w.Header().Set("Content-Type", string(format))
		enc := expfmt.NewEncoder(w, format)
		for _, name := range slices.Sorted(maps.Keys(merged)) {
			if err := enc.Encode(merged[name]); err != nil {
				return // the reader is gone
			}
		}
	})
}

func scrape(ctx context.Context, c *child) (families, error) {
	if c.ready.Load() == nil {
		return nil, fmt.Errorf("it is not ready")
	}
	resp, err := c.get(ctx, "/metrics")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answers %s", resp.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	fs, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		return nil, err // and not what came before it, as if that were all
	}
	return fs, nil
}

func gauge(name, help string, v int) *dto.MetricFamily {
	return &dto.MetricFamily{
		Name: proto.String(name), Help: proto.String(help), Type: dto.MetricType_GAUGE.Enum(),
		Metric: []*dto.Metric{{Gauge: &dto.Gauge{Value: proto.Float64(float64(v))}}},
	}
}

const workerLabel = "worker"

// add adds another process's metrics, each labelled with its name.
func (fs families) add(more families, worker string) {
	for name, f := range more {
		for _, m := range f.Metric {
			m.Label = append(m.Label, &dto.LabelPair{Name: proto.String(workerLabel), Value: proto.String(worker)})
		}
		if have := fs[name]; have != nil {
			have.Metric = append(have.Metric, f.Metric...)
		} else {
			fs[name] = f
		}
	}
}

// sum adds up the series that differ only in their worker. Summaries can't be
// added up and are left out.
func (fs families) sum() families {
	out := families{}
	for name, f := range fs {
		if f.GetType() == dto.MetricType_SUMMARY {
			continue
		}
		byLabels := map[string]*dto.Metric{}
		sum := &dto.MetricFamily{Name: f.Name, Help: f.Help, Type: f.Type}
		for _, m := range f.Metric {
			m.Label = slices.DeleteFunc(m.Label, func(l *dto.LabelPair) bool { return l.GetName() == workerLabel })
			key := fmt.Sprint(m.Label)
			if have := byLabels[key]; have != nil {
				addMetric(have, m)
				continue
			}
			byLabels[key] = m
			sum.Metric = append(sum.Metric, m)
		}
		out[name] = sum
	}
	return out
}

func addMetric(to, m *dto.Metric) {
	switch {
	case to.Counter != nil:
		to.Counter.Value = proto.Float64(to.Counter.GetValue() + m.Counter.GetValue())
	case to.Gauge != nil:
		to.Gauge.Value = proto.Float64(to.Gauge.GetValue() + m.Gauge.GetValue())
	case to.Untyped != nil:
		to.Untyped.Value = proto.Float64(to.Untyped.GetValue() + m.Untyped.GetValue())
	case to.Histogram != nil:
		to.Histogram.SampleCount = proto.Uint64(to.Histogram.GetSampleCount() + m.Histogram.GetSampleCount())
		to.Histogram.SampleSum = proto.Float64(to.Histogram.GetSampleSum() + m.Histogram.GetSampleSum())
		for i, b := range to.Histogram.Bucket {
			if i < len(m.Histogram.Bucket) { // the processes run the same program
				b.CumulativeCount = proto.Uint64(b.GetCumulativeCount() + m.Histogram.Bucket[i].GetCumulativeCount())
			}
		}
	}
}
