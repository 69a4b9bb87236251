package main

import (
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"hubbub/cmd/loadgen/internal/relay"
	"hubbub/cmd/loadgen/internal/report"
)

// storm runs a storm with a server that dies when all connections are open.
// next, if there is one, takes its place.
func storm(t *testing.T, next *relay.Relay, args ...string) (int, *report.Report, string) {
	t.Helper()
	var dying sync.WaitGroup
	first := &relay.Relay{}
	open := 0
	var addr string
	first.Opened = func(int, net.Conn) {
		if open++; open != subscribers {
			return
		}
		dying.Go(func() {
			first.Stop()
			if next == nil {
				return
			}
			ln, err := net.Listen("tcp", addr)
			if err != nil {
				t.Error(err)
				return
			}
			next.Serve(ln)
		})
	}
	url := first.Start(t)
	addr = strings.TrimSuffix(strings.TrimPrefix(url, "ws://"), "/ws")
	code, r, said := loadgen(t, append([]string{"-url", url, "-mode", "storm", "-conns", fmt.Sprint(subscribers), "-processes", "2", "-duration", "1h", "-timeout", "1h"}, args...)...)
	dying.Wait()
	if next != nil {
		next.Stop()
	}
	if r == nil || r.Storm == nil {
		t.Fatalf("exit code %d, and no account of a storm:\n%s", code, said)
	}
	return code, r, said
}

func TestStormIsWeathered(t *testing.T) {
	began := time.Now()
	code, r, said := storm(t, &relay.Relay{Refuse: func(n int) error {
		if n < 10 {
			return ws.RejectConnectionError(ws.RejectionStatus(503))
		}
		return nil
	}})
	s := r.Storm
	if code != exitOK || s.Lost != subscribers || s.Back != subscribers || s.NotBack != 0 || r.ConnsLost != 0 || r.ConnsOpen != subscribers {
		t.Errorf("exit code %d, %+v; want 0, all %d back:\n%s", code, s, subscribers, said)
	}
	if s.FirstLoss.Before(began) || s.FirstLoss.After(time.Now()) {
		t.Errorf("the first loss was at %v, before the run, which began at %v, or after it", s.FirstLoss, began)
	}
	if r.Conditions.Sources != 2 { // of 250 ports each, for as many again in TIME_WAIT
		t.Errorf("%d source addresses, want 2", r.Conditions.Sources)
	}
	refused := 0
	for reason, n := range s.Refused {
		refused += n
		if strings.Contains(reason, "503") && n != 10 {
			t.Errorf("%d × %s, want 10", n, reason)
		}
	}
	if refused < 10 || s.Attempts != subscribers+refused {
		t.Errorf("%d attempts, %d of them refused, want the others to be %d: %v", s.Attempts, refused, subscribers, s.Refused)
	}
	if b := s.Times; b == nil || b.P50 > b.P99 || b.P99 > b.Last+0.01 || b.Last <= 0 {
		t.Errorf("back after %+v", b)
	}
	if !strings.Contains(said, "200 lost, 200 back, 0 not") {
		t.Errorf("the report doesn't say so:\n%s", said)
	}
}

func TestStormForGood(t *testing.T) {
	code, r, said := storm(t, nil, "-timeout", "300ms")
	s := r.Storm
	if code != exitFailed || s.Lost != subscribers || s.Back != 0 || s.NotBack != subscribers || s.Times != nil || r.ConnsLost != subscribers {
		t.Errorf("exit code %d, %+v; want 1, none of %d back:\n%s", code, s, subscribers, said)
	}
	if s.Refused["connect: connection refused"] == 0 {
		t.Errorf("refused %v, want some by nobody listening", s.Refused)
	}
}

// A few that are lost and come back are a storm, too.
func TestStormOfAFew(t *testing.T) {
	var conns []net.Conn
	url := (&relay.Relay{Opened: func(_ int, c net.Conn) {
		if conns = append(conns, c); len(conns) == subscribers {
			for _, c := range conns[50:55] {
				c.Close()
			}
		}
	}}).Start(t)
	code, r, said := loadgen(t, "-url", url, "-mode", "storm", "-conns", fmt.Sprint(subscribers), "-processes", "2", "-duration", "1h", "-timeout", "1h")
	if r == nil || r.Storm == nil {
		t.Fatalf("exit code %d, and no account of a storm:\n%s", code, said)
	}
	if s := r.Storm; code != exitOK || s.Lost != 5 || s.Back != 5 || s.Attempts != 5 {
		t.Errorf("exit code %d, %+v; want 0, five back:\n%s", code, s, said)
	}
}

func TestStormThatDoesNotCome(t *testing.T) {
	code, r, said := loadgen(t, "-url", (&relay.Relay{}).Start(t), "-mode", "storm", "-conns", "20", "-duration", "100ms")
	if r == nil || r.Storm == nil {
		t.Fatalf("exit code %d, and no account of a storm:\n%s", code, said)
	}
	if code != exitFailed || r.Storm.Lost != 0 || !r.Storm.FirstLoss.IsZero() || r.ConnsOpen != 20 {
		t.Errorf("exit code %d, %+v, %d open; want 1, none lost ever, 20", code, r.Storm, r.ConnsOpen)
	}
	if !strings.Contains(said, "nothing happened: the server was to go away within -duration 100ms, and no connection was lost") {
		t.Errorf("the report doesn't say so:\n%s", said)
	}
}

func TestStormInterrupted(t *testing.T) {
	interrupt := sync.OnceFunc(func() { syscall.Kill(os.Getpid(), syscall.SIGINT) })
	code, r, said := storm(t, &relay.Relay{Refuse: func(n int) error {
		if n == 250 {
			interrupt()
		}
		return ws.RejectConnectionError(ws.RejectionStatus(503))
	}})
	if s := r.Storm; code != exitFailed || !r.Interrupted || s.Lost != subscribers || s.Back != 0 {
		t.Errorf("exit code %d, %+v; want 1 and what there is:\n%s", code, s, said)
	}
}

// Without its workers there is nothing left to wait for.
func TestStormWithoutWorkers(t *testing.T) {
	kill := sync.OnceFunc(func() {
		for _, pid := range workers(t, os.Getpid()) {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	code, r, said := storm(t, &relay.Relay{Refuse: func(n int) error {
		if n == 20 {
			kill()
		}
		return ws.RejectConnectionError(ws.RejectionStatus(503))
	}})
	if code != exitFailed || r.OK || !strings.Contains(said, "signal: killed") {
		t.Errorf("exit code %d, want 1 and why:\n%s", code, said)
	}
}
