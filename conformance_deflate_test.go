package hubbub

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
)

// compressing is echoes with permessage-deflate (RFC 7692), for messages of any
// size.
func compressing() Config {
	cfg := echoes()
	cfg.Compress, cfg.CompressMin = true, 1
	return cfg
}

// deflateTerms are the parameters of an offer or an answer (RFC 7692 section
// 7.1). Of the bits, 0 means that the parameter isn't there, and anyBits that it
// is there without a value.
type deflateTerms struct {
	serverNoContext, clientNoContext bool
	serverBits, clientBits           int
}

const anyBits = -1

// parseTerms reads one member of Sec-WebSocket-Extensions. It takes nothing but
// what is right.
func parseTerms(s string) (terms deflateTerms, err error) {
	params := strings.Split(s, ";")
	if strings.TrimSpace(params[0]) != "permessage-deflate" {
		return terms, fmt.Errorf("%q isn't permessage-deflate", s)
	}
	seen := map[string]bool{}
	for _, p := range params[1:] {
		name, value, hasValue := strings.Cut(p, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if unquoted, err := strconv.Unquote(value); err == nil {
			value = unquoted
		}
		if seen[name] {
			return terms, fmt.Errorf("%q has %s twice", s, name)
		}
		seen[name] = true
		bits := 0
		for n := 8; n <= 15; n++ {
			if value == strconv.Itoa(n) {
				bits = n
			}
		}
		switch {
		case name == "server_no_context_takeover" && !hasValue:
			terms.serverNoContext = true
		case name == "client_no_context_takeover" && !hasValue:
			terms.clientNoContext = true
		case name == "server_max_window_bits" && bits > 0:
			terms.serverBits = bits
		case name == "client_max_window_bits" && bits > 0:
			terms.clientBits = bits
		case name == "client_max_window_bits" && !hasValue:
			terms.clientBits = anyBits
		default:
			return terms, fmt.Errorf("%q has %s=%q", s, name, value)
		}
	}
	return terms, nil
}

// answers reports whether a may be the answer to the offer (sections 7.1.1.1 to
// 7.1.2.2).
func (a deflateTerms) answers(offer deflateTerms) bool {
	switch {
	case offer.serverNoContext && !a.serverNoContext:
	case offer.serverBits > 0 && (a.serverBits == 0 || a.serverBits > offer.serverBits):
	case a.clientBits == anyBits:
	case a.clientBits > 0 && (offer.clientBits == 0 || offer.clientBits > 0 && a.clientBits > offer.clientBits):
	default:
		return true
	}
	return false
}

// A deflatePeer is a peer that has agreed on permessage-deflate.
type deflatePeer struct {
	*peer
	agreed deflateTerms
	out    bytes.Buffer
	w      *flate.Writer
	seen   []byte // of the server's messages, what it may refer to
}

// deflateField is the request's field with the offers.
func deflateField(offers string) string { return "Sec-WebSocket-Extensions: " + offers }

// openDeflate opens a connection to /echo; the first of the offers that the
// answer may belong to is taken to be what it belongs to.
func openDeflate(t *testing.T, dial transport, offers string) *deflatePeer {
	t.Helper()
	p := reach(t, dial)
	p.send(asking(deflateField(offers)))
	d := &deflatePeer{peer: p}
	answer := p.answered().Values("Sec-WebSocket-Extensions")
	if len(answer) != 1 {
		t.Fatalf("%q is answered %q, want permessage-deflate", offers, answer)
	}
	var err error
	if d.agreed, err = parseTerms(answer[0]); err != nil {
		t.Fatalf("the answer: %v", err)
	}
	for _, s := range strings.Split(offers, ",") {
		if offer, err := parseTerms(s); err == nil && d.agreed.answers(offer) {
			// An offer of it is a promise (section 7.1.1.2).
			d.agreed.clientNoContext = d.agreed.clientNoContext || offer.clientNoContext
			level := flate.DefaultCompression
			if d.agreed.clientBits > 0 && d.agreed.clientBits < 15 {
				level = flate.HuffmanOnly // compress/flate has just one window; this way it has none
			}
			d.w, _ = flate.NewWriter(&d.out, level)
			return d
		}
	}
	t.Fatalf("%q is no answer to %q", answer[0], offers)
	return nil
}

// deflate compresses a message (section 7.2.1).
func (d *deflatePeer) deflate(s string) string {
	if s == "" {
		return "\x00" // section 7.2.3.6
	}
	if d.agreed.clientNoContext {
		d.w.Reset(&d.out)
	}
	d.out.Reset()
	io.WriteString(d.w, s)
	d.w.Flush()
	return strings.TrimSuffix(d.out.String(), "\x00\x00\xff\xff")
}

// inflate decompresses a message of the server's (section 7.2.2). It doesn't
// know what lies behind the window that was agreed on, and nothing of earlier
// messages if that was agreed on.
func (d *deflatePeer) inflate(s string) (string, error) {
	const tail = "\x00\x00\xff\xff" + "\x01\x00\x00\xff\xff" // and an empty last block
	r := flate.NewReaderDict(strings.NewReader(s+tail), d.seen)
	out, err := io.ReadAll(r)
	if err != nil {
		return "", err
	}
	if !d.agreed.serverNoContext {
		bits := d.agreed.serverBits
		if bits == 0 {
			bits = 15
		}
		d.seen = append(d.seen, out...)
		d.seen = d.seen[max(0, len(d.seen)-1<<bits):]
	}
	return string(out), nil
}

// say sends a compressed message in frames of up to size bytes, 0 for one frame.
func (d *deflatePeer) say(op byte, s string, size int) {
	s = d.deflate(s)
	if size == 0 {
		size = len(s)
	}
	d.send(inFrames(op|rsv1Bit, s, size))
}

// hear reads a message or control frame and returns its opcode, what it says,
// and how many bytes that took compressed; -1 if it wasn't.
func (d *deflatePeer) hear() (op byte, s string, compressed int) {
	d.t.Helper()
	b0, s, err := d.frame()
	if err != nil {
		d.t.Fatal(err)
	}
	op = b0 & 0x0f
	if b0&(rsv2Bit|rsv3Bit) != 0 || op >= opClose && b0&(finBit|rsv1Bit) != finBit {
		d.t.Fatalf("received a frame that begins with %02x", b0)
	}
	for last := b0; last&finBit == 0; {
		b0, more, err := d.frame()
		if err != nil || b0&^finBit != opCont {
			d.t.Fatalf("received a frame that begins with %02x and %v, want a continuation", b0, err)
		}
		last, s = b0, s+more
	}
	if b0&rsv1Bit == 0 {
		return op, s, -1
	}
	out, err := d.inflate(s)
	if err != nil {
		d.t.Fatalf("received % x, which doesn't decompress: %v", s, err)
	}
	return op, out, len(s)
}

// expectSaid reads a message or control frame, compressed or not.
func (d *deflatePeer) expectSaid(op byte, want string) {
	d.t.Helper()
	if gotOp, got, _ := d.hear(); gotOp != op || got != want {
		d.t.Fatalf("received opcode %d %s, want %d %s", gotOp, clipped(got), op, clipped(want))
	}
}

// bye closes the connection, which has to be in order still.
func (d *deflatePeer) bye() {
	d.t.Helper()
	d.send(closeWith(1000, ""))
	d.expectEnd("", 1000)
}
