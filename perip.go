package hubbub

import (
	"net/netip"
	"sync"
)

// perIP counts the connections from each address. The zero value counts nothing.
type perIP struct {
	max   int // static; 0 for no limit
	mu    sync.Mutex
	conns map[netip.Addr]int
}

// origin is who an address is taken for: one who has an IPv6 address has all of
// its /64.
func origin(a netip.Addr) netip.Addr {
	if a = a.Unmap().WithZone(""); a.Is6() {
		p, _ := a.Prefix(64) // an IPv6 address has one
		return p.Addr()
	}
	return a
}

// enter counts a connection from a, and reports whether there is room for it.
func (p *perIP) enter(a netip.Addr) bool {
	a = origin(a)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns[a] >= p.max {
		return false
	}
	if p.conns == nil {
		p.conns = map[netip.Addr]int{}
	}
	p.conns[a]++
	return true
}

// leave takes back what enter has counted.
func (p *perIP) leave(a netip.Addr) {
	a = origin(a)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns[a]--; p.conns[a] <= 0 {
		delete(p.conns, a)
	}
}

// book counts the connection under its client's address, once that is known,
// and reports whether there is room for it.
func (c *Conn) book(a netip.AddrPort) bool {
	p := &c.shard.server.perIP
	if p.max == 0 || !a.IsValid() {
		return true
	}
	if !p.enter(a.Addr()) {
		return false
	}
	ext := c.extrasLocked()
	ext.peer, ext.booked = a, true
	return true
}

// unbook takes back what book has counted.
func (e *extras) unbook(p *perIP) {
	if e != nil && e.booked {
		e.booked = false
		p.leave(e.peer.Addr())
	}
}
