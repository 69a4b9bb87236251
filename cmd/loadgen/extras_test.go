package main

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gobwas/ws"

	"hubbub/cmd/loadgen/internal/plan"
	"hubbub/cmd/loadgen/internal/relay"
)

// Stalled readers are in no account but their own, and it's the server's right
// to end them.
func TestSlow(t *testing.T) {
	// Each connection has an address of its own.
	stalls := func(c net.Conn) bool {
		p := &plan.Plan{Mode: plan.Fanout, Conns: subscribers, Topics: 2, Publishers: 2, Slow: 0.2}
		return p.Stalled(int(netip.MustParseAddrPort(c.RemoteAddr().String()).Addr().As4()[3]) - 2)
	}
	var ended atomic.Int32
	url := (&relay.Relay{Before: func(m int, subscribers []net.Conn) {
		for _, c := range subscribers {
			if m == 3 && stalls(c) && ended.Add(1) <= 2 {
				c.Close()
			}
		}
	}}).Start(t)
	code, r, said := loadgen(t, fan(url, "-slow", "0.2", "-topics", "2", "-publishers", "2", "-processes", "2",
		"-source-ips", fmt.Sprintf("127.0.0.2-%d", subscribers+1))...)
	if r == nil || code != exitOK {
		t.Fatalf("exit code %d, want 0:\n%s", code, said)
	}
	if r.ConnsOpen != subscribers || r.ConnsLost != 0 || r.Stalled != 40 || r.StalledEnded != 2 || r.Expected != 800 || r.Delivered != 800 {
		t.Errorf("open %d, lost %d, stalled %d, ended %d, expected %d, delivered %d; want %d, 0, 40, 2, 800, 800",
			r.ConnsOpen, r.ConnsLost, r.Stalled, r.StalledEnded, r.Expected, r.Delivered, subscribers)
	}
	if !strings.Contains(said, "40 stopped reading, 2 of them ended by the server") {
		t.Errorf("the report doesn't say so:\n%s", said)
	}
}

func TestChurn(t *testing.T) {
	for _, mode := range []string{"fanout", "idle"} {
		var opened atomic.Int32
		server := &relay.Relay{Opened: func(int, net.Conn) { opened.Add(1) }}
		args := []string{"-url", server.Start(t), "-mode", mode, "-conns", "50", "-churn", "100", "-duration", "310ms", "-processes", "3"}
		if mode == "fanout" {
			args = append(args, "-rate", "50", "-topics", "2")
		}
		code, r, said := loadgen(t, args...)
		if r == nil || code != exitOK || r.Churn == nil {
			t.Fatalf("%s: exit code %d, want 0:\n%s", mode, code, said)
		}
		server.Stop() // so that it has seen all
		if c := r.Churn; c.Requested != 31 || c.Opened != 31 || c.Failed != 0 || c.Handshake == nil || r.ConnsOpen != 50 || opened.Load() != 81 {
			t.Errorf("%s: %+v, %d open, %d seen by the server; want 31, 50, 81:\n%s", mode, c, r.ConnsOpen, opened.Load(), said)
		}
		if r.Expected != r.Delivered || mode == "fanout" && r.Messages != 15 {
			t.Errorf("%s: messages %d, expected %d, delivered %d", mode, r.Messages, r.Expected, r.Delivered)
		}
	}
}

func TestChurnRefused(t *testing.T) {
	url := (&relay.Relay{Refuse: func(n int) error {
		if n >= 50 {
			return ws.RejectConnectionError(ws.RejectionStatus(503))
		}
		return nil
	}}).Start(t)
	code, r, said := loadgen(t, "-url", url, "-mode", "idle", "-conns", "50", "-churn", "100", "-duration", "310ms", "-processes", "2")
	if r == nil || code != exitFailed || r.Churn == nil {
		t.Fatalf("exit code %d, want 1:\n%s", code, said)
	}
	if c := r.Churn; c.Requested != 31 || c.Opened != 0 || c.Failed != 31 || r.ConnsOpen != 50 || r.ConnsFailed != 0 {
		t.Errorf("%+v, %d open, %d failed; want 31 failed, 50, 0:\n%s", c, r.ConnsOpen, r.ConnsFailed, said)
	}
	if !strings.Contains(said, `31 × churn: the server answered "HTTP/1.1 503 Service Unavailable"`) {
		t.Errorf("the report doesn't say why:\n%s", said)
	}
}

// Both go through TLS, and with the real server, as everything else does.
func TestSecureExtras(t *testing.T) {
	url, ca := startSecure(t, 0)
	code, r, said := loadgen(t, fan(url+"/ws", "-tls-ca", ca, "-slow", "0.25", "-churn", "100", "-processes", "2")...)
	if r == nil || code != exitOK || r.Churn == nil {
		t.Fatalf("exit code %d, want 0:\n%s", code, said)
	}
	if r.Stalled != 50 || r.StalledEnded != 0 || r.Delivered != 10*(subscribers-50) || r.Churn.Opened != 20 {
		t.Errorf("stalled %d, ended %d, delivered %d, churned %d:\n%s", r.Stalled, r.StalledEnded, r.Delivered, r.Churn.Opened, said)
	}
}

func TestRoomsTalk(t *testing.T) {
	url := (&relay.Relay{}).Start(t)
	code, r, said := loadgen(t, "-url", url, "-rooms", "6", "-members", "5", "-window", "1", "-duration", "1s", "-processes", "2")
	if r == nil || code != exitOK {
		t.Fatalf("exit code %d, want 0:\n%s", code, said)
	}
	if r.ConnsOpen != 30 || r.Messages < 30 || r.Delivered != 5*r.Messages {
		t.Errorf("open %d, messages %d, delivered %d:\n%s", r.ConnsOpen, r.Messages, r.Delivered, said)
	}
	code, r, said = loadgen(t, "-url", url, "-rooms", "6", "-members", "5", "-rate", "60", "-duration", "500ms")
	if r == nil || code != exitOK {
		t.Fatalf("at a rate: exit code %d, want 0:\n%s", code, said)
	}
	if r.Messages != 30 || r.Delivered != 150 || r.Conditions.Senders != 30 {
		t.Errorf("at a rate: messages %d, delivered %d, senders %d; want 30, 150, 30", r.Messages, r.Delivered, r.Conditions.Senders)
	}
}
