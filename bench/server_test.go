package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
)

func TestMeasuredReadsTheGeneratorsKeys(t *testing.T) {
	const text = `{"conns_open": 90, "conns_failed": 7, "conns_lost": 3, "connect_per_s": 1000.5, "messages": 20, "delivered": 1800, "missing": 1,
		"duplicate": 2, "reordered": 4, "corrupt": 8, "deliveries_per_s": 777.5, "latency_ms": {"p50": 1.5, "p99": 2.5, "max": 99}, "fanout_ms": {"p50_mean": 10, "p99_mean": 20, "last_mean": 30, "last_min": 1, "last_max": 99},
		"server": {"rss_bytes": 5000, "rss_bytes_before": 500, "cpu_s": 9, "cpu_run_s": 1.5, "cpu_run_split": {"user_s": 0.5, "system_s": 1}},
		"generator": {"cpu_s": 8, "cpu_run_s": 2.5, "saturated": false}, "machine": {"saturated": true}}`
	var load loadReport
	if err := json.Unmarshal([]byte(text), &load); err != nil {
		t.Fatal(err)
	}
	want := Measured{ConnectPerS: 1000.5, DeliveriesPerS: 777.5, LatencyP50MS: 1.5, LatencyP99MS: 2.5, LastMS: 30, P50MS: 10, P99MS: 20, RSSBytes: 5000, BytesPerIdle: 50, ServerCPUS: 1.5, ServerUserS: 0.5, ServerSystemS: 1, GeneratorCPUS: 2.5,
		Messages: 20, Deliveries: 1800, Saturated: saturatedMachine, Missing: 1, Duplicate: 2, Reordered: 4, Corrupt: 8, ConnsFailed: 10}
	if got := measured(load); got != want {
		t.Errorf("measured = %+v\nwant       %+v", got, want)
	}
	load.Generator.Saturated = true
	if got := measured(load).Saturated; got != saturatedGenerator {
		t.Errorf("with both saturated it is %q that is said to be, want %q", got, saturatedGenerator)
	}
}

// admin is a server's admin page with two processes, of which the first has a goroutine for each
// connection, and now and then one more that serves a request.
type admin struct {
	connections atomic.Int64
	looks       atomic.Int64
	asked       chan struct{} // for each time that somebody asked for the connections
}

func (a *admin) serve(t *testing.T) (url string) {
	a.asked = make(chan struct{}, 100)
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"status": "ok", "connections": %d}`, a.connections.Load())
		a.asked <- struct{}{}
	})
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) {
		passing := 1
		if a.looks.Add(1)%3 == 2 { // in the second look of three there is none
			passing = 0
		}
		fmt.Fprintf(w, "# TYPE go_goroutines gauge\ngo_goroutines{worker=\"0\"} %d\ngo_goroutines{worker=\"1\"} 5\n",
			int(a.connections.Load())+10+passing)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

func TestGoroutineCount(t *testing.T) {
	var server admin
	count, err := countGoroutines(context.Background(), server.serve(t), 7)
	if err != nil {
		t.Fatal(err)
	}
	if count.before != 15 {
		t.Errorf("goroutines before = %d, want the 15 of both processes", count.before)
	}
	server.connections.Store(7)
	if with := <-count.with; with != 22 {
		t.Errorf("goroutines with connections = %d, want 22", with)
	}
}

func TestGoroutineCountWithoutAllConnections(t *testing.T) {
	var server admin
	server.connections.Store(6)
	count, err := countGoroutines(context.Background(), server.serve(t), 7)
	if err != nil {
		t.Fatal(err)
	}
	<-server.asked
	<-server.asked // so the first look was not enough to count
	if growth := count.growth(); growth != nil {
		t.Errorf("growth = %d with a connection missing, want none", *growth)
	}
}

func TestSumMetricWithoutTheMetric(t *testing.T) {
	if got, err := sumMetric("# TYPE other gauge\nother 1\n", "go_goroutines"); err == nil {
		t.Errorf("sumMetric = %v, want an error", got)
	}
}
