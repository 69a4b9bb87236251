package main

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"hubbub/internal/poller"
	"hubbub/internal/wire"
)

const (
	tick     = 10 * time.Millisecond // how finely paces are kept
	openRate = 5000                  // connections a second until all have been up
	// nap is how long those who read at once let deliveries gather first, as the load generator does:
	// whoever is woken for each costs the server's write more than the write itself.
	nap = 200 * time.Microsecond
	// A pause this long in what arrives is one between two fan-outs.
	fanOutPause = 300 * time.Millisecond
	// What fills the sockets of a stuffed kind, and how long the server gets to deliver it.
	stuffings   = 8
	stuffingFor = 2 * time.Second
)

// herd is all connections and the loop they live on.
type herd struct {
	opts    *options
	kind    *kind
	sys     poller.OS
	epoll   int
	events  []unix.EpollEvent
	buf     []byte
	rules   wire.Rules
	dec     *wire.Decoder // for whatever connection holds none; always settled
	greet   wire.ClientHandshake
	request []byte // of slow-handshake

	conns  []conn
	gone   []*conn // to be opened, in this order from line on
	line   int
	been   int // that have been up
	ready  bool
	counts counts

	opening, turns, looks  pace
	turn, look, victim     int // whose turn it was last
	noise                  int // where garbage was taken from
	arrived                bool
	lastFanOut, stuffUntil time.Time
	resets                 int // that are still due in this fan-out
}

func newHerd(o *options) (*herd, error) {
	h := &herd{
		opts:    o,
		kind:    o.kind,
		events:  make([]unix.EpollEvent, 1024),
		buf:     make([]byte, 64<<10),
		rules:   wire.Rules{Client: true, MaxMessage: 2 << 20},
		dec:     new(wire.Decoder),
		greet:   wire.ClientHandshake{Host: o.host},
		conns:   make([]conn, o.conns),
		counts:  newCounts(o.kind.name, o.conns),
		opening: pace{rate: openRate},
		turns:   pace{rate: o.kind.turns(o.conns, o.pace)},
	}
	if o.kind.takes == lazily || o.kind.takes == aByte {
		h.looks.rate = float64(o.conns)
	}
	copy(h.greet.Key[:], "a hostile client")
	h.greet.Target = o.kind.target(0, o.path, o.query)
	h.request = h.greet.AppendRequest(nil)
	for i := range h.conns {
		h.conns[i] = conn{at: int32(i), fd: -1}
		h.gone = append(h.gone, &h.conns[i])
	}
	var err error
	if h.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("creating epoll: %w", err)
	}
	return h, nil
}

// run opens the connections, says when all have been up, and has them misbehave until it is over.
func (h *herd) run(over func() bool, ready func()) error {
	defer h.close()
	for !over() {
		n, err := unix.EpollWait(h.epoll, h.events, int(tick/time.Millisecond))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("waiting: %w", err)
		}
		if n > 0 && h.ready && h.kind.takes == atOnce {
			pause := unix.NsecToTimespec(int64(nap))
			_ = unix.Nanosleep(&pause, nil) // may be cut short
		}
		for _, e := range h.events[:max(n, 0)] {
			if c := &h.conns[e.Fd]; c.tries == e.Pad && c.state != gone {
				h.event(c, e.Events)
			}
		}
		now := time.Now()
		h.open(h.opening.take(now))
		if !h.ready {
			if h.ready = h.complete(now); h.ready {
				h.opening.rate = h.opts.churn
				ready()
			}
			continue
		}
		h.move(now)
	}
	return nil
}

// complete reports whether every connection has been up, and their sockets are full if they have to
// be.
func (h *herd) complete(now time.Time) bool {
	switch {
	case h.been < len(h.conns):
		return false
	case !h.kind.stuffed:
		return true
	case h.stuffUntil.IsZero():
		h.stuffUntil = now.Add(stuffingFor)
		if c := h.next(&h.turn); c != nil {
			h.send(c, repeat(stuffings, stuffing))
		}
	}
	return now.After(h.stuffUntil)
}

// move gives connections the turns that have come due.
func (h *herd) move(now time.Time) {
	for range h.looks.take(now) {
		if c := h.next(&h.look); c != nil {
			h.read(c, false)
		}
	}
	for range h.turns.take(now) {
		c := h.next(&h.turn)
		if c == nil || c.rest != nil {
			h.counts.Skipped++
			continue
		}
		h.kind.turn(h, c)
		h.counts.Frames += int64(h.kind.frames)
	}
	if h.arrived && h.kind.fanOut != nil {
		if now.Sub(h.lastFanOut) > fanOutPause {
			h.resets = int(h.opts.churn)
		}
		h.lastFanOut = now
		h.kind.fanOut(h)
	}
	h.arrived = false
}

// next returns the connection behind the last one that is up, nil if none is.
func (h *herd) next(last *int) *conn {
	for range h.conns {
		*last = (*last + 1) % len(h.conns)
		if c := &h.conns[*last]; c.state == up {
			return c
		}
	}
	return nil
}

// open opens up to n of the connections that are gone.
func (h *herd) open(n int) {
	for ; n > 0 && h.line < len(h.gone); n-- {
		c := h.gone[h.line]
		h.gone[h.line] = nil
		h.line++
		if err := h.dial(c); err != nil {
			h.counts.fail("connect", err)
			h.drop(c)
		}
	}
	if h.line > len(h.conns) {
		h.gone = append(h.gone[:0], h.gone[h.line:]...)
		h.line = 0
	}
}

func (h *herd) close() {
	for i := range h.conns {
		if c := &h.conns[i]; c.state != gone {
			h.sys.Close(int(c.fd))
		}
	}
	unix.Close(h.epoll)
}
