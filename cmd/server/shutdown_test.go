package main

import (
	"errors"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/gobwas/ws"
)

// forms are the two ways in which the server runs.
var forms = []struct {
	name string
	args []string
}{
	{"single", []string{"-max-conns", "100"}},
	{"supervised", []string{"-max-conns", "100", "-workers", "2"}},
}

func TestShutdown(t *testing.T) {
	for _, form := range forms {
		for _, tt := range []struct {
			name   string
			signal func(p *process)
		}{
			{"SIGTERM", func(p *process) { p.signal(syscall.SIGTERM) }},
			{"SIGINT", func(p *process) { p.signal(syscall.SIGINT) }},
			{"Ctrl-C", func(p *process) { // goes to all processes of the terminal
				if err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGINT); err != nil {
					p.t.Fatal(err)
				}
			}},
		} {
			t.Run(form.name+"/"+tt.name, func(t *testing.T) {
				p := start(t, form.args...)
				clients := append(dialMany(t, 20, p.addr, "/ws"), dialMany(t, 20, p.addr, "/echo")...)
				tt.signal(p)
				for _, c := range clients {
					c.expectClose(ws.StatusGoingAway)
				}
				for _, c := range clients {
					c.answerClose(ws.StatusGoingAway)
				}
				p.expectGone()
				if cut := p.logged(cutOff); len(cut) != 0 {
					t.Errorf("it says %v", cut)
				}
			})
		}
	}
}

const cutOff = "connections were cut off: they took longer than -drain to end"

func TestDrainEnds(t *testing.T) {
	for _, form := range forms {
		t.Run(form.name, func(t *testing.T) {
			p := start(t, append(form.args, "-drain", "1s")...)
			mute := dial(t, p.addr, "/ws")
			p.signal(syscall.SIGTERM)
			mute.expectClose(ws.StatusGoingAway)
			p.expectGone()
			if cut := p.logged(cutOff); len(cut) != 1 {
				t.Errorf("it says %v, want once that a connection was cut off", cut)
			}
		})
	}
}

// TestStopsAccepting: who comes while the last connections end is refused, and
// not left waiting.
func TestStopsAccepting(t *testing.T) {
	for _, form := range forms {
		t.Run(form.name, func(t *testing.T) {
			p := start(t, form.args...)
			last := dial(t, p.addr, "/ws")
			p.signal(syscall.SIGTERM)
			last.expectClose(ws.StatusGoingAway)
			eventually(t, "being refused", func() bool {
				conn, err := net.Dial("tcp", p.addr)
				if err == nil {
					conn.Close()
				}
				return errors.Is(err, syscall.ECONNREFUSED)
			})
			if p.hasEnded() {
				t.Error("it has ended before its last connection")
			}
			last.answerClose(ws.StatusGoingAway)
			p.expectGone()
		})
	}
}

// TestSecondSignal: who is in a hurry doesn't have to wait for -drain.
func TestSecondSignal(t *testing.T) {
	for _, form := range forms {
		t.Run(form.name, func(t *testing.T) {
			p := start(t, append(form.args, "-drain", "1h")...)
			mute := dial(t, p.addr, "/ws")
			p.signal(syscall.SIGTERM)
			mute.expectClose(ws.StatusGoingAway)
			eventually(t, "the process itself to shut down", func() bool {
				return slices.ContainsFunc(p.logged("shutting down"), func(r map[string]any) bool { return r[workerLabel] == nil })
			})
			p.signal(syscall.SIGTERM)
			if code := p.wait(); code != -1 {
				t.Errorf("exit code %d, want it ended by the signal", code)
			}
			eventually(t, "the workers to end", func() bool { return len(p.group()) == 0 })
		})
	}
}

func TestAddressInUse(t *testing.T) {
	p := start(t, forms[0].args...)
	for _, form := range forms {
		for _, tt := range []struct {
			name string
			args []string
			port string
		}{
			{"addr", []string{"-addr", p.addr}, p.addr},
			{"admin", []string{"-admin", p.admin}, p.admin},
		} {
			t.Run(form.name+"/"+tt.name, func(t *testing.T) {
				args := onFreePorts(append(form.args, append(tt.args, "-log-level", "error")...)...)
				line := launch(t, append([]string{self(t)}, args...)...).expectUsageError()
				if !strings.Contains(line, "-"+tt.name+" "+tt.port+" is in use") {
					t.Errorf("it says %q, want that -%s %s is in use", line, tt.name, tt.port)
				}
			})
		}
	}
	expectGet(t, p.addr, "/healthz", "ok\n")
}
