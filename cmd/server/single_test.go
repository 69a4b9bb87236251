package main

import (
	"strings"
	"testing"
)

func TestSingleServesEverything(t *testing.T) {
	p := start(t, "-max-conns", "100")
	if r := p.logged("starting"); len(r) != 1 || !strings.HasPrefix(r[0]["processes"].(string), "one process") {
		t.Errorf("it says %v, want that it is one process", r)
	}
	if left := p.group(); len(left) != 1 {
		t.Errorf("processes %v, want one", left)
	}
	members := dialMany(t, 3, p.addr, "/ws")
	stranger := dial(t, p.addr, "/ws?topic=elsewhere")
	echo := dial(t, p.addr, "/echo")

	members[0].send("hello")
	for _, m := range members {
		m.expect("hello")
	}
	echo.send("echo")
	echo.expect("echo")
	stranger.send("alone")
	stranger.expect("alone")

	expectGet(t, p.addr, "/healthz", "ok\n")
	expectGet(t, p.addr, "/subscribers", `{"subscribers":3}`+"\n")
	expectGet(t, p.addr, "/subscribers?topic=elsewhere", `{"subscribers":1}`+"\n")
	if status, page := get(t, p.addr, "/"); status != 200 || !strings.Contains(page, "<!doctype html>") {
		t.Errorf("/: %d and %.40q, want the page", status, page)
	}
	if status, _ := get(t, p.addr, "/metrics"); status != 404 {
		t.Errorf("/metrics on the public port: %d, want 404", status)
	}

	// The connections of the questions above may not be gone yet.
	eventually(t, "/healthz to count the connections", func() bool {
		status, h := p.health("/healthz")
		return status == 200 && h == health{"ok", 1, 1, 5}
	})
	if _, page := get(t, p.admin, "/metrics"); !strings.Contains(page, "\nhubbub_connections{path=\"/ws\"} 4\n") ||
		!strings.Contains(page, "\ngo_goroutines ") || strings.Contains(page, `worker="`) {
		t.Errorf("/metrics: %s", page)
	}
	if status, page := get(t, p.admin, "/debug/pprof/"); status != 200 || !strings.Contains(page, "goroutine") {
		t.Errorf("/debug/pprof/: %d %.80q", status, page)
	}
	if status, page := get(t, p.admin, "/debug/pprof/cmdline"); status != 200 || !strings.Contains(page, "-max-conns") {
		t.Errorf("/debug/pprof/cmdline: %d %.80q", status, page)
	}
}

func TestAdminCanBeTurnedOff(t *testing.T) {
	p := start(t, "-max-conns", "100", "-admin", "")
	if p.admin != "" {
		t.Errorf("it serves operators on %s", p.admin)
	}
	expectGet(t, p.addr, "/healthz", "ok\n")
}
