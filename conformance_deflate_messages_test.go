package hubbub

import (
	"fmt"
	"strings"
	"testing"
)

// A deflateCase is what is sent once permessage-deflate is agreed on.
type deflateCase struct {
	section string // of RFC 7692, unless it says otherwise
	name    string
	chunks  []string
	want    []deflateMessage
	code    int
}

type deflateMessage struct {
	op byte
	s  string
}

const compressedText, compressedBinary = wholeText | rsv1Bit, wholeBinary | rsv1Bit

// Messages compressed by hand.
const (
	helloDeflated = "\xf2\x48\xcd\xc9\xc9\x07\x00"                 // "Hello"
	badDeflated   = "\x01\x03\x00\xfc\xffa\xff!" + "\x00"          // "a\xff!"
	cutDeflated   = "\x00\x03\x00\xfc\xffa\xe2\x82" + "\x00"       // "a" and two bytes of "€"
	twoDeflated   = "\x00\x01\x00\xfe\xff\xe2\x00\x02\x00\xfd\xff" // two blocks with "€"
)

func deflateCases() []deflateCase {
	said := func(s string) []deflateMessage { return []deflateMessage{{opText, s}} }
	hello := toServer(compressedText, helloDeflated)
	three := func(a, b, c string) []string {
		return []string{toServer(opText|rsv1Bit, a), toServer(opCont, b), toServer(finBit|opCont, c)}
	}
	one := func(b0 byte, s string) []string { return []string{toServer(b0, s)} }
	helloHello := []deflateMessage{{opText, "Hello"}, {opText, "Hello"}}
	return []deflateCase{
		// The examples.
		{"7.2.3.1", "one block", one(compressedText, helloDeflated), said("Hello"), goesOn},
		{"7.2.3.1", "one block in two frames", []string{toServer(opText|rsv1Bit, "\xf2\x48\xcd"), toServer(finBit|opCont, "\xc9\xc9\x07\x00")}, said("Hello"), goesOn},
		{"7.2.3.2", "the same again", []string{hello, hello}, helloHello, goesOn},
		{"7.2.3.3", "a block without compression", one(compressedText, "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"), said("Hello"), goesOn},
		{"7.2.3.4", "a last block", one(compressedText, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), said("Hello"), goesOn},
		{"7.2.3.4", "a message behind one with a last block", []string{toServer(compressedText, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), hello}, helloHello, goesOn},
		{"7.2.3.5", "two blocks", one(compressedText, "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"), said("Hello"), goesOn},
		{"7.2.3.6", "an empty message", one(compressedText, "\x00"), said(""), goesOn},
		{"7.2.3.6", "an empty binary message", one(compressedBinary, "\x00"), []deflateMessage{{opBinary, ""}}, goesOn},
		{"7.2.3.6", "an empty message of a block with nothing in it", one(compressedText, "\x02\x00"), said(""), goesOn},
		{"7.2.3.6", "an empty message between two", []string{hello, toServer(compressedText, "\x00"), hello}, []deflateMessage{{opText, "Hello"}, {opText, ""}, {opText, "Hello"}}, goesOn},

		// Fragments.
		{"6.1", "three frames", three("\xf2\x48", "\xcd\xc9\xc9", "\x07\x00"), said("Hello"), goesOn},
		{"6.1", "the first frame empty", three("", helloDeflated, ""), said("Hello"), goesOn},
		{"6.1", "the last frames empty", three(helloDeflated, "", ""), said("Hello"), goesOn},
		{"6.1", "a frame for each byte", one1(inFrames(opText|rsv1Bit, helloDeflated, 1)), said("Hello"), goesOn},
		{"6.1", "a ping between frames", []string{toServer(opText|rsv1Bit, "\xf2\x48\xcd"), toServer(wholePing, "p"), toServer(finBit|opCont, "\xc9\xc9\x07\x00")},
			[]deflateMessage{{opPong, "p"}, {opText, "Hello"}}, goesOn},
		{"6.1", "a close between frames", []string{toServer(opText|rsv1Bit, "\xf2\x48\xcd"), closeWith(1000, ""), toServer(finBit|opCont, "\xc9\xc9\x07\x00")}, nil, 1000},
		{"6.1", "two messages in frames", append(three("\xf2\x48", "\xcd\xc9\xc9", "\x07\x00"), three("\xf2\x48", "\xcd\xc9\xc9", "\x07\x00")...), helloHello, goesOn},

		// What isn't compressed.
		{"6", "a message that isn't compressed", one(wholeText, "Hello"), said("Hello"), goesOn},
		{"6", "messages that are and that aren't", []string{hello, toServer(wholeBinary, "\xff"), hello, toServer(opText, "a"), toServer(finBit|opCont, "b"), hello},
			[]deflateMessage{{opText, "Hello"}, {opBinary, "\xff"}, {opText, "Hello"}, {opText, "ab"}, {opText, "Hello"}}, goesOn},
		{"6", "an empty message that isn't compressed", one(wholeText, ""), said(""), goesOn},
		{"6", "a ping and a pong", []string{toServer(wholePing, helloDeflated), toServer(wholePong, helloDeflated)}, []deflateMessage{{opPong, helloDeflated}}, goesOn},

		// Reserved bits.
		{"6", "RSV1 on a ping", one(wholePing|rsv1Bit, ""), nil, 1002},
		{"6", "RSV1 on a pong", one(wholePong|rsv1Bit, ""), nil, 1002},
		{"6", "RSV1 on a close", one(wholeClose|rsv1Bit, ""), nil, 1002},
		{"6", "RSV1 on a ping between frames", []string{toServer(opText|rsv1Bit, "\xf2"), toServer(wholePing|rsv1Bit, "")}, nil, 1002},
		{"6.1", "RSV1 on a last frame", []string{toServer(opText|rsv1Bit, "\xf2\x48\xcd"), toServer(finBit|opCont|rsv1Bit, "\xc9\xc9\x07\x00")}, nil, 1002},
		{"6.1", "RSV1 on a middle frame", []string{toServer(opText|rsv1Bit, "\xf2\x48\xcd"), toServer(opCont|rsv1Bit, "\xc9\xc9\x07\x00")}, nil, 1002},
		{"6.1", "RSV1 only on a last frame", []string{toServer(opBinary, "\xf2\x48\xcd"), toServer(finBit|opCont|rsv1Bit, "\xc9\xc9\x07\x00")}, nil, 1002},
		{"6.1", "RSV1 on a continuation of nothing", one(finBit|opCont|rsv1Bit, helloDeflated), nil, 1002},
		{"6", "RSV1 on an opcode that is reserved", one(finBit|3|rsv1Bit, helloDeflated), nil, 1002},
		{"RFC 6455 5.2", "RSV2", one(wholeText|rsv2Bit, "Hello"), nil, 1002},
		{"RFC 6455 5.2", "RSV3", one(wholeText|rsv3Bit, "Hello"), nil, 1002},
		{"RFC 6455 5.2", "RSV1 and RSV2", one(compressedText|rsv2Bit, helloDeflated), nil, 1002},
		{"RFC 6455 5.2", "RSV1 and RSV3", one(compressedBinary|rsv3Bit, helloDeflated), nil, 1002},
		{"RFC 6455 5.4", "a message within a compressed one", []string{toServer(opText|rsv1Bit, "\xf2\x48\xcd"), hello}, nil, 1002},
		{"RFC 6455 5.1", "compressed, but not masked", []string{toClient(compressedText, helloDeflated)}, nil, 1002},
		{"6", "RSV1 on a ping, behind a message", []string{hello, toServer(wholePing|rsv1Bit, "")}, said("Hello"), 1002},

		// What can't be decompressed.
		{"7.2.2", "a block of type 3", one(compressedText, "\x07"), nil, 1007},
		{"7.2.2", "a block of type 3, behind a good one", one(compressedText, "\xf2\x48\x05\x00\x00\x00\xff\xff\x06"), nil, 1007},
		{"7.2.2", "a stored block whose lengths don't agree", one(compressedBinary, "\x00\x05\x00\xfa\xfeHello\x00"), nil, 1007},
		{"7.2.2", "a stored block that isn't all there", one(compressedBinary, "\x00\xff\x00\x00\xffHello"), nil, 1007},
		{"7.2.2", "all bits set", one(compressedBinary, strings.Repeat("\xff", 100)), nil, 1007},
		{"7.2.2", "plain text", one(compressedText, "this isn't compressed at all"), nil, 1007},
		{"7.2.2", "a distance before the beginning", one(compressedText, "\xf2\x00\x11\x00\x00"), nil, 1007},
		{"7.2.2", "a block that isn't over", one(compressedText, "\xf2\x48\xcd"), nil, 1007},
		{"7.2.2", "garbage in fragments", three("\x00\x05\x00", "\xfa\xfeHel", "lo\x00"), nil, 1007},
		{"7.2.2", "garbage behind a message", []string{hello, toServer(compressedText, "\x07"), hello, toServer(wholePing, "")}, said("Hello"), 1007},

		// Text.
		{"RFC 6455 8.1", "bad text", one(compressedText, badDeflated), nil, 1007},
		{"RFC 6455 8.1", "the same as binary", one(compressedBinary, badDeflated), []deflateMessage{{opBinary, "a\xff!"}}, goesOn},
		{"RFC 6455 8.1", "text that ends within a rune", one(compressedText, cutDeflated), nil, 1007},
		{"RFC 6455 8.1", "a rune in two blocks", one(compressedText, twoDeflated+"\x82\xac\x00"), said("€"), goesOn},
		{"RFC 6455 8.1", "compressed bytes that aren't text, in fragments", three("\xf2", "\x48\xcd\xc9", "\xc9\x07\x00"), said("Hello"), goesOn},
		{"RFC 6455 8.1", "bad text that isn't compressed", one(wholeText, "\xff"), nil, 1007},
	}
}

func one1(s string) []string { return []string{s} }

// RFC 7692 sections 6 and 7.2.
func TestConformanceDeflateMessages(t *testing.T) {
	conform(t, compressing(), func(t *testing.T, dial transport) {
		for _, tt := range deflateCases() {
			all := strings.Join(tt.chunks, "")
			t.Run(tt.section+" "+tt.name, func(t *testing.T) {
				for _, way := range []struct {
					name string
					send func(d *deflatePeer)
				}{
					{"in chunks", func(d *deflatePeer) { d.send(tt.chunks...) }},
					{"at once", func(d *deflatePeer) { d.send(all) }},
					{"octet-wise", func(d *deflatePeer) { d.chop(all, 1) }},
				} {
					t.Run(way.name, func(t *testing.T) {
						d := openDeflate(t, dial, "permessage-deflate; client_max_window_bits")
						way.send(d)
						for _, m := range tt.want {
							d.expectSaid(m.op, m.s)
						}
						if tt.code == goesOn {
							d.bye()
						} else {
							d.expectEnd("", tt.code)
						}
					})
				}
			})
		}
		// The second example of section 7.2.3.2 refers to the message before: it
		// may, unless client_no_context_takeover was agreed on.
		t.Run("7.2.3.2 taking over the context", func(t *testing.T) {
			d := openDeflate(t, dial, "permessage-deflate")
			d.send(toServer(compressedText, helloDeflated), toServer(compressedText, "\xf2\x00\x11\x00\x00"))
			d.expectSaid(opText, "Hello")
			if d.agreed.clientNoContext {
				d.expectEnd("", 1007)
				return
			}
			d.expectSaid(opText, "Hello")
			d.bye()
		})
		t.Run("7.2 the server compresses", func(t *testing.T) {
			d := openDeflate(t, dial, "permessage-deflate")
			s := strings.Repeat("It does make a difference. ", 1000)
			d.send(toServer(wholeText, s))
			if op, got, n := d.hear(); op != opText || got != s || n < 0 || n > len(s)/10 {
				t.Errorf("%d bytes come back as %d (opcode %d), compressed to %d", len(s), len(got), op, n)
			}
			d.bye()
		})
		t.Run("7.1 not offered", func(t *testing.T) {
			p := openEcho(t, dial)
			p.send(toServer(compressedText, helloDeflated))
			p.expectEnd("", 1002)
		})
	})
}

// RFC 6455 sections 7.4.1 and 10.4: the limit is on what comes out.
func TestConformanceDeflateLimits(t *testing.T) {
	const limit = 64 << 10
	cfg := compressing()
	cfg.MaxMessage = limit
	conform(t, cfg, func(t *testing.T, dial transport) {
		for _, tt := range []struct {
			name string
			n    int
			code int
		}{
			{"as big as may be", limit, goesOn},
			{"one byte too big", limit + 1, 1009},
			{"twice too big", 2 * limit, 1009},
		} {
			for op, kind := range []string{opText: "text", opBinary: "binary"} {
				for _, size := range []int{0, 10} {
					if kind == "" {
						continue
					}
					t.Run(fmt.Sprintf("7.4.1 %s, %s in frames of %d", tt.name, kind, size), func(t *testing.T) {
						d := openDeflate(t, dial, "permessage-deflate")
						s := strings.Repeat("\x00", tt.n)
						d.say(byte(op), s, size)
						if tt.code == goesOn {
							d.expectSaid(byte(op), s)
							d.bye()
							return
						}
						d.expectEnd("", tt.code)
					})
				}
			}
		}
		for _, size := range []int{limit, 100} {
			t.Run(fmt.Sprintf("10.4 a bomb in frames of %d", size), func(t *testing.T) {
				d := openDeflate(t, dial, "permessage-deflate")
				mebibyte := d.deflate(strings.Repeat("\x00", 1<<20))
				bomb := strings.Repeat(mebibyte+"\x00\x00\xff\xff", limit/len(mebibyte)/2) + mebibyte
				d.send(inFrames(opBinary|rsv1Bit, bomb, size))
				d.expectEnd("", 1009)
			})
		}
		t.Run("7.4.1 too big compressed already", func(t *testing.T) {
			d := openDeflate(t, dial, "permessage-deflate")
			d.send(cutFrame(compressedBinary, 2*limit, "\xf2"))
			d.expectEnd("", 1009)
		})
		t.Run("7.4.1 two that are as big as may be", func(t *testing.T) {
			d := openDeflate(t, dial, "permessage-deflate")
			s := strings.Repeat("x", limit)
			d.say(opText, s, 0)
			d.say(opText, s, 7)
			d.expectSaid(opText, s)
			d.expectSaid(opText, s)
			d.bye()
		})
	})
}
