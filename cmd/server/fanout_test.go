package main

import (
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// TestWorkerDiesDuringFanOut: whoever isn't on it gets every message once and in
// order; whoever is can come back, and gets without a gap what is sent from then
// on.
func TestWorkerDiesDuringFanOut(t *testing.T) {
	const subscribers, perWorker = 100, 40
	p := start(t, "-workers", fmt.Sprint(workers), "-max-conns", fmt.Sprint(workers*perWorker), "-loops", "1",
		"-max-backlog", fmt.Sprint(1<<30)) // nobody is too slow here
	from := &publisher{client: dial(t, p.addr, "/ws")}
	host := slices.IndexFunc([]int{0, 1, 2}, func(i int) bool { return p.held(i) == 1 })
	victim := (host + 1) % workers
	clients := dialMany(t, subscribers, p.addr, "/ws")
	for _, c := range clients {
		c.listen()
	}
	held := p.held(victim) // some: the others have no room for all
	if host < 0 || held == 0 {
		t.Fatalf("connections by worker: %v, the publisher's on %d", p.connections(), host)
	}

	stop := from.start()
	from.await(100)
	if err := syscall.Kill(p.workers()[victim], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its connections to break", func() bool {
		gone, _ := lost(clients)
		return len(gone) == held
	})
	back := dialMany(t, held, p.addr, "/ws")
	for _, c := range back {
		c.listen()
	}
	from.await(100)
	end := stop() - 1
	gone, left := lost(clients)
	for i, c := range slices.Concat(left, back) {
		eventually(t, fmt.Sprintf("client %d to receive %d", i, end), func() bool { return c.latest() == strconv.Itoa(end) })
	}
	for i, c := range left {
		expectNumbers(t, fmt.Sprintf("survivor %d", i), c.heard(), 0)
	}
	for i, c := range gone {
		expectNumbers(t, fmt.Sprintf("lost client %d", i), c.heard(), 0)
	}
	for i, c := range back {
		first, _ := strconv.Atoi(c.heard()[0])
		expectNumbers(t, fmt.Sprintf("client %d that came back", i), c.heard(), first)
	}
	if len(gone) != held {
		t.Errorf("%d connections are lost, want the %d of the worker", len(gone), held)
	}
}

// expectNumbers wants every number once and in order, from first on.
func expectNumbers(t *testing.T, who string, heard []string, first int) {
	t.Helper()
	for i, text := range heard {
		if text != strconv.Itoa(first+i) {
			t.Errorf("%s received %q as number %d, want %d", who, text, i, first+i)
			return
		}
	}
}

// latest returns what a listening client has received last.
func (c *client) latest() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.got) == 0 {
		return ""
	}
	return c.got[len(c.got)-1]
}

// publisher sends one number after the other.
type publisher struct {
	*client
	back atomic.Int64 // so many have come back to it
}

// ahead is how many numbers are on their way at a time.
const ahead = 20

// start publishes until stop is called, which returns how many numbers that
// were.
func (p *publisher) start() (stop func() int) {
	enough, ended := make(chan struct{}), make(chan error, 1)
	sent := 0
	go func() { ended <- p.run(enough, &sent) }()
	return func() int {
		p.t.Helper()
		close(enough)
		if err := <-ended; err != nil {
			p.t.Fatalf("the publisher has failed after %d: %v", sent, err)
		}
		return sent
	}
}

func (p *publisher) run(enough <-chan struct{}, sent *int) error {
	for over := false; !over || int(p.back.Load()) < *sent; {
		select {
		case <-enough:
			over = true
		default:
		}
		if !over {
			if err := wsutil.WriteClientMessage(p.rw, ws.OpText, []byte(strconv.Itoa(*sent))); err != nil {
				return err
			}
			*sent++
		}
		for back := int(p.back.Load()); back < *sent && (over || *sent-back >= ahead); back++ {
			text, err := wsutil.ReadServerText(p.rw)
			if err != nil {
				return err
			}
			if string(text) != strconv.Itoa(back) {
				return fmt.Errorf("it received %q, want %d", text, back)
			}
			p.back.Add(1)
		}
	}
	return nil
}

// await waits until n more numbers have come back.
func (p *publisher) await(n int64) {
	p.t.Helper()
	n += p.back.Load()
	eventually(p.t, fmt.Sprintf("number %d to come back", n), func() bool { return p.back.Load() >= n })
}
