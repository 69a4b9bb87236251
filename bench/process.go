package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// binaries is where make puts them, from the module's root.
const binaries = "bin"

// program returns the path of one of our programs.
func program(name string) string { return filepath.Join(binaries, name) }

// child returns a command that is asked to end with the context, and that ends when this process
// does, whatever ends that.
func child(ctx context.Context, run *Run, path string, args ...string) *exec.Cmd {
	run.Commands = append(run.Commands, strings.Join(quoted(append([]string{path}, args...)), " "))
	cmd := exec.CommandContext(ctx, path, args...)
	// A group of its own, so that it can be killed with the processes that it has started.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second // then it is killed
	return cmd
}

// runProgram runs one of our programs to its end and returns what it printed, also when it failed.
func runProgram(ctx context.Context, run *Run, name string, args ...string) ([]byte, error) {
	cmd := child(ctx, run, program(name), args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.Bytes(), fmt.Errorf("%s: %w%s", name, errors.Join(err, context.Cause(ctx)), tail(&stderr))
	}
	return stdout.Bytes(), nil
}

// said is what a program has written so far.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *said) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(text)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// tail returns the last lines of a program's log, for an error.
func tail(log fmt.Stringer) string {
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if lines[0] == "" {
		return ""
	}
	return ": " + strings.Join(lines[max(0, len(lines)-3):], " | ")
}

// process is a program that is up.
type process struct {
	name  string
	cmd   *exec.Cmd
	log   *said
	ended chan struct{} // closed when it has ended, and then err is how
	err   error
}

// readiness is an error as long as a program isn't ready that has said so much.
type readiness func(context.Context, *said) error

// ready returns what asks a server whether it is ready: at its health page, or by connecting to it if
// it has none.
func ready(addr, healthURL string) readiness {
	if healthURL != "" {
		return func(ctx context.Context, _ *said) error { _, err := get(ctx, healthURL); return err }
	}
	return func(ctx context.Context, _ *said) error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err
	}
}

// start starts a command and waits until it is ready.
func start(ctx context.Context, cmd *exec.Cmd, ready readiness) (*process, error) {
	name := filepath.Base(cmd.Path)
	p := &process{name: name, cmd: cmd, log: new(said), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	for {
		if ready(ctx, p.log) == nil {
			return p, nil
		}
		select {
		case <-p.ended:
			return nil, fmt.Errorf("%s ended before it was ready: %w%s", name, errors.Join(p.err, context.Cause(ctx)), tail(p.log))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// stop asks the program to end and waits until it has, with the success that a server owes.
func (p *process) stop() error {
	// Where this fails the server is gone, and its end says why.
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
		if p.err != nil {
			return fmt.Errorf("%s ended badly: %w%s", p.name, p.err, tail(p.log))
		}
		return nil
	case <-time.After(30 * time.Second):
		p.cmd.Process.Kill()
		<-p.ended
		return fmt.Errorf("%s was still there 30 s after SIGTERM%s", p.name, tail(p.log))
	}
}

// client makes a connection for each request: one that stays open has goroutines in the server,
// which are counted.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}

// get returns what is at the URL, which must answer with 200.
func get(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(response.Body); err != nil {
		return "", fmt.Errorf("reading %s: %w", url, err)
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s answered %s", url, response.Status)
	}
	return body.String(), nil
}
