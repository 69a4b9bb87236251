package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
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

// server is the real server, as a process on ports of its own. It can be
// stopped and started again on the same ports.
type server struct {
	t           *testing.T
	binary      string
	addr, admin string
	data        string   // folder
	args        []string // besides
	cmd         *exec.Cmd
	exited      chan error // nil while there is no process
}

// serve starts a server that ends with the test.
func serve(t *testing.T, args ...string) *server {
	t.Helper()
	return serveBinary(t, binary, args...)
}

func serveBinary(t *testing.T, binary string, args ...string) *server {
	t.Helper()
	free := freeAddrs(t, 2)
	s := &server{t: t, binary: binary, addr: free[0], admin: free[1], data: t.TempDir(), args: args}
	t.Cleanup(s.stop)
	s.start()
	return s
}

// start returns when the server says that it is healthy.
func (s *server) start() {
	s.t.Helper()
	s.cmd = exec.Command(s.binary, "-addr", s.addr, "-admin", s.admin, "-data-dir", s.data, "-max-conns", "1000")
	s.cmd.Args = append(s.cmd.Args, s.args...)
	s.cmd.Stdout = s.t.Output()
	s.cmd.Stderr = s.t.Output()
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	exited := make(chan error, 1)
	s.exited = exited
	go func() { exited <- s.cmd.Wait() }()

	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !s.healthy(ctx) {
		select {
		case err := <-exited:
			s.exited = nil
			s.t.Fatalf("server ended before it was healthy: %v", err)
		case <-ctx.Done():
			s.t.Fatalf("server isn't healthy: %v", ctx.Err())
		case <-tick.C:
		}
	}
}

func (s *server) healthy(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.admin+"/healthz", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// stop asks the server to end and expects it to do so with exit code 0.
func (s *server) stop() {
	s.t.Helper()
	if s.exited == nil {
		return
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Errorf("stopping the server: %v", err)
	}
	select {
	case err := <-s.exited:
		if err != nil {
			s.t.Errorf("server after SIGTERM: %v, want exit code 0", err)
		}
	case <-time.After(patience):
		s.t.Error("server didn't end after SIGTERM")
		if err := s.cmd.Process.Kill(); err != nil {
			s.t.Errorf("killing the server: %v", err)
		}
		<-s.exited
	}
	s.exited = nil
}

// kill ends the server without giving it a chance to do anything about it.
func (s *server) kill() {
	s.t.Helper()
	if err := s.cmd.Process.Kill(); err != nil {
		s.t.Fatal(err)
	}
	<-s.exited
	s.exited = nil
}

// workers returns the ids of the server's worker processes.
func (s *server) workers() []int {
	s.t.Helper()
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", s.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	var pids []int
	for _, list := range lists {
		children, err := os.ReadFile(list)
		if err != nil {
			continue // a thread that has ended
		}
		for _, child := range strings.Fields(string(children)) {
			pid, err := strconv.Atoi(child)
			if err != nil {
				s.t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	return pids
}

// url is the page's, in the room lobby.
func (s *server) url() string {
	if slices.Contains(s.args, "-tls-cert") {
		return "https://" + s.addr + "/"
	}
	return "http://" + s.addr + "/"
}

func (s *server) socketURL() string { return "ws://" + s.addr + "/connection/websocket" }

// freeAddrs returns n loopback addresses that nobody listened on a moment ago.
func freeAddrs(t *testing.T, n int) (addrs []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // not before all are found: they would be the same
		addrs = append(addrs, l.Addr().String())
	}
	return addrs
}
