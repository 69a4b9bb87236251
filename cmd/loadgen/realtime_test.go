package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"hubbub/cmd/loadgen/internal/relay"
	"hubbub/internal/realtime"
	"hubbub/internal/testsched"
)

// With -realtime all threads are in the real-time class, in all processes.
func TestRealtime(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var looked atomic.Int64
	url := (&relay.Relay{Before: func(int, []net.Conn) {
		pids := workers(t, os.Getpid()) // the program itself
		for _, pid := range append(pids, workers(t, pids[0])...) {
			n, err := testsched.Classes(pid)
			if err != nil || len(n) != 1 || n[unix.SCHED_RR] == 0 {
				t.Errorf("process %d has threads in classes %v, %v; want all in %d", pid, n, err, unix.SCHED_RR)
			}
			looked.Add(1)
		}
	}}).Start(t)
	cmd := exec.Command(exe, fan(url, "-realtime", "-processes", "2", "-settle", "0")...)
	cmd.Env = append(os.Environ(), roleEnv+"="+roleParent)
	said, err := cmd.CombinedOutput()
	if refused := realtime.Permitted(); refused != nil {
		want := fmt.Sprintf("loadgen: -realtime: %v\n", refused)
		if code := cmd.ProcessState.ExitCode(); code != exitUsage || string(said) != want {
			t.Errorf("exit code %d and %q, want 2 and %q", code, said, want)
		}
		return
	}
	if err != nil || !slices.Contains(strings.Fields(string(said)), "ok") || looked.Load() != 10*3 {
		t.Errorf("%v, %d looks at processes:\n%s", err, looked.Load(), said)
	}
}
