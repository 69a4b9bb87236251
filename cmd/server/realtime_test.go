package main

import (
	"fmt"
	"maps"
	"testing"

	"golang.org/x/sys/unix"

	"hubbub/internal/realtime"
	"hubbub/internal/testsched"
)

// With -realtime all threads are in the real-time class, in all processes, but for
// the broadcast workers' own; and messages arrive.
func TestRealtime(t *testing.T) {
	if refused := realtime.Permitted(); refused != nil {
		got := launch(t, append([]string{self(t)}, onFreePorts("-realtime")...)...).expectUsageError()
		if want := fmt.Sprintf("server: -realtime: %v\n", refused); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		return
	}
	expect := func(t *testing.T, pid, ordinary int) {
		t.Helper()
		eventually(t, fmt.Sprintf("%d ordinary threads", ordinary), func() bool {
			n, err := testsched.Classes(pid)
			return err == nil && n[unix.SCHED_NORMAL] == ordinary && n[unix.SCHED_RR] > 1 && len(n) <= 2
		})
	}
	t.Run("several processes", func(t *testing.T) {
		p := startWorkers(t, "-realtime", "-broadcast-workers", "2")
		clients := p.dialAllWorkers()
		clients[0].send("hello")
		for _, c := range clients {
			c.expect("hello")
		}
		expect(t, p.cmd.Process.Pid, 0)
		for pid := range maps.Values(p.workers()) {
			expect(t, pid, 2)
		}
	})
	t.Run("one process", func(t *testing.T) {
		p := start(t, "-realtime", "-max-conns", "10", "-broadcast-workers", "3")
		c := dialMany(t, 1, p.addr, "/ws")[0]
		c.send("hello")
		c.expect("hello")
		expect(t, p.cmd.Process.Pid, 3)
	})
}
