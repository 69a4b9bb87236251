package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"hubbub/cmd/loadgen/internal/relay"
	"hubbub/internal/realtime"
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
			tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
			if err != nil || tasks == nil {
				t.Errorf("no threads of process %d: %v", pid, err)
			}
			for _, task := range tasks {
				tid, err := strconv.Atoi(filepath.Base(task))
				if err != nil {
					t.Error(err)
				}
				if a, err := unix.SchedGetAttr(tid, 0); err == nil && a.Policy != unix.SCHED_RR { // otherwise it has ended
					t.Errorf("a thread of process %d is in class %d, want %d", pid, a.Policy, unix.SCHED_RR)
				}
				looked.Add(1)
			}
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
	if err != nil || !slices.Contains(strings.Fields(string(said)), "ok") || looked.Load() < 10*3*2 {
		t.Errorf("%v, %d threads looked at:\n%s", err, looked.Load(), said)
	}
}
