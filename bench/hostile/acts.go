package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// sendByte sends the next byte of the handshake, all but the last.
func (h *herd) sendByte(c *conn) {
	if int(c.sent) < len(h.request)-1 {
		h.send(c, h.request[c.sent:c.sent+1])
		c.sent++
	}
}

// sendFields sends some more of a head that has no end.
func (h *herd) sendFields(c *conn) {
	if c.sent == 0 {
		c.sent = 1
		h.send(c, fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\n", h.opts.path, h.opts.host))
		return
	}
	h.send(c, fields)
}

// garbageSize is how many random bytes go out at a time.
const garbageSize = 1 << 10

func (h *herd) sendGarbage(c *conn) {
	h.noise = (h.noise + 7919) % (len(garbage) - garbageSize)
	h.send(c, garbage[h.noise:h.noise+garbageSize])
}

func (h *herd) sendPings(c *conn) { h.send(c, pings) }

func (h *herd) sendFragments(c *conn) {
	if c.sent == 0 {
		c.sent = 1
		h.send(c, first)
		return
	}
	h.send(c, fragments)
}

func (h *herd) sendTiny(c *conn) { h.send(c, tiny) }

func (h *herd) sendBig(c *conn) { h.send(c, big) }

// reset ends a connection with RST.
func (h *herd) reset(c *conn) {
	// Where it fails the socket is broken already.
	_ = unix.SetsockoptLinger(int(c.fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	h.counts.Reset++
	h.drop(c)
}

// resetsPerRound is how many are reset at a time, so that they spread over the fan-out.
const resetsPerRound = 25

// resetSome resets some connections while a fan-out arrives, as many for each as can come back in a
// second.
func (h *herd) resetSome() {
	for n := 0; n < resetsPerRound && h.resets > 0; n++ {
		h.resets--
		c := h.next(&h.victim)
		if c == nil {
			return
		}
		h.reset(c)
	}
}

// vanish has the kernel drop whatever comes for the connection: no ACK goes back any more.
func (h *herd) vanish(c *conn) {
	dropAll := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}
	program := unix.SockFprog{Len: 1, Filter: &dropAll}
	if err := unix.SetsockoptSockFprog(int(c.fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program); err != nil {
		h.counts.fail("vanishing", err)
	}
}
