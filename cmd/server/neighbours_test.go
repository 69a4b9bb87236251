package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// placeAt is where on the board a worker says that it is busy.
func placeAt(worker int) int64 { return int64(1+worker) * 64 }

// board is the memory on which p's workers tell one another that they are in a hurry, in the first 8 bytes, or
// busy.
func (p *process) board() *os.File {
	p.t.Helper()
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, link := range links {
		if to, _ := os.Readlink(link); !strings.HasPrefix(to, "/memfd:hubbub-neighbours") {
			continue
		}
		f, err := os.OpenFile(link, os.O_RDWR, 0)
		if err != nil {
			p.t.Fatal(err)
		}
		p.t.Cleanup(func() { f.Close() })
		return f
	}
	p.t.Fatal("the supervisor has no memory that it shares with its workers")
	return nil
}

// saysBusy reports whether that worker says so.
func saysBusy(t *testing.T, board *os.File, worker int) bool {
	t.Helper()
	var b [1]byte
	if _, err := board.ReadAt(b[:], placeAt(worker)); err != nil {
		t.Fatal(err)
	}
	return b[0] != 0
}

// Each worker tells the others of its large fan-outs, in its own place.
func TestWorkersSayThatTheyAreBusy(t *testing.T) {
	const perWorker = 1200 // more than the 1,088 of a fan-out that counts as large
	p := start(t, "-workers", "2", "-max-conns", fmt.Sprint(2*perWorker), "-loops", "1", "-broadcast-workers", "1")
	board := p.board()
	clients := dialMany(t, 2*perWorker-50, p.addr, "/ws")
	seen := map[int]bool{}
	eventually(t, "both workers to be busy", func() bool {
		clients[0].send("x")
		for i := range 2 {
			seen[i] = seen[i] || saysBusy(t, board, i)
		}
		return seen[0] && seen[1]
	})
	eventually(t, "the fan-outs to be over", func() bool { return !saysBusy(t, board, 0) && !saysBusy(t, board, 1) })
}

// They tell one another of messages for small topics.
func TestWorkersSayThatTheyAreInAHurry(t *testing.T) {
	p := startWorkers(t)
	board := p.board()
	var none, some [8]byte
	if _, err := board.ReadAt(some[:], 0); err != nil || some != none {
		t.Errorf("somebody is in a hurry, with nobody there: %v, %v", some, err)
	}
	c := dial(t, p.addr, "/ws")
	c.send("x")
	c.expect("x")
	if _, err := board.ReadAt(some[:], 0); err != nil || some == none {
		t.Errorf("nobody was in a hurry for a topic of one: %v", err)
	}
}

// Connections are accepted a little later while another worker is busy; and one that has died no longer
// is.
func TestDeadWorkerIsNotBusy(t *testing.T) {
	p := startWorkers(t)
	board := p.board()
	if _, err := board.WriteAt([]byte{1}, placeAt(1)); err != nil {
		t.Fatal(err)
	}
	dial(t, p.addr, "/ws").send("nobody waits for ever")
	if !saysBusy(t, board, 1) {
		t.Error("a worker that lives is no longer busy, without having said so")
	}
	if err := syscall.Kill(p.workers()[1], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a dead worker to be no longer busy", func() bool { return !saysBusy(t, board, 1) })
}

// Connections wake those who accept them. The supervisor has the listening socket too, but its Go runtime
// doesn't watch it.
func TestConnectionsDontWakeTheSupervisor(t *testing.T) {
	p := startWorkers(t)
	inode := inodeAt(t, p.addr)
	if watching(t, p.cmd.Process.Pid, inode) {
		t.Error("the supervisor watches the listening socket")
	}
	for i, pid := range p.workers() {
		if !watching(t, pid, inode) {
			t.Errorf("worker %d doesn't watch the listening socket, or this test doesn't see it", i)
		}
	}
}

// inodeAt returns the inode of the socket that listens at addr, an IPv4 one.
func inodeAt(t *testing.T, addr string) (inode uint64) {
	t.Helper()
	a, err := net.ResolveTCPAddr("tcp4", addr)
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	const listen = "0A"
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		if len(f) > 9 && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", a.Port)) && f[3] == listen {
			if _, err := fmt.Sscan(f[9], &inode); err != nil {
				t.Fatal(err)
			}
			return inode
		}
	}
	t.Fatalf("nothing listens at %s", addr)
	return 0
}

// watching reports whether one of a process's epoll instances watches the socket with that inode
// (proc_pid_fdinfo(5)).
func watching(t *testing.T, pid int, inode uint64) bool {
	t.Helper()
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if to, _ := os.Readlink(link); to != "anon_inode:[eventpoll]" {
			continue
		}
		info, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%s", pid, filepath.Base(link)))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(info), fmt.Sprintf(" ino:%x ", inode)) {
			return true
		}
	}
	return false
}
