package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// limited starts the server, on free ports, from a shell that allows a process
// n descriptors.
func limited(t *testing.T, n int, args ...string) *process {
	t.Helper()
	shell := []string{"sh", "-c", `ulimit -n "$0" && exec "$@"`, fmt.Sprint(n), self(t)}
	return launch(t, append(shell, onFreePorts(args...)...)...)
}

func TestFewDescriptorsTakeWorkers(t *testing.T) {
	p := limited(t, 200, "-max-conns", "100").serving()
	want := "2 workers of 50 connections: a process may hold 72 (limit of 200 open files)"
	if said := p.logged("starting"); len(said) != 1 || said[0]["processes"] != want {
		t.Errorf("it says %v, want once %q", said, want)
	}
	if n := len(p.workers()); n != 2 {
		t.Errorf("%d workers, want 2", n)
	}
	clients := dialMany(t, 100, p.addr, "/ws")
	clients[0].send("all here")
	for _, c := range clients {
		c.expect("all here")
	}
}

func TestTooFewDescriptors(t *testing.T) {
	for _, tt := range []struct {
		name  string
		limit int
		args  []string
		want  string
	}{
		{"for the workers asked for", 200, []string{"-max-conns", "100", "-workers", "1"},
			"server: -workers 1 can hold 72 connections of -max-conns 100: a process may open 200 files here; use -workers 2 or 0, or raise the limit (ulimit -n, LimitNOFILE)\n"},
		{"at all", 100, []string{"-max-conns", "100"},
			"server: a process may open only 100 files here: raise the limit (ulimit -n, LimitNOFILE) to at least 129\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if line := limited(t, tt.limit, tt.args...).expectUsageError(); line != tt.want {
				t.Errorf("it says %q, want %q", line, tt.want)
			}
		})
	}
}

// TestWorkerCannotStart: a mistake that only the workers notice doesn't have
// them started again for ever.
func TestWorkerCannotStart(t *testing.T) {
	p := limited(t, 200, "-max-conns", "100", "-loops", "1024") // which need some descriptors each
	if code := p.wait(); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	if left := p.group(); len(left) != 0 {
		t.Errorf("processes %v are left", left)
	}
	if log := p.logText(); !strings.Contains(log, "did not start: exit status 1\n") || !strings.Contains(log, "too many open files\n") {
		t.Errorf("it says %s", log)
	}
}

// setLimit changes how many descriptors a running process may have.
func (p *process) setLimit(n uint64) {
	p.t.Helper()
	var lim unix.Rlimit
	if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_NOFILE, nil, &lim); err != nil {
		p.t.Fatal(err)
	}
	lim.Cur = min(n, lim.Max)
	if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_NOFILE, &lim, nil); err != nil {
		p.t.Fatal(err)
	}
}

// leaveRoomFor lowers the limit of a running process so that it may have only n
// more descriptors than it has.
func (p *process) leaveRoomFor(n int) {
	p.t.Helper()
	number := 0
	for ; n > 0; number++ { // new ones get the lowest free numbers
		_, err := os.Lstat(fmt.Sprintf("/proc/%d/fd/%d", p.cmd.Process.Pid, number))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			n--
		case err != nil:
			p.t.Fatal(err)
		}
	}
	p.setLimit(uint64(number))
}

// TestDescriptorsRunOut: the connections wait then, as those beyond -max-conns
// do, and those that are there are served.
func TestDescriptorsRunOut(t *testing.T) {
	p := start(t, "-max-conns", "100", "-loops", "1")
	inside := dial(t, p.addr, "/ws")
	other := dial(t, p.addr, "/echo")
	p.leaveRoomFor(3)
	const n = 50
	dialled := make(chan error, n)
	clients := make([]*client, n)
	for i := range clients {
		go func() {
			var err error
			clients[i], err = tryDial(t, p.addr, "/ws")
			dialled <- err
		}()
	}
	p.awaitLog("cannot accept connections for now; they wait in the kernel's queue")
	other.send("still here")
	other.expect("still here")
	p.setLimit(1 << 20)
	for range n {
		if err := <-dialled; err != nil {
			t.Fatal(err)
		}
	}
	inside.send("all here")
	for _, c := range append(clients, inside) {
		c.expect("all here")
	}
}

func TestMistakes(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		want string // a part of the line
	}{
		{"unknown flag", []string{"-wrokers", "3"}, "-wrokers"},
		{"out of range", []string{"-workers", "-1"}, "-workers is -1; it has to be from 0 to 10000"},
		{"stray argument", []string{"serve"}, `"serve"`},
		{"no address", []string{"-addr", "8080"}, "-addr: "},
		{"no port", []string{"-admin", "127.0.0.1:99999"}, "-admin: "},
		{"no NATS server", []string{"-nats", "nats://s3cret@127.0.0.1:1"}, "-nats: "},
		{"no NATS server for workers", []string{"-nats", "nats://s3cret@127.0.0.1:1", "-workers", "2"}, "-nats: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := onFreePorts(append([]string{"-max-conns", "100", "-log-level", "error"}, tt.args...)...)
			line := launch(t, append([]string{self(t)}, args...)...).expectUsageError()
			if !strings.Contains(line, tt.want) || strings.Contains(line, "s3cret") {
				t.Errorf("it says %q, want something with %q, and no secrets", line, tt.want)
			}
		})
	}
}

func TestQuestionsToTheProgram(t *testing.T) {
	for arg, want := range map[string]string{"-help": "Usage: server [flags]", "-h": "Usage: server [flags]", "-version": "hubbub devel\n"} {
		p := launch(t, self(t), arg)
		p.expectGone()
		out, err := os.ReadFile(p.out)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(out), want) || p.logText() != "" {
			t.Errorf("%s: %q and, on standard error, %q", arg, out, p.logText())
		}
	}
}
