package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// process is a server as its users have it, with the workers it may have.
type process struct {
	t           *testing.T
	cmd         *exec.Cmd
	out, log    string        // files: standard output and standard error
	ended       chan struct{} // closed when it has
	addr, admin string        // where it serves
}

// self is the test binary, which is the server in serverEnv.
func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// start starts the server on ports of the kernel's choice and waits until it
// serves.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	return launch(t, append([]string{self(t)}, onFreePorts(args...)...)...).serving()
}

func onFreePorts(args ...string) []string {
	return append([]string{"-addr", "127.0.0.1:0", "-admin", "127.0.0.1:0", "-log-format", "json"}, args...)
}

// launch runs a command that is the server or becomes it, in a process group of
// its own. At the end of the test nothing is left of that group.
func launch(t *testing.T, command ...string) *process {
	t.Helper()
	dir := t.TempDir()
	p := &process{t: t, out: filepath.Join(dir, "out"), log: filepath.Join(dir, "log"), ended: make(chan struct{})}
	p.cmd = exec.Command(command[0], command[1:]...)
	p.cmd.Env = append(serverEnv(), "HUBBUB_DATA_DIR="+filepath.Join(dir, "data"))
	out, err := os.Create(p.out)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	log, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	p.cmd.Stdout, p.cmd.Stderr = out, log
	// Pdeathsig: it ends with the tests, even if they end in a panic.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(p.clear)
	return p
}

// clear kills what is left of the process group.
func (p *process) clear() {
	if len(p.group()) > 0 {
		syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	}
	<-p.ended
	eventually(p.t, "the processes to be gone", func() bool { return len(p.group()) == 0 })
	log := p.logText()
	if strings.Contains(log, "DATA RACE") || strings.Contains(log, "panic:") {
		p.t.Error("the server has a data race, or has panicked")
	}
	if p.t.Failed() {
		p.t.Logf("the log:\n%s", log)
	}
}

// serving waits until the server says that it serves, and where.
func (p *process) serving() *process {
	p.t.Helper()
	r := p.awaitLog("serving")
	p.addr, p.admin = r["addr"].(string), r["admin"].(string)
	return p
}

// wait waits for the end of the process itself and returns its exit code, -1 if
// a signal has ended it.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		p.t.Fatalf("it has not ended within %v", patience)
		return 0
	}
}

// hasEnded reports whether the process itself has ended.
func (p *process) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// expectGone waits for the process to end with code 0, and for its workers to
// have ended by then.
func (p *process) expectGone() {
	p.t.Helper()
	if code := p.wait(); code != 0 {
		p.t.Errorf("exit code %d, want 0", code)
	}
	if left := p.group(); len(left) != 0 {
		p.t.Errorf("processes %v have outlived their supervisor", left)
	}
}

// expectUsageError waits for the process to end with code 2 and one line, and
// returns that.
func (p *process) expectUsageError() string {
	p.t.Helper()
	code := p.wait()
	log := p.logText()
	if code != 2 || strings.Count(log, "\n") != 1 || !strings.HasPrefix(log, "server: ") {
		p.t.Errorf("exit code %d and %q, want 2 and one line", code, log)
	}
	return log
}

func (p *process) signal(sig syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) logText() string {
	log, err := os.ReadFile(p.log)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(log)
}

// logged returns the log's records with this message.
func (p *process) logged(msg string) []map[string]any {
	var found []map[string]any
	for line := range strings.Lines(p.logText()) {
		var r map[string]any
		if json.Unmarshal([]byte(line), &r) == nil && r["msg"] == msg {
			found = append(found, r)
		}
	}
	return found
}

// awaitLog returns the first record with this message.
func (p *process) awaitLog(msg string) map[string]any {
	p.t.Helper()
	var found []map[string]any
	eventually(p.t, fmt.Sprintf("logging %q", msg), func() bool {
		ended := p.hasEnded()
		found = p.logged(msg)
		if ended && len(found) == 0 {
			p.t.Fatalf("it has ended without logging %q", msg)
		}
		return len(found) > 0
	})
	return found[0]
}

// group returns the living processes of the group.
func (p *process) group() []int {
	var pids []int
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		p.t.Fatal(err)
	}
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended meanwhile
		}
		// proc_pid_stat(5): pid (comm) state ppid pgrp ...
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if fields[2] != strconv.Itoa(p.cmd.Process.Pid) || strings.Contains("ZX", fields[0]) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			p.t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

// workers returns the process IDs of the workers, by index.
func (p *process) workers() map[int]int {
	found := map[int]int{}
	for _, pid := range p.group() {
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil {
			continue // it has ended meanwhile
		}
		vars := strings.Split(string(env), "\x00")
		i := slices.IndexFunc(vars, func(v string) bool { return strings.HasPrefix(v, roleEnv+"=") })
		if i < 0 {
			continue
		}
		var r role
		if err := json.Unmarshal([]byte(strings.TrimPrefix(vars[i], roleEnv+"=")), &r); err != nil {
			p.t.Fatal(err)
		}
		found[r.Index] = pid
	}
	return found
}
