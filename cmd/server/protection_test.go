package main

import (
	"bytes"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// count returns a counter that all processes together have for a reason.
func (p *process) count(family, reason string) float64 {
	p.t.Helper()
	return p.scrapePage("?sum").byWorker(family, "reason", reason)[""]
}

const (
	refusals    = "hubbub_handshakes_refused_total"
	disconnects = "hubbub_disconnects_total"
)

// TestReasonsAreCounted: each has its series from the start, and one only.
func TestReasonsAreCounted(t *testing.T) {
	for _, form := range forms {
		t.Run(form.name, func(t *testing.T) {
			p := start(t, form.args...)
			all, sum := p.scrapePage(""), p.scrapePage("?sum")
			served := []string{""}
			if n := len(p.workers()); n > 0 {
				served = []string{"0", "1"}
			}
			for family, reasons := range map[string][]string{
				refusals:    {"crowded", "per_ip", "memory", "tls", "proxy_protocol"},
				disconnects: {"flood", "rate_limit", "memory"},
			} {
				for _, reason := range reasons {
					if got := slices.Sorted(maps.Keys(all.byWorker(family, "reason", reason))); !slices.Equal(got, served) {
						t.Errorf("%s has reason %s for processes %q, want %q", family, reason, got, served)
					}
					n := 0
					for _, m := range sum[family].GetMetric() {
						if v, _ := labelled(m, "reason"); v == reason {
							n++
						}
					}
					if n != 1 {
						t.Errorf("%s?sum has reason %s %d times, want once", family, reason, n)
					}
				}
			}
		})
	}
}

func TestRateLimits(t *testing.T) {
	for _, form := range forms {
		for _, tt := range []struct {
			name    string
			args    []string
			message string
		}{
			{"messages", []string{"-rate-limit", "1"}, "x"},
			{"bytes", []string{"-rate-limit-bytes", "1", "-max-message", "125"}, strings.Repeat("x", 125)},
		} {
			t.Run(form.name+"/"+tt.name, func(t *testing.T) {
				p := start(t, append(append(form.args, tt.args...), "-rate-burst", "1ms")...)
				c, other := dial(t, p.addr, "/echo"), dial(t, p.addr, "/echo")
				const n = 50
				var flood bytes.Buffer
				for range n {
					ws.WriteFrame(&flood, ws.MaskFrame(ws.NewTextFrame([]byte(tt.message))))
				}
				c.rw.Write(flood.Bytes())
				echoed := 0
				f, err := ws.ReadFrame(c.rw)
				for ; err == nil && f.Header.OpCode == ws.OpText; f, err = ws.ReadFrame(c.rw) {
					echoed++
				}
				if err != nil {
					t.Fatal(err)
				}
				if code, reason := ws.ParseCloseFrameData(f.Payload); code != ws.StatusPolicyViolation || reason != "rate limit exceeded" || echoed == 0 || echoed == n {
					t.Errorf("%d of %d came back, and then %v with %d %q", echoed, n, f.Header.OpCode, code, reason)
				}
				c.answerClose(ws.StatusPolicyViolation)
				eventually(t, "counting it", func() bool { return p.count(disconnects, "rate_limit") == 1 })
				other.send(tt.message)
				other.expect(tt.message)
			})
		}
	}
}

// TestConnsPerIP: each process has room for two of them.
func TestConnsPerIP(t *testing.T) {
	for _, form := range forms {
		t.Run(form.name, func(t *testing.T) {
			p := start(t, append(form.args, "-max-conns-per-ip", "2")...)
			room := 2 * max(1, len(p.workers()))
			var inside []*client
			for {
				c, err := tryDial(t, p.addr, "/ws")
				if err != nil {
					break // one process is full; another may not be
				}
				if inside = append(inside, c); len(inside) > room {
					t.Fatalf("%d connections, and there is room for %d", len(inside), room)
				}
			}
			if len(inside) < 2 {
				t.Errorf("%d connections, and there is room for two in a process", len(inside))
			}
			if n := p.count(refusals, "per_ip"); n != 1 {
				t.Errorf("%v are counted as refused, want 1", n)
			}
			expectRelay(inside)
			inside[0].conn.Close()
			inside[1].conn.Close()
			eventually(t, "having room again", func() bool {
				c, err := tryDial(t, p.addr, "/ws")
				if err == nil {
					c.conn.Close()
				}
				return err == nil
			})
		})
	}
}

// TestHandshakesMakeRoom: the oldest that says nothing goes when another comes. Who says something is in.
func TestHandshakesMakeRoom(t *testing.T) {
	p := start(t, "-max-conns", "100", "-loops", "1", "-max-handshakes", "1", "-handshake-timeout", "1h")
	silent := make([]net.Conn, 4)
	for i := range silent {
		conn, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		silent[i] = newClient(t, conn, nil).conn
	}
	for i, conn := range silent[:3] {
		if p, err := io.ReadAll(conn); err != nil || len(p) != 0 {
			t.Errorf("number %d: %q and %v, want the end of the stream", i, p, err)
		}
	}
	if n := p.count(refusals, "crowded"); n != 3 {
		t.Errorf("%v are counted as crowded out, want 3", n)
	}
	c := dial(t, p.addr, "/echo")
	c.send("in")
	c.expect("in")
}
