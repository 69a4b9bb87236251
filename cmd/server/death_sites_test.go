package main

import (
	"fmt"
	"net"
	"syscall"
	"testing"
)

// startSites starts two workers of six connections each at a port that is
// encrypted, another, and a Unix socket, and fills them: four connections to each
// address. They listen.
func startSites(t *testing.T, files pki, path string) (p *process, sites []site, clients []*client) {
	t.Helper()
	args := append(files.args(), "-workers", "2", "-max-conns", "12", "-loops", "1", "-http-redirect", "127.0.0.1:0")
	p = start(t, append(args, "-addr", "127.0.0.1:0,unix:"+path)...)
	sites = p.sites(files.trust)
	for range 4 {
		clients = append(clients, listening(sites)...)
	}
	for i := range 2 {
		if held := p.held(i); held != 6 {
			t.Fatalf("worker %d has %d connections, want 6", i, held)
		}
	}
	return p, sites, clients
}

// listening returns a new client of each site.
func listening(sites []site) (clients []*client) {
	for _, s := range sites {
		c := s.dial("/ws")
		c.listen()
		clients = append(clients, c)
	}
	return clients
}

// expectEveryoneToHear has everyone send, and waits until everyone has received
// it.
func expectEveryoneToHear(clients []*client, what string) {
	for i, from := range clients {
		from.t.Helper()
		text := fmt.Sprintf("%s %d", what, i)
		from.send(text)
		for j, to := range clients {
			eventually(to.t, fmt.Sprintf("client %d to receive %q", j, text), func() bool {
				heard := to.heard()
				return len(heard) > 0 && heard[len(heard)-1] == text
			})
		}
	}
}

// lost divides clients into those that have lost their connection and the rest.
func lost(clients []*client) (gone, left []*client) {
	for _, c := range clients {
		if c.isLost() {
			gone = append(gone, c)
		} else {
			left = append(left, c)
		}
	}
	return gone, left
}

// TestWorkerOfAllAddressesDies: those of the other worker live on, whatever they
// came by, and the new one serves every address.
func TestWorkerOfAllAddressesDies(t *testing.T) {
	files, path := newPKI(t, 1), socketPath(t)
	p, sites, clients := startSites(t, files, path)
	const victim = 1
	pid := p.workers()[victim]
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var left []*client
	eventually(t, "its connections to break", func() bool {
		gone, others := lost(clients)
		left = others
		return len(gone) == 6
	})
	expectSocket(t, path)
	eventually(t, "/healthz to be well again", func() bool {
		status, h := p.health("/healthz")
		return status == 200 && h.Ready == 2 && p.workers()[victim] != pid
	})
	expectEveryoneToHear(left, "afterwards from")
	if held := p.held(victim); held != 0 {
		t.Fatalf("the new worker has %d connections, want none yet", held)
	}
	// There is no room but in the new one.
	for range 2 {
		left = append(left, listening(sites)...)
	}
	if held := p.held(victim); held != 6 {
		t.Errorf("the new worker has %d connections, want 6", held)
	}
	expectEveryoneToHear(left, "in the end from")
	if gone, _ := lost(left); len(gone) != 0 {
		t.Errorf("%d connections have broken besides", len(gone))
	}
	for _, c := range left {
		c.conn.Close()
	}
	p.signal(syscall.SIGTERM)
	p.expectGone()
	expectMissing(t, path)
}

// TestSupervisorOfAllAddressesDies: every port is free again, and the name of the
// socket can be taken over.
func TestSupervisorOfAllAddressesDies(t *testing.T) {
	files, path := newPKI(t, 1), socketPath(t)
	p, sites, clients := startSites(t, files, path)
	p.signal(syscall.SIGKILL)
	p.wait()
	eventually(t, "the workers to end", func() bool { return len(p.group()) == 0 })
	for i, c := range clients {
		eventually(t, fmt.Sprintf("connection %d to break", i), c.isLost)
	}
	redirect := p.awaitLog("serving")["http-redirect"].(string)
	for _, addr := range []string{sites[0].name, sites[1].name, p.admin, redirect} {
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			t.Errorf("the port is not free again: %v", err)
			continue
		}
		ln.Close()
	}
	expectSocket(t, path)
	p = start(t, append(files.args(), "-workers", "2", "-max-conns", "12", "-addr", "unix:"+path)...)
	expectAllTogether(t, p.sites(files.trust))
}
