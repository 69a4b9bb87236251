package main

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"hubbub/cmd/loadgen/internal/relay"
)

// workers returns the worker processes of a parent, in the order in which they
// were started.
func workers(t *testing.T, parent int) (pids []int) {
	t.Helper()
	lists, err := filepath.Glob("/proc/" + strconv.Itoa(parent) + "/task/*/children")
	if err != nil || lists == nil {
		t.Fatalf("no list of children: %v", err)
	}
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			continue // a thread that has ended
		}
		for _, field := range strings.Fields(string(text)) {
			pid, err := strconv.Atoi(field)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	return pids
}

// A worker that is killed takes its connections with it, which is reported;
// the others finish.
func TestWorkerDies(t *testing.T) {
	url := (&relay.Relay{Before: func(m int, _ []net.Conn) {
		if m == 3 {
			pids := workers(t, os.Getpid())
			if len(pids) != 2 {
				t.Errorf("workers %v, want two", pids)
			}
			// The publisher sits on the first connection, and so in the first worker.
			syscall.Kill(max(pids[0], pids[1]), syscall.SIGKILL)
		}
	}}).Start(t)
	code, r, said := loadgen(t, fan(url, "-processes", "2", "-publishers", "1")...)
	if r == nil || code != exitFailed {
		t.Fatalf("exit code %d, want 1:\n%s", code, said)
	}
	if r.ConnsLost != subscribers/2 || r.Delivered != 10*subscribers/2 || r.OK {
		t.Errorf("lost %d, delivered %d; want %d, %d:\n%s", r.ConnsLost, r.Delivered, subscribers/2, 10*subscribers/2, said)
	}
	if !strings.Contains(said, "signal: killed") {
		t.Errorf("the report doesn't say why:\n%s", said)
	}
}

func TestInterrupt(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
	}{
		{"publishing", []string{"-rate", "50", "-duration", "1h"}},
		{"closed loop", []string{"-window", "2", "-duration", "1h"}},
		{"connecting", []string{"-ramp", "50", "-rate", "50"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			interrupt := sync.OnceFunc(func() { syscall.Kill(os.Getpid(), syscall.SIGINT) })
			r := &relay.Relay{}
			if tt.name == "connecting" {
				r.Opened = func(n int, _ net.Conn) {
					if n == 20 {
						interrupt()
					}
				}
			} else {
				r.Before = func(m int, _ []net.Conn) {
					if m == 5 {
						interrupt()
					}
				}
			}
			args := append([]string{"-url", r.Start(t), "-conns", "100", "-processes", "2"}, tt.args...)
			code, rep, said := loadgen(t, args...)
			if rep == nil || code != exitFailed || !rep.Interrupted || rep.OK {
				t.Fatalf("exit code %d, want 1 and a report of what there is:\n%s", code, said)
			}
			if tt.name != "connecting" && (rep.Messages < 5 || rep.Delivered < 500 || rep.ConnsOpen != 100) {
				t.Errorf("messages %d, delivered %d, open %d:\n%s", rep.Messages, rep.Delivered, rep.ConnsOpen, said)
			}
			if tt.name == "connecting" && (rep.ConnsOpen < 20 || rep.ConnsOpen == 100 || rep.Messages != 0) {
				t.Errorf("open %d, messages %d:\n%s", rep.ConnsOpen, rep.Messages, said)
			}
		})
	}
}

// Workers end when their parent does, even if it is killed. They hold its
// standard error, which is at its end when all of them are gone.
func TestNoOrphans(t *testing.T) {
	published := make(chan struct{})
	url := (&relay.Relay{Before: func(m int, _ []net.Conn) {
		if m == 0 {
			close(published)
		}
	}}).Start(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "-url", url, "-conns", "50", "-processes", "3", "-duration", "1h", "-settle", "0")
	cmd.Env = append(os.Environ(), roleEnv+"="+roleParent)
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-published
	if n := len(workers(t, cmd.Process.Pid)); n != 3 {
		t.Errorf("%d workers, want 3", n)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, said); err != nil { // hangs if one lives on
		t.Fatal(err)
	}
	cmd.Wait()
}
