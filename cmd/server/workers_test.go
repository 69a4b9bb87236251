package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

const (
	workers   = 3
	perWorker = 10
)

// startWorkers starts a supervised server.
func startWorkers(t *testing.T, args ...string) *process {
	t.Helper()
	p := start(t, append([]string{"-workers", fmt.Sprint(workers), "-max-conns", fmt.Sprint(workers * perWorker), "-loops", "1"}, args...)...)
	if got := slices.Sorted(maps.Keys(p.workers())); !slices.Equal(got, []int{0, 1, 2}) {
		t.Fatalf("workers %v, want 0, 1 and 2", got)
	}
	return p
}

// dialAllWorkers connects so many clients that every worker has some of them:
// any two have no room for all.
func (p *process) dialAllWorkers() []*client {
	p.t.Helper()
	const n = (workers-1)*perWorker + 4
	clients := dialMany(p.t, n, p.addr, "/ws")
	conns := p.connections()
	sum := 0.0
	for _, v := range conns {
		sum += v
	}
	if len(conns) != workers || slices.Contains(slices.Collect(maps.Values(conns)), 0) || sum != n {
		p.t.Fatalf("connections by worker: %v, want %d in all, some on each of %d", conns, n, workers)
	}
	return clients
}

func TestWorkersRelayToEachOther(t *testing.T) {
	p := startWorkers(t)
	clients := p.dialAllWorkers()
	const each = 5
	for i := range each {
		for j, c := range clients {
			c.send(fmt.Sprintf("%d/%d", j, i))
		}
	}
	for k, c := range clients {
		next := make([]int, len(clients))
		for range each * len(clients) {
			text := c.read()
			var j, i int
			if _, err := fmt.Sscanf(text, "%d/%d", &j, &i); err != nil || j < 0 || j >= len(clients) {
				t.Fatalf("client %d received %q", k, text)
			}
			if i != next[j] {
				t.Fatalf("client %d received message %d of client %d, want %d", k, i, j, next[j])
			}
			next[j]++
		}
	}
	clients[0].send("nothing is between")
	for _, c := range clients {
		c.expect("nothing is between")
	}
	expectSubscribers(t, at(t, p.addr), "", len(clients))
	expectSubscribers(t, at(t, p.addr), "elsewhere", 0)
	expectGet(t, p.addr, "/healthz", "ok\n")
	expectEveryPage(t, p, len(clients))
}

// expectEveryPage looks at all that a supervisor serves for operators.
func expectEveryPage(t *testing.T, p *process, conns int) {
	t.Helper()
	if status, h := p.health("/healthz"); status != 200 || h.Status != "ok" || h.Workers != workers || h.Ready != workers || h.Connections < conns {
		t.Errorf("/healthz: %d %+v", status, h)
	}
	all := p.scrapePage("")
	for name, f := range all {
		for _, m := range f.Metric {
			worker, ok := labelled(m, workerLabel)
			if own := strings.HasPrefix(name, "hubbub_workers"); ok == own {
				t.Errorf("%s has worker=%q", name, worker)
			}
		}
	}
	if n := all["hubbub_workers"].GetMetric(); len(n) != 1 || n[0].GetGauge().GetValue() != workers {
		t.Errorf("hubbub_workers: %v", n)
	}
	if n := all["hubbub_workers_silent"].GetMetric(); len(n) != 1 || n[0].GetGauge().GetValue() != 0 {
		t.Errorf("hubbub_workers_silent: %v", n)
	}
	goroutines := all.byWorker("go_goroutines", "", "")
	if got := slices.Sorted(maps.Keys(goroutines)); !slices.Equal(got, []string{"0", "1", "2", "supervisor"}) {
		t.Errorf("go_goroutines of %v, want those of three workers and the supervisor", got)
	}
	sum := p.scrapePage("?sum")
	for name, f := range sum {
		for _, m := range f.Metric {
			if worker, ok := labelled(m, workerLabel); ok {
				t.Errorf("%s?sum has worker=%q", name, worker)
			}
		}
	}
	if got := sum.byWorker("hubbub_connections", "path", "/ws")[""]; int(got) != conns {
		t.Errorf("?sum has %v connections, want %d", got, conns)
	}
	if got := sum["hubbub_batch_frames"].GetMetric(); len(got) != 1 || got[0].GetHistogram().GetSampleCount() == 0 {
		t.Errorf("?sum has hubbub_batch_frames %v", got)
	}
	for i := range workers {
		prefix := fmt.Sprint("/workers/", i)
		if status, h := p.health(prefix + "/healthz"); status != 200 || h.Status != "ok" || h.Workers != 1 || h.Ready != 1 || h.Connections < p.held(i) {
			t.Errorf("%s/healthz: %d %+v", prefix, status, h)
		}
		if status, page := get(t, p.admin, prefix+"/metrics"); status != 200 || !strings.Contains(page, "hubbub_bus_lost_total 0\n") {
			t.Errorf("%s/metrics: %d %s", prefix, status, page)
		}
		if status, page := get(t, p.admin, prefix+"/debug/pprof/goroutine?debug=1"); status != 200 || !strings.Contains(page, "runWorker") {
			t.Errorf("%s/debug/pprof/goroutine: %d %.80q", prefix, status, page)
		}
	}
	if status, page := get(t, p.admin, "/debug/pprof/goroutine?debug=1"); status != 200 || !strings.Contains(page, "runSupervisor") {
		t.Errorf("/debug/pprof/goroutine: %d %.80q", status, page)
	}
	if status, _ := get(t, p.admin, "/workers/3/healthz"); status != 404 {
		t.Errorf("a worker that there isn't: %d, want 404", status)
	}
}

// health asks how the server is, or a worker of it.
func (p *process) health(path string) (status int, h health) {
	p.t.Helper()
	status, body := get(p.t, p.admin, path)
	if err := json.Unmarshal([]byte(body), &h); err != nil {
		p.t.Fatalf("%s: %d %q: %v", path, status, body, err)
	}
	return status, h
}

// held returns the number of connections that a worker holds at /ws.
func (p *process) held(worker int) int { return int(p.connections()[fmt.Sprint(worker)]) }

// TestConnectionsBeyondTheLimitWait: a worker holds what it has room for, no
// more; as long as there is room in one of them, nobody waits.
func TestConnectionsBeyondTheLimitWait(t *testing.T) {
	for _, loops := range []int{1, 4} {
		t.Run(fmt.Sprint(loops, " loops"), func(t *testing.T) { testConnectionsBeyondTheLimitWait(t, loops) })
	}
}

func testConnectionsBeyondTheLimitWait(t *testing.T, loops int) {
	const all = workers * 2
	p := start(t, "-workers", fmt.Sprint(workers), "-max-conns", fmt.Sprint(all), "-loops", fmt.Sprint(loops))
	clients := dialMany(t, all, p.addr, "/ws")
	if conns := p.connections(); !maps.Equal(conns, map[string]float64{"0": 2, "1": 2, "2": 2}) {
		t.Fatalf("connections by worker: %v, want two on each", conns)
	}
	type dialled struct {
		c   *client
		err error
	}
	const waiting = 3
	late := make(chan dialled, waiting)
	for range waiting {
		go func() {
			c, err := tryDial(t, p.addr, "/ws")
			late <- dialled{c, err}
		}()
	}
	for i, c := range clients { // who is in isn't held up
		c.send(fmt.Sprint(i))
		for _, other := range clients {
			other.expect(fmt.Sprint(i))
		}
	}
	if conns := p.connections(); !maps.Equal(conns, map[string]float64{"0": 2, "1": 2, "2": 2}) {
		t.Fatalf("connections by worker: %v, want two on each still", conns)
	}
	select {
	case d := <-late:
		t.Fatalf("there was no room, and yet dialling ended: %v", d.err)
	default:
	}
	for i := range waiting {
		clients[i].conn.Close()
		d := <-late
		if d.err != nil {
			t.Fatalf("after there was room again: %v", d.err)
		}
		clients[i] = d.c
	}
	clients[0].send("all here")
	for _, c := range clients {
		c.expect("all here")
	}
}
