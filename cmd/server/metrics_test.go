package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

const pageOfWorker0 = `# HELP a_total Counted.
# TYPE a_total counter
a_total{type="text"} 1
a_total{type="binary"} 20
# HELP b Measured.
# TYPE b gauge
b 1.5
# TYPE c_seconds histogram
c_seconds_bucket{path="/ws",le="0.1"} 1
c_seconds_bucket{path="/ws",le="1"} 3
c_seconds_bucket{path="/ws",le="+Inf"} 4
c_seconds_sum{path="/ws"} 6.5
c_seconds_count{path="/ws"} 4
# TYPE d_seconds summary
d_seconds{quantile="0.5"} 2
d_seconds_sum 3
d_seconds_count 2
# TYPE e untyped
e{odd="a \"b\"\\\n{},c=\"d\""} 1
`

// pageOfWorker1 has its series in another order, one more and one less.
const pageOfWorker1 = `# HELP a_total Counted.
# TYPE a_total counter
a_total{type="binary"} 300
a_total{type="ping"} 5
a_total{type="text"} 4
# HELP b Measured.
# TYPE b gauge
b -3
# TYPE c_seconds histogram
c_seconds_bucket{path="/ws",le="0.1"} 10
c_seconds_bucket{path="/ws",le="1"} 10
c_seconds_bucket{path="/ws",le="+Inf"} 20
c_seconds_sum{path="/ws"} 100
c_seconds_count{path="/ws"} 20
# TYPE d_seconds summary
d_seconds{quantile="0.5"} 4
d_seconds_sum 5
d_seconds_count 6
# TYPE e untyped
e{odd="a \"b\"\\\n{},c=\"d\""} 2
`

const merged = `# HELP a_total Counted.
# TYPE a_total counter
a_total{type="text",worker="0"} 1
a_total{type="binary",worker="0"} 20
a_total{type="binary",worker="1"} 300
a_total{type="ping",worker="1"} 5
a_total{type="text",worker="1"} 4
# HELP b Measured.
# TYPE b gauge
b{worker="0"} 1.5
b{worker="1"} -3
b{worker="supervisor"} 100
# TYPE c_seconds histogram
c_seconds_bucket{path="/ws",worker="0",le="0.1"} 1
c_seconds_bucket{path="/ws",worker="0",le="1"} 3
c_seconds_bucket{path="/ws",worker="0",le="+Inf"} 4
c_seconds_sum{path="/ws",worker="0"} 6.5
c_seconds_count{path="/ws",worker="0"} 4
c_seconds_bucket{path="/ws",worker="1",le="0.1"} 10
c_seconds_bucket{path="/ws",worker="1",le="1"} 10
c_seconds_bucket{path="/ws",worker="1",le="+Inf"} 20
c_seconds_sum{path="/ws",worker="1"} 100
c_seconds_count{path="/ws",worker="1"} 20
# TYPE d_seconds summary
d_seconds{worker="0",quantile="0.5"} 2
d_seconds_sum{worker="0"} 3
d_seconds_count{worker="0"} 2
d_seconds{worker="1",quantile="0.5"} 4
d_seconds_sum{worker="1"} 5
d_seconds_count{worker="1"} 6
# TYPE e untyped
e{odd="a \"b\"\\\n{},c=\"d\"",worker="0"} 1
e{odd="a \"b\"\\\n{},c=\"d\"",worker="1"} 2
# HELP hubbub_workers Worker processes that there should be.
# TYPE hubbub_workers gauge
hubbub_workers 2
# HELP hubbub_workers_silent Worker processes whose metrics are missing here.
# TYPE hubbub_workers_silent gauge
hubbub_workers_silent 0
`

const addedUp = `# HELP a_total Counted.
# TYPE a_total counter
a_total{type="text"} 5
a_total{type="binary"} 320
a_total{type="ping"} 5
# HELP b Measured.
# TYPE b gauge
b 98.5
# TYPE c_seconds histogram
c_seconds_bucket{path="/ws",le="0.1"} 11
c_seconds_bucket{path="/ws",le="1"} 13
c_seconds_bucket{path="/ws",le="+Inf"} 24
c_seconds_sum{path="/ws"} 106.5
c_seconds_count{path="/ws"} 24
# TYPE e untyped
e{odd="a \"b\"\\\n{},c=\"d\""} 3
# HELP hubbub_workers Worker processes that there should be.
# TYPE hubbub_workers gauge
hubbub_workers 2
# HELP hubbub_workers_silent Worker processes whose metrics are missing here.
# TYPE hubbub_workers_silent gauge
hubbub_workers_silent 0
`

// merge asks for the page of all workers. What is logged goes to log.
func merge(ctx context.Context, workers []*child, own prometheus.Gatherer, log *bytes.Buffer, query string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(ctx, "GET", "/metrics"+query, nil)
	metricsOf(workers, own, slog.New(slog.NewTextHandler(log, nil))).ServeHTTP(w, r)
	return w
}

func TestMetricsAreMerged(t *testing.T) {
	own := prometheus.NewRegistry()
	own.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "b", Help: "Measured."}, func() float64 { return 100 }))
	workers := []*child{fakeWorker(t, 0, answer(200, pageOfWorker0)), fakeWorker(t, 1, answer(200, pageOfWorker1))}
	var log bytes.Buffer
	for _, tt := range []struct{ query, want string }{{"", merged}, {"?sum", addedUp}, {"?sum=1", addedUp}, {"", merged}} {
		got := merge(t.Context(), workers, own, &log, tt.query)
		if got.Code != 200 || got.Body.String() != tt.want || !strings.HasPrefix(got.Header().Get("Content-Type"), "text/plain; version=0.0.4") {
			t.Errorf("%q: %d of type %q:\n%s\nwant:\n%s", tt.query, got.Code, got.Header().Get("Content-Type"), got.Body, tt.want)
		}
	}
	if log.Len() != 0 {
		t.Errorf("it says %s", &log)
	}
}

func TestMetricsOfSilentWorkers(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	release := make(chan struct{})
	defer close(release)
	starting := fakeWorker(t, 1, answer(200, pageOfWorker0))
	starting.ready.Store(nil)
	for _, tt := range []struct {
		name   string
		worker *child
	}{
		{"not ready", starting},
		{"gone", fakeWorker(t, 1, gone)},
		{"confused", fakeWorker(t, 1, answer(200, "a 1\n<html>\n"))},
		{"failing", fakeWorker(t, 1, answer(500, "a 1\n"))},
		{"cut off", fakeWorker(t, 1, func(w http.ResponseWriter, r *http.Request) {
			answer(200, pageOfWorker0[:len(pageOfWorker0)/2])(w, r)
			http.NewResponseController(w).Flush()
			gone(w, r)
		})},
		{"hanging", fakeWorker(t, 1, func(http.ResponseWriter, *http.Request) {
			cancel() // as the time limit would
			<-release
		})},
	} {
		workers := []*child{fakeWorker(t, 0, answer(200, "a 1\n")), tt.worker}
		if tt.name == "hanging" {
			workers = workers[1:] // the other may not be asked in time
		}
		var log bytes.Buffer
		got := merge(ctx, workers, prometheus.NewRegistry(), &log, "")
		fs := parseMetrics(t, got.Body.String())
		silent := fs["hubbub_workers_silent"].GetMetric()
		if got.Code != 200 || len(silent) != 1 || silent[0].GetGauge().GetValue() != 1 || strings.Contains(got.Body.String(), `worker="1"`) {
			t.Errorf("%s: %d:\n%s", tt.name, got.Code, got.Body)
		}
		if len(workers) == 2 && fs["a"] == nil {
			t.Errorf("%s: the other worker's metrics are missing:\n%s", tt.name, got.Body)
		}
		if !strings.Contains(log.String(), "worker=1") {
			t.Errorf("%s: it says %q", tt.name, &log)
		}
	}
}

func TestMetricsThatCannotBeHad(t *testing.T) {
	broken := prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return nil, errors.New("out of order") })
	var log bytes.Buffer
	if got := merge(t.Context(), nil, broken, &log, ""); got.Code != 500 || got.Body.String() != "out of order\n" {
		t.Errorf("%d %s", got.Code, got.Body)
	}
}
