package main

import (
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"hubbub/internal/bus"
)

// newRegistry returns a registry with the process's own metrics and more.
func newRegistry(more ...prometheus.Collector) *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	reg.MustRegister(more...)
	return reg
}

// busLost is a metric of what the bus couldn't deliver to this process.
func busLost(b *bus.NATS) prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "hubbub_bus_lost_total",
		Help: "Messages from the bus that this process was too slow to take.",
	}, func() float64 { return float64(b.Lost()) })
}

// health is the answer of /healthz: how many processes serve, of how many.
type health struct {
	Status      string `json:"status"` // "ok", or what is wrong
	Workers     int    `json:"workers"`
	Ready       int    `json:"ready"`
	Connections int    `json:"connections"`
}

const healthOK = "ok"

// adminMux serves what operators need. health is asked at every request.
func adminMux(metrics http.Handler, check func() health) *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		h := check()
		w.Header().Set("Content-Type", "application/json")
		if h.Status != healthOK {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_ = json.NewEncoder(w).Encode(h) // fails where the reader is gone
	})
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// serveAdmin serves handler on ln until the returned function is called.
func serveAdmin(ln net.Listener, handler http.Handler, log *slog.Logger) (stop func()) {
	srv := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := srv.Serve(ln); err != http.ErrServerClosed {
			log.Error("the admin address is no longer served", "error", err)
		}
	}()
	return func() {
		srv.Close()
		<-done
	}
}
