package hubbub

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strings"

	proxyproto "github.com/pires/go-proxyproto"

	"hubbub/internal/poller"
	"hubbub/internal/wire"
)

// trusts reports whether the peer at a is a proxy of ours.
func (s *Server) trusts(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, p := range s.cfg.TrustedProxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// greet finds out, right after accepting, who the peer of a connection is, where
// anything depends on it.
func (c *Conn) greet(from *listener) {
	s := c.shard.server
	if s.perIP.max == 0 && len(s.cfg.TrustedProxies) == 0 {
		return
	}
	if _, unix := from.Listener.(*net.UnixListener); unix {
		// Who is on this machine is trusted where any proxy is.
		c.phase.trusted = len(s.cfg.TrustedProxies) > 0
	} else {
		peer := poller.PeerAddr(int(c.fd))
		c.phase.trusted = peer.IsValid() && s.trusts(peer.Addr())
		if !c.phase.trusted && !c.book(peer) {
			c.giveUp(refusedPerIP)
			return
		}
	}
	c.phase.proxied = c.phase.trusted && s.cfg.ProxyProtocol
}

// readProxyHeader collects the header that a trusted proxy puts first.
func (c *Conn) readProxyHeader(p []byte) {
	p = c.collect(p)
	size, client, err := parseProxyHeader(p)
	if err != nil {
		c.giveUp(refusedProxy)
		return
	}
	if size == 0 {
		return
	}
	c.phase.proxied = false
	if client.IsValid() {
		c.phase.trusted = c.shard.server.trusts(client.Addr())
		if !c.isFor(client) {
			c.giveUp(refusedPerIP)
			return
		}
	}
	head := c.phase.head
	c.phase.head = nil
	switch rest, s := p[size:], c.secure(); {
	case len(rest) == 0:
	case s != nil:
		s.feed(rest)
	default:
		c.readHead(rest)
	}
	putHead(head)
}

// isFor notes the client that a trusted proxy speaks for, and reports whether
// there is room for another of its connections.
func (c *Conn) isFor(client netip.AddrPort) bool {
	ext := c.extrasLocked()
	ext.unbook(&c.shard.server.perIP)
	ext.peer = client
	return c.book(client)
}

// placeClient finds out about the client behind a proxy that adds to the
// request's head.
func (c *Conn) placeClient() error {
	if !c.phase.trusted {
		return nil
	}
	if client := c.shard.server.forwarded(&c.shard.head); client.IsValid() && !c.isFor(client) {
		return errPerIP
	}
	return nil
}

// forwarded returns the client's address from X-Forwarded-For: the last that
// isn't one of our proxies. What stands before it anybody could have written. The
// zero value means that there is none.
func (s *Server) forwarded(h *wire.Head) netip.AddrPort {
	var list []string
	for _, f := range h.Fields {
		if strings.EqualFold(string(f.Name), "X-Forwarded-For") {
			list = append(list, strings.Split(string(f.Value), ",")...)
		}
	}
	var client netip.AddrPort
	for i := len(list) - 1; i >= 0; i-- {
		a, ok := parseForwarded(strings.TrimSpace(list[i]))
		if !ok {
			return client
		}
		client = a
		if !s.trusts(a.Addr()) {
			return client
		}
	}
	return client
}

// parseForwarded reads an address with or without a port, as proxies write it.
func parseForwarded(v string) (netip.AddrPort, bool) {
	if a, err := netip.ParseAddrPort(v); err == nil {
		return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()), true
	}
	a, err := netip.ParseAddr(strings.Trim(v, "[]"))
	return netip.AddrPortFrom(a.Unmap(), 0), err == nil
}

// proxySignature begins a PROXY protocol header of version 2, which is 16 bytes
// and as many as the last two of those say.
const (
	proxySignature = "\r\n\r\n\x00\r\nQUIT\n"
	proxyFixed     = 16
	maxProxyHeader = 2048
)

var errProxyHeader = errors.New("no PROXY protocol header of version 2")

// parseProxyHeader reads the header at the start of p: how many bytes it has, zero
// if more has to come, and the client's address, the zero value if the proxy
// speaks for itself.
func parseProxyHeader(p []byte) (size int, client netip.AddrPort, err error) {
	n := min(len(p), len(proxySignature))
	if string(p[:n]) != proxySignature[:n] {
		return 0, client, errProxyHeader
	}
	if len(p) < proxyFixed {
		return 0, client, nil
	}
	size = proxyFixed + int(binary.BigEndian.Uint16(p[14:]))
	if size > maxProxyHeader {
		return 0, client, errProxyHeader
	}
	if len(p) < size {
		return 0, client, nil
	}
	h, err := proxyproto.Read(bufio.NewReader(bytes.NewReader(p[:size])))
	if err != nil {
		return 0, client, errProxyHeader
	}
	if a, ok := h.SourceAddr.(*net.TCPAddr); ok && h.Command.IsProxy() {
		client = a.AddrPort()
		client = netip.AddrPortFrom(client.Addr().Unmap(), client.Port())
	}
	return size, client, nil
}
