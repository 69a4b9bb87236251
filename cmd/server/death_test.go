package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// TestWorkerDies kills a worker while nobody may start its program, so that it
// stays away until the test has seen how the others go on.
func TestWorkerDies(t *testing.T) {
	program := filepath.Join(t.TempDir(), "server")
	binary, err := os.ReadFile(self(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, binary, 0o700); err != nil {
		t.Fatal(err)
	}
	p := launch(t, append([]string{program}, onFreePorts("-workers", fmt.Sprint(workers), "-max-conns", fmt.Sprint(workers*perWorker), "-loops", "1")...)...).serving()
	clients := p.dialAllWorkers()
	for _, c := range clients {
		c.listen()
	}
	const victim = 1
	held, pid := p.held(victim), p.workers()[victim]

	if err := os.Chmod(program, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its connections to break", func() bool {
		n := 0
		for _, c := range clients {
			if c.isLost() {
				n++
			}
		}
		return n == held
	})
	eventually(t, "/healthz to notice", func() bool {
		status, h := p.health("/healthz")
		return status == 503 && h.Workers == workers && h.Ready == workers-1 && h.Status == "1 of 3 workers are not ready"
	})
	if n := p.scrapePage("?sum")["hubbub_workers_silent"].GetMetric()[0].GetGauge().GetValue(); n != 1 {
		t.Errorf("%v workers are silent, want 1", n)
	}
	clients = slices.DeleteFunc(clients, (*client).isLost)
	survivors := len(clients) - 1
	clients[survivors].conn.Close() // the question needs room: the others may be full
	clients = clients[:survivors]
	eventually(t, "/subscribers to count those who are left", func() bool {
		status, body := get(t, p.addr, "/subscribers")
		return status == 200 && body == fmt.Sprintf(`{"subscribers":%d}`+"\n", survivors)
	})
	clients[0].send("without it")
	for i, c := range clients {
		eventually(t, fmt.Sprintf("client %d to receive what is sent without it", i), func() bool {
			return slices.Equal(c.heard(), []string{"without it"})
		})
	}

	if err := os.Chmod(program, 0o700); err != nil {
		t.Fatal(err)
	}
	eventually(t, "/healthz to be well again", func() bool {
		status, h := p.health("/healthz")
		return status == 200 && h.Ready == workers
	})
	if again := p.workers()[victim]; again == pid || again == 0 {
		t.Errorf("the worker's process is %d, and was %d", again, pid)
	}
	// More than the others have room for.
	for range (workers-1)*perWorker - survivors + 1 {
		c := dial(t, p.addr, "/ws")
		c.listen()
		clients = append(clients, c)
	}
	if p.held(victim) == 0 {
		t.Errorf("the new worker has no connections: %v", p.connections())
	}
	for i, c := range clients {
		c.send(fmt.Sprint("from ", i))
	}
	for i, c := range clients {
		for j := range clients {
			want := fmt.Sprint("from ", j)
			eventually(t, fmt.Sprintf("client %d to receive %q", i, want), func() bool { return slices.Contains(c.heard(), want) })
		}
		want := len(clients)
		if i < survivors {
			want++ // "without it"
		}
		if heard := c.heard(); len(heard) != want {
			t.Errorf("client %d received %d messages, want %d: %q", i, len(heard), want, heard)
		}
	}
	expectSubscribers(t, at(t, p.addr), "", len(clients))
}

// TestSupervisorDies: no worker outlives it, whatever state it is in.
func TestSupervisorDies(t *testing.T) {
	for _, tt := range []struct {
		name string
		stop bool
	}{{"running", false}, {"stopped", true}} {
		t.Run(tt.name, func(t *testing.T) {
			p := startWorkers(t)
			clients := p.dialAllWorkers()
			for _, c := range clients {
				c.listen()
			}
			if tt.stop {
				p.signal(syscall.SIGSTOP)
			}
			p.signal(syscall.SIGKILL)
			p.wait()
			eventually(t, "the workers to end", func() bool { return len(p.group()) == 0 })
			for i, c := range clients {
				eventually(t, fmt.Sprintf("connection %d to break", i), c.isLost)
			}
			ln, err := net.Listen("tcp", p.addr)
			if err != nil {
				t.Fatalf("the port is not free again: %v", err)
			}
			ln.Close()
		})
	}
}
