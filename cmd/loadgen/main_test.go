package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"hubbub/cmd/loadgen/internal/plan"
	"hubbub/cmd/loadgen/internal/relay"
	"hubbub/cmd/loadgen/internal/report"
)

// TestMain lets the test binary be its own worker processes, and the program.
func TestMain(m *testing.M) {
	switch os.Getenv(roleEnv) {
	case roleWorker:
		os.Exit(work())
	case roleParent:
		os.Exit(run(os.Args, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// roleParent has the test binary be the program itself.
const roleParent = "parent"

// loadgen runs the program and returns its exit code, its report (nil if there
// is none) and what it said.
func loadgen(t *testing.T, args ...string) (int, *report.Report, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "report.json")
	var out bytes.Buffer
	code := run(append([]string{"loadgen", "-json", file, "-settle", "50ms"}, args...), &out, &out)
	text, err := os.ReadFile(file)
	if err != nil {
		return code, nil, out.String()
	}
	rep := &report.Report{}
	if err := json.Unmarshal(text, rep); err != nil {
		t.Fatal(err)
	}
	return code, rep, out.String()
}

const subscribers = 200

// fan are the arguments of ten messages to 200 subscribers.
func fan(url string, more ...string) []string {
	return append([]string{"-url", url, "-conns", fmt.Sprint(subscribers), "-rate", "50", "-duration", "200ms"}, more...)
}

func TestFanoutArrivesWhole(t *testing.T) {
	for _, tt := range []struct {
		name     string
		args     []string
		messages int64
		expected int64
	}{
		{"one process", nil, 10, 10 * subscribers},
		{"three processes", []string{"-processes", "3"}, 10, 10 * subscribers},
		{"publishers", []string{"-publishers", "7", "-processes", "2"}, 10, 10 * subscribers},
		// Topics 0 to 2 have 67, 67 and 66 members; messages go to them in turn.
		{"topics", []string{"-topics", "3", "-publishers", "3"}, 10, 4*67 + 3*67 + 3*66},
		{"big messages", []string{"-size", "70000"}, 10, 10 * subscribers},
		{"ramp", []string{"-ramp", "2000"}, 10, 10 * subscribers},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url := (&relay.Relay{}).Start(t)
			code, r, said := loadgen(t, fan(url, tt.args...)...)
			if r == nil || code != exitOK {
				t.Fatalf("exit code %d, want 0:\n%s", code, said)
			}
			if r.ConnsOpen != subscribers || r.Messages != tt.messages || r.Expected != tt.expected || r.Delivered != tt.expected {
				t.Errorf("open %d, messages %d, expected %d, delivered %d; want %d, %d, %d, %[7]d:\n%s",
					r.ConnsOpen, r.Messages, r.Expected, r.Delivered, subscribers, tt.messages, tt.expected, said)
			}
			if len(r.Timeline) != int(tt.messages) || r.Fanout == nil || r.Latency == nil || r.Handshake == nil {
				t.Errorf("incomplete report:\n%s", said)
			}
		})
	}
}

func TestFaultsAreCounted(t *testing.T) {
	for _, protocol := range []plan.Protocol{plan.Plain, plan.Rooms} {
		t.Run(string(protocol), func(t *testing.T) { countFaults(t, protocol) })
	}
}

func countFaults(t *testing.T, protocol plan.Protocol) {
	// The fault befalls the fifth message on its way to one subscriber.
	const message, victim = 4, 100
	same := func(p []byte) [][]byte { return [][]byte{p} }
	var held []byte
	for _, tt := range []struct {
		name                                   string
		fault                                  func(m int, p []byte) [][]byte
		missing, duplicate, reordered, corrupt int64
	}{
		{name: "lost", missing: 1, fault: func(m int, p []byte) [][]byte {
			if m == message {
				return nil
			}
			return same(p)
		}},
		{name: "doubled", duplicate: 1, fault: func(m int, p []byte) [][]byte {
			if m == message {
				return [][]byte{p, p}
			}
			return same(p)
		}},
		{name: "swapped", reordered: 1, fault: func(m int, p []byte) [][]byte {
			switch m {
			case message:
				held = slices.Clone(p)
				return nil
			case message + 1:
				return [][]byte{p, held}
			}
			return same(p)
		}},
		{name: "corrupt", corrupt: 1, missing: 1, fault: func(m int, p []byte) [][]byte {
			if m == message {
				p = slices.Clone(p)
				p[len(p)-2] ^= 1
			}
			return same(p)
		}},
		{name: "cut off", corrupt: 1, missing: 1, fault: func(m int, p []byte) [][]byte {
			if m == message {
				p = slices.Delete(slices.Clone(p), len(p)-2, len(p)-1)
			}
			return same(p)
		}},
		{name: "foreign", corrupt: 1, fault: func(m int, p []byte) [][]byte {
			if m == message {
				return [][]byte{[]byte(`"hello"`), p}
			}
			return same(p)
		}},
		{name: "last one lost", missing: 1, fault: func(m int, p []byte) [][]byte {
			if m == 9 {
				return nil
			}
			return same(p)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			url := (&relay.Relay{Rooms: protocol == plan.Rooms, Fault: func(m, subscriber int, p []byte) [][]byte {
				if subscriber != victim {
					return same(p)
				}
				return tt.fault(m, p)
			}}).Start(t)
			code, r, said := loadgen(t, fan(url, "-protocol", string(protocol), "-processes", "2", "-timeout", "3s")...)
			if r == nil || code != exitFailed {
				t.Fatalf("exit code %d, want 1:\n%s", code, said)
			}
			if r.Missing != tt.missing || r.Duplicate != tt.duplicate || r.Reordered != tt.reordered || r.Corrupt != tt.corrupt {
				t.Errorf("missing %d, duplicate %d, reordered %d, corrupt %d; want %d, %d, %d, %d:\n%s",
					r.Missing, r.Duplicate, r.Reordered, r.Corrupt, tt.missing, tt.duplicate, tt.reordered, tt.corrupt, said)
			}
			if want := int64(10*subscribers) - tt.missing; r.Delivered != want {
				t.Errorf("delivered %d, want %d", r.Delivered, want)
			}
		})
	}
}

func TestRefusedHandshake(t *testing.T) {
	url := (&relay.Relay{Refuse: func(n int) error {
		if n == 20 {
			return ws.RejectConnectionError(ws.RejectionStatus(403))
		}
		return nil
	}}).Start(t)
	code, r, said := loadgen(t, fan(url)...)
	if r == nil || code != exitFailed {
		t.Fatalf("exit code %d, want 1:\n%s", code, said)
	}
	if r.ConnsFailed != 1 || r.ConnsOpen != subscribers-1 {
		t.Errorf("failed %d, open %d; want 1, %d:\n%s", r.ConnsFailed, r.ConnsOpen, subscribers-1, said)
	}
	if len(r.Failures) != 1 {
		t.Errorf("failures %v, want one reason", r.Failures)
	}
	for reason, n := range r.Failures {
		if n != 1 || !strings.Contains(reason, "403") {
			t.Errorf("%d × %q, want 1 with 403 in it", n, reason)
		}
	}
}

func TestReportThatCannotBeWritten(t *testing.T) {
	r := &relay.Relay{Opened: func(int, net.Conn) { t.Error("the run began") }}
	var out bytes.Buffer
	code := run([]string{"loadgen", "-url", r.Start(t), "-html", "/nowhere/report.html"}, &out, &out)
	if want := "loadgen: open /nowhere/report.html: no such file or directory\n"; code != exitUsage || out.String() != want {
		t.Errorf("exit code %d, %q; want 2, %q", code, out.String(), want)
	}
}

func TestReportsAreWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "report.html")
	code, _, said := loadgen(t, "-url", (&relay.Relay{}).Start(t), "-conns", "5", "-rate", "10", "-duration", "200ms", "-html", file)
	page, err := os.ReadFile(file)
	if code != exitOK || err != nil || !bytes.Contains(page, []byte("Fan-out to 5 WebSocket connections")) {
		t.Errorf("exit code %d, %v, page of %d bytes:\n%s", code, err, len(page), said)
	}
}

func TestNoServer(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	code, r, said := loadgen(t, fan("ws://"+addr+"/ws")...)
	if code != exitUsage || r != nil {
		t.Errorf("exit code %d, report %v; want 2 and none", code, r)
	}
	if want := "loadgen: no server at " + addr + ": start one with `make run` or `bin/server`, or name another with -url\n"; said != want {
		t.Errorf("said %q, want %q", said, want)
	}
}

func TestEcho(t *testing.T) {
	for _, window := range []string{"1", "8"} {
		url := (&relay.Relay{Echo: true}).Start(t)
		code, r, said := loadgen(t, "-url", url, "-mode", "echo", "-conns", "50", "-window", window, "-duration", "1s", "-processes", "2")
		if r == nil || code != exitOK {
			t.Fatalf("window %s: exit code %d, want 0:\n%s", window, code, said)
		}
		if r.Messages < 50 || r.Delivered != r.Messages || r.Fanout != nil || r.DeliveriesPerS == 0 {
			t.Errorf("window %s: messages %d, delivered %d:\n%s", window, r.Messages, r.Delivered, said)
		}
	}
}

func TestClosedLoopFanout(t *testing.T) {
	url := (&relay.Relay{}).Start(t)
	code, r, said := loadgen(t, "-url", url, "-conns", "50", "-window", "4", "-duration", "1s", "-publishers", "2", "-processes", "2")
	if r == nil || code != exitOK {
		t.Fatalf("exit code %d, want 0:\n%s", code, said)
	}
	if r.Messages < 8 || r.Delivered != 50*r.Messages {
		t.Errorf("messages %d, delivered %d:\n%s", r.Messages, r.Delivered, said)
	}
}

func TestIdle(t *testing.T) {
	url := (&relay.Relay{}).Start(t)
	code, r, said := loadgen(t, "-url", url, "-mode", "idle", "-conns", "50", "-duration", "100ms")
	if r == nil || code != exitOK || r.ConnsOpen != 50 || r.Messages != 0 || r.Latency != nil {
		t.Errorf("exit code %d, report %+v:\n%s", code, r, said)
	}
}
