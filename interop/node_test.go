package interop

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// script is a connection of the npm package ws: a process that runs client.mjs.
type script struct {
	*inbox
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	opened chan report // one, if it opens
	report report      // the answer to the handshake

	mu            sync.Mutex
	read, written int64
	faults        []string
	said          bytes.Buffer // all that it has written, long lines cut short
}

// report is a line of the script's.
type report struct {
	Event         string
	Data          []byte
	Code          int
	Reason        string
	Extensions    string
	Read, Written int64
}

// command is a line for the script.
type command struct {
	Do     string `json:"do"`
	Data   []byte `json:"data"` // a []byte is base64 in JSON
	Last   bool   `json:"last"`
	Code   int    `json:"code"`
	Reason string `json:"reason"`
}

func dialNode(t *testing.T, o options) conn {
	t.Helper()
	settings := map[string]any{"url": o.url, "compress": o.compress}
	if o.ca != "" {
		settings["ca"] = o.ca
	}
	if o.window != 0 {
		settings["window"] = o.window
	}
	argument, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	s := &script{inbox: newInbox(), t: t, opened: make(chan report, 1)}
	s.cmd = exec.Command(node, "client.mjs", string(argument))
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.done.Go(func() { s.follow(stdout, s.handle) })
	s.done.Go(func() { s.follow(stderr, func([]byte) {}) })
	t.Cleanup(s.end)

	select {
	case s.report = <-s.opened:
	case e := <-s.ch:
		t.Fatalf("ws: dialing %s: %+v", o.url, e)
	case <-time.After(patience):
		t.Fatalf("ws: dialing %s: no answer", o.url)
	}
	return s
}

// follow reads lines, keeps them for the case that the test fails, and has them
// handled.
func (s *script) follow(r io.Reader, handle func(line []byte)) {
	const shown = 300 // bytes of a line: enough for all but messages
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			s.mu.Lock()
			if len(line) > shown {
				fmt.Fprintf(&s.said, "%s... (%d bytes)\n", line[:shown], len(line))
			} else {
				s.said.Write(line)
			}
			s.mu.Unlock()
			handle(line)
		}
		if err != nil {
			return
		}
	}
}

func (s *script) handle(line []byte) {
	var r report
	if err := json.Unmarshal(line, &r); err != nil {
		s.put(event{kind: closed, code: noCloseFrame, err: fmt.Sprintf("client.mjs said %q: %v", line, err)})
		return
	}
	s.mu.Lock()
	s.read, s.written = r.Read, r.Written
	if r.Event == "fault" {
		s.faults = append(s.faults, r.Reason)
	}
	faults := strings.Join(s.faults, "; ")
	s.mu.Unlock()
	switch r.Event {
	case "open":
		s.opened <- r
	case "closed":
		s.put(event{kind: closed, code: r.Code, reason: r.Reason, err: faults})
	case "fault": // told with the end, which follows
	default:
		s.put(event{kind: kind(r.Event), data: r.Data})
	}
}

// end closes the script's input and expects it to end with exit code 0.
func (s *script) end() {
	close(s.left)
	s.stdin.Close()
	kill := time.AfterFunc(patience, func() { s.cmd.Process.Kill() })
	defer kill.Stop()
	s.done.Wait() // all is read
	if err := s.cmd.Wait(); err != nil {
		s.t.Errorf("client.mjs: %v", err)
	}
	if s.t.Failed() {
		s.t.Logf("client.mjs said:\n%s", &s.said)
	}
}

func (s *script) do(c command) error {
	line, err := json.Marshal(c)
	if err != nil {
		return err
	}
	_, err = s.stdin.Write(append(line, '\n'))
	return err
}

func (s *script) extensions() string { return s.report.Extensions }

func (s *script) send(k kind, data []byte, last bool) error {
	return s.do(command{Do: string(k), Data: append([]byte{}, data...), Last: last}) // nil would be null
}

func (s *script) ping(payload string) (sent string, err error) {
	return payload, s.do(command{Do: "ping", Data: []byte(payload)})
}

func (s *script) close(code int, reason string) error {
	return s.do(command{Do: "close", Code: code, Reason: reason})
}

func (s *script) traffic() (read, written int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.read, s.written
}
