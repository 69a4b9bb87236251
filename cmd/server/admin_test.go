package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// fakeWorker is a worker, as its supervisor sees it, that answers with handler.
func fakeWorker(t *testing.T, index int, handler http.HandlerFunc) *child {
	t.Helper()
	srv := httptest.NewServer(handler)
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", srv.Listener.Addr().String())
	}}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		srv.Close()
	})
	c := &child{index: index, client: &http.Client{Transport: transport}}
	c.ready.Store(new(string))
	return c
}

func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// gone breaks the connection instead of an answer.
func gone(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

const well = `{"status":"ok","workers":1,"ready":1,"connections":7}`

func TestHealthOfWorkers(t *testing.T) {
	starting := func(t *testing.T, i int) *child {
		c := fakeWorker(t, i, func(http.ResponseWriter, *http.Request) { t.Error("a worker was asked that isn't ready") })
		c.ready.Store(nil)
		return c
	}
	with := func(h http.HandlerFunc) func(*testing.T, int) *child {
		return func(t *testing.T, i int) *child { return fakeWorker(t, i, h) }
	}
	for _, tt := range []struct {
		name string
		last func(t *testing.T, i int) *child // the third worker; the others are well
		want health
	}{
		{"well", with(answer(200, well)), health{"ok", 3, 3, 21}},
		{"not ready", starting, health{"1 of 3 workers are not ready", 3, 2, 14}},
		{"ill", with(answer(503, `{"status":"bus","workers":1,"ready":0,"connections":5}`)), health{"1 of 3 workers are not ready", 3, 2, 19}},
		{"gone", with(gone), health{"1 of 3 workers are not ready", 3, 2, 14}},
		{"cut off", with(answer(200, well[:len(well)-1])), health{"1 of 3 workers are not ready", 3, 2, 14}},
		{"confused", with(answer(404, "404 page not found\n")), health{"1 of 3 workers are not ready", 3, 2, 14}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &supervisor{workers: []*child{
				fakeWorker(t, 0, answer(200, well)), fakeWorker(t, 1, answer(200, well)), tt.last(t, 2),
			}}
			if got := s.health(); got != tt.want {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
	}
}

// TestWorkerThatAnswersIsUp: even if it isn't well at that moment, for nobody
// asks it again whether it is up.
func TestWorkerThatAnswersIsUp(t *testing.T) {
	never := make(chan struct{})
	for status := range map[int]bool{200: true, 503: true} {
		if !fakeWorker(t, 0, answer(status, well)).answers(t.Context(), never) {
			t.Errorf("a worker that answers %d isn't up", status)
		}
	}
	if fakeWorker(t, 0, gone).answers(t.Context(), never) {
		t.Error("a worker that breaks the connection is up")
	}
	over, asked, release := make(chan struct{}), make(chan struct{}), make(chan struct{})
	silent := fakeWorker(t, 0, func(http.ResponseWriter, *http.Request) {
		close(asked)
		<-release
	})
	defer close(release)
	go func() {
		<-asked
		close(over)
	}()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if silent.answers(ctx, over) || ctx.Err() != nil {
		t.Error("a worker that has ended is up, or waited for")
	}
}

func TestAdminPages(t *testing.T) {
	h := health{Status: healthOK, Workers: 2, Ready: 2, Connections: 3}
	mux := adminMux(answer(200, "the metrics"), func() health { return h })
	ask := func(method, path string) (int, string, http.Header) {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(method, path, nil))
		return w.Code, w.Body.String(), w.Header()
	}
	if status, body, _ := ask("GET", "/metrics"); status != 200 || body != "the metrics" {
		t.Errorf("/metrics: %d %q", status, body)
	}
	status, body, header := ask("GET", "/healthz")
	if want := `{"status":"ok","workers":2,"ready":2,"connections":3}` + "\n"; status != 200 || body != want || header.Get("Content-Type") != "application/json" {
		t.Errorf("/healthz: %d %q of type %q, want 200 %q", status, body, header.Get("Content-Type"), want)
	}
	h = health{Status: "one is missing", Workers: 2, Ready: 1}
	if status, body, _ := ask("GET", "/healthz"); status != 503 || !strings.Contains(body, "one is missing") {
		t.Errorf("/healthz while one is missing: %d %q", status, body)
	}
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/symbol", "/debug/pprof/heap"} {
		if status, _, _ := ask("GET", path); status != 200 {
			t.Errorf("%s: %d", path, status)
		}
	}
	for _, path := range []string{"/metrics", "/healthz"} {
		if status, _, _ := ask("POST", path); status != 405 {
			t.Errorf("POST %s: %d, want 405", path, status)
		}
	}
	if status, _, _ := ask("GET", "/"); status != 404 {
		t.Errorf("/: %d, want 404", status)
	}
}

// TestAdminThatBreaksIsLogged: the rest of the server goes on.
func TestAdminThatBreaksIsLogged(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	log := make(lines, 1)
	stop := serveAdmin(ln, http.NotFoundHandler(), slog.New(slog.NewTextHandler(log, nil)))
	defer stop()
	select {
	case line := <-log:
		if !strings.Contains(line, "the admin address is no longer served") {
			t.Errorf("it says %q", line)
		}
	case <-time.After(patience):
		t.Error("it says nothing")
	}
}

// lines passes on what a logger writes.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

func TestRegistryHasTheProcessItself(t *testing.T) {
	reg := newRegistry(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "more"}, func() float64 { return 1 }))
	got, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	missing := map[string]bool{"more": true, "go_goroutines": true, "process_open_fds": true, "process_resident_memory_bytes": true}
	for _, f := range got {
		delete(missing, f.GetName())
	}
	if len(missing) != 0 {
		t.Errorf("%v are missing", missing)
	}
}
