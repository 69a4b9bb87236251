package main

import (
	"crypto/rand"
	"fmt"
	"strings"

	"hubbub/internal/wire"
)

// topic says where the connections of a kind are subscribed.
type topic uint8

const (
	honest   topic = iota // where the well-behaved are, as the URL says
	aside                 // all of them on one topic of their own
	parties               // ten to a topic
	rooms                 // as many to a topic as the server takes for a small one
	nowhere               // they never get so far
	halfways              // every second one gets to aside
)

// taking says what a connection reads.
type taking uint8

const (
	atOnce taking = iota // everything, as it comes
	lazily               // everything, once a second
	aByte                // one byte, once a second
	nothing
)

// kind is one way to misbehave.
type kind struct {
	name  string
	what  string
	topic topic
	takes taking
	small bool // the smallest receive buffer that there is

	// frames is how many a connection sends at its turn, in one write; perConn and total are the
	// pace where none is asked for, in frames a second, of each connection or of all together.
	frames         int
	perConn, total float64
	turn           func(*herd, *conn) // nil: it has no turns
	up             func(*herd, *conn) // when it has got as far as it gets; may be nil
	fanOut         func(*herd)        // in every round in which a fan-out arrives; may be nil
	stuffed        bool               // their sockets are full before the measurement begins
}

// flood is what all connections of a flood send together, in frames a second.
const flood = 20_000

var kinds = []kind{
	{name: "calm", what: "on the same topic as the others, read everything: the reference"},
	{name: "aside", what: "on a topic of their own on which nothing is said: what the others take by themselves", topic: aside},
	{name: "slow-handshake", what: "send a byte of their handshake each second", topic: nowhere, takes: nothing, frames: 1, perConn: 1, turn: (*herd).sendByte},
	{name: "half-open", what: "connect and say nothing", topic: nowhere, takes: nothing},
	{name: "endless-header", what: "send header fields without end", topic: nowhere, takes: nothing, frames: 5, total: flood, turn: (*herd).sendFields},
	{name: "garbage", what: "send random bytes, every second one after its handshake, and come back", topic: halfways, takes: nothing, frames: 1, perConn: 1, turn: (*herd).sendGarbage, up: (*herd).sendGarbage},
	{name: "ping-flood", what: "send pings, ten to a write", topic: aside, takes: lazily, frames: 10, total: flood, turn: (*herd).sendPings},
	{name: "empty-fragments", what: "send a message of empty fragments without end, ten to a write", topic: aside, takes: lazily, frames: 10, total: flood, turn: (*herd).sendFragments},
	{name: "tiny-frames", what: "publish single bytes to all of themselves", topic: aside, takes: lazily, frames: 1, total: 20, turn: (*herd).sendTiny},
	{name: "rooms", what: "publish single bytes to 256 of themselves: topics that are small to the server", topic: rooms, takes: lazily, frames: 1, total: 2000, turn: (*herd).sendTiny},
	{name: "connect-flood", what: "connect, shake hands, reset", topic: honest, takes: nothing, up: (*herd).reset},
	{name: "never-reads", what: "on the same topic, never read", takes: nothing, small: true},
	{name: "stuffed", what: "as never-reads, their sockets full and their backlogs half full before it begins", takes: nothing, small: true, stuffed: true},
	{name: "trickle", what: "on the same topic, read a byte each second", takes: aByte, small: true},
	{name: "vanish", what: "on the same topic, and then nothing comes back, not even an ACK, as if the machine were gone", takes: nothing, up: (*herd).vanish},
	{name: "reset", what: "on the same topic, reset in the middle of fan-outs, and come back", fanOut: (*herd).resetSome},
	{name: "big-messages", what: "publish messages of 1 MiB to ten of themselves", topic: parties, frames: 1, total: 10, turn: (*herd).sendBig},
}

// parseKind returns the kind of that name.
func parseKind(name string) (*kind, error) {
	var names []string
	for i := range kinds {
		if kinds[i].name == name {
			return &kinds[i], nil
		}
		names = append(names, kinds[i].name)
	}
	return nil, fmt.Errorf("-kind %q: there are %s", name, strings.Join(names, ", "))
}

// turns returns how many turns a second there are in all, for so many connections, where asked is
// the pace in frames that the command line asks for, 0 for the kind's own.
func (k *kind) turns(conns int, asked float64) float64 {
	if k.turn == nil {
		return 0
	}
	if asked == 0 {
		asked = k.total + k.perConn*float64(conns)
	}
	return asked / float64(k.frames)
}

// handshakes reports whether connection i gets through its handshake.
func (k *kind) handshakes(i int) bool {
	return k.topic != nowhere && (k.topic != halfways || i%2 == 1)
}

// The connections to a topic.
const (
	partySize = 10
	roomSize  = 256 // broadcast.DefaultSegment: beyond it the server has no express lane for a topic
)

// target returns the request's target for connection i, where path and query are the URL's.
func (k *kind) target(i int, path, query string) string {
	switch k.topic {
	case aside, halfways:
		return path + "?topic=hostile"
	case parties:
		return fmt.Sprintf("%s?topic=hostile-%d", path, i/partySize)
	case rooms:
		return fmt.Sprintf("%s?topic=hostile-%d", path, i/roomSize)
	}
	if query != "" {
		return path + "?" + query
	}
	return path
}

// What is sent, made once for all.
var (
	mask      = [4]byte{0x12, 0x34, 0x56, 0x78}
	pings     = repeat(10, wire.AppendMaskedFrame(nil, wire.OpPing, []byte("hostile!"), mask))
	fragments = repeat(10, fragment(0))
	first     = fragment(wire.OpText)
	tiny      = wire.AppendMaskedFrame(nil, wire.OpBinary, []byte{1}, mask)
	big       = wire.AppendMaskedFrame(nil, wire.OpBinary, make([]byte, 1<<20), mask)
	stuffing  = wire.AppendMaskedFrame(nil, wire.OpBinary, make([]byte, 60_000), mask)
	fields    = repeat(5, []byte("X-Endless: "+strings.Repeat("and on ", 16)+"\r\n"))
	garbage   = randomBytes(1 << 20)
)

func repeat(n int, p []byte) []byte { return []byte(strings.Repeat(string(p), n)) }

// fragment returns an empty frame that isn't the last of its message.
func fragment(op wire.OpCode) []byte {
	p := wire.AppendMaskedFrame(nil, op, nil, mask)
	p[0] &^= 0x80 // FIN
	return p
}

func randomBytes(n int) []byte {
	p := make([]byte, n)
	_, _ = rand.Read(p) // never fails
	return p
}
