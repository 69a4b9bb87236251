package hubbub

import (
	"fmt"
	"strings"
	"testing"
)

// RFC 6455 section 5: framing.
func TestConformanceFrames(t *testing.T) {
	conform(t, echoes(), func(t *testing.T, dial transport) {
		runAll(t, dial, headerExchanges())
		runAll(t, dial, lengthExchanges())
		runAll(t, dial, maskExchanges())
		runAll(t, dial, fragmentExchanges())
		runAll(t, dial, controlExchanges())
	})
}

// Section 5.2: opcodes and reserved bits.
func headerExchanges() []exchange {
	hello, helloBack := toServer(wholeText, "hello"), toClient(wholeText, "hello")
	ping := toServer(wholePing, "unanswered")
	all := []exchange{
		ex("5.2", "opcode 1", helloBack, goesOn, hello),
		ex("5.2", "opcode 2", toClient(wholeBinary, "\x00\xff"), goesOn, toServer(wholeBinary, "\x00\xff")),
		ex("5.2", "opcode 0 of nothing", "", 1002, toServer(finBit|opCont, "hello")),
		ex("5.2", "opcode 8", "", 1000, closeWith(1000, "")),
		ex("5.2", "opcode 9", toClient(wholePong, "hello"), goesOn, toServer(wholePing, "hello")),
		ex("5.2", "opcode 10", "", goesOn, toServer(wholePong, "hello")),
		// 5.6: which of both it is matters to the receiver.
		ex("5.6", "the same as text and as binary", toClient(wholeText, "é")+toClient(wholeBinary, "é"), goesOn, toServer(wholeText, "é"), toServer(wholeBinary, "é")),
	}
	for _, op := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		name := fmt.Sprintf("opcode %d, reserved", op)
		all = append(all,
			ex("5.2", name, "", 1002, toServer(finBit|op, "")),
			ex("5.2", name+", with a payload", "", 1002, toServer(finBit|op, "hello")),
			ex("5.2", name+", not final", "", 1002, toServer(op, "hello")),
			ex("5.2", name+", behind a message and before a ping", helloBack, 1002, hello, toServer(finBit|op, "x"), ping),
			ex("5.2", name+", within a message", "", 1002, toServer(opText, "hel"), toServer(finBit|op, ""), toServer(finBit|opCont, "lo")),
			ex("5.2", name+", only its first two bytes", "", 1002, string([]byte{finBit | op, maskBit})),
		)
	}
	for rsv := byte(1); rsv < 8; rsv++ {
		bits := rsv << 4
		name := fmt.Sprintf("RSV %03b", rsv)
		all = append(all,
			ex("5.2", name+" on text", "", 1002, toServer(wholeText|bits, "hello")),
			ex("5.2", name+" on binary", "", 1002, toServer(wholeBinary|bits, "hello")),
			ex("5.2", name+" on a ping", "", 1002, toServer(wholePing|bits, "hello")),
			ex("5.2", name+" on a pong", "", 1002, toServer(wholePong|bits, "hello")),
			ex("5.2", name+" on a close", "", 1002, toServer(wholeClose|bits, "\x03\xe8")),
			ex("5.2", name+" on a first fragment", "", 1002, toServer(opText|bits, "hel"), toServer(finBit|opCont, "lo")),
			ex("5.2", name+" on a last fragment", "", 1002, toServer(opText, "hel"), toServer(finBit|opCont|bits, "lo")),
			ex("5.2", name+" behind a message and before a ping", helloBack, 1002, hello, toServer(wholeText|bits, "x"), ping),
		)
	}
	return all
}

// Section 5.2: payload length.
func lengthExchanges() []exchange {
	var all []exchange
	for _, n := range []int{0, 1, 2, 3, 4, 5, 124, 125, 126, 127, 128, 255, 256, 65534, 65535, 65536, 65537, 1 << 20} {
		s := strings.Repeat("0123456789abcde", n/15+1)[:n]
		all = append(all,
			ex("5.2", fmt.Sprintf("text of %d bytes", n), toClient(wholeText, s), goesOn, toServer(wholeText, s)),
			ex("5.2", fmt.Sprintf("binary of %d bytes", n), toClient(wholeBinary, s), goesOn, toServer(wholeBinary, s)),
		)
	}
	for _, b0 := range []byte{wholeText, wholeBinary, wholePing} {
		h := string([]byte{b0})
		for _, tt := range []struct{ name, length string }{
			{"16 bits for 0", "\xfe\x00\x00"},
			{"16 bits for 1", "\xfe\x00\x01"},
			{"16 bits for 125", "\xfe\x00\x7d"},
			{"64 bits for 0", "\xff\x00\x00\x00\x00\x00\x00\x00\x00"},
			{"64 bits for 125", "\xff\x00\x00\x00\x00\x00\x00\x00\x7d"},
			{"64 bits for 126", "\xff\x00\x00\x00\x00\x00\x00\x00\x7e"},
			{"64 bits for 65535", "\xff\x00\x00\x00\x00\x00\x00\xff\xff"},
			{"the highest bit of 64, alone", "\xff\x80\x00\x00\x00\x00\x00\x00\x00"},
			{"the highest bit of 64, with a small length", "\xff\x80\x00\x00\x00\x00\x00\x00\x05"},
			{"all of 64 bits", "\xff\xff\xff\xff\xff\xff\xff\xff\xff"},
		} {
			name := fmt.Sprintf("%s, first byte %02x", tt.name, b0)
			all = append(all,
				ex("5.2", name, "", 1002, h+tt.length, "\x00\x00\x00\x00", strings.Repeat("a", 200)),
				ex("5.2", name+", and no more", "", 1002, h+tt.length),
			)
		}
	}
	return append(all,
		ex("7.4.1", "a length that is too big", "", 1009, "\x82\xff\x00\x00\x00\x00\x00\x10\x00\x01"),
		ex("7.4.1", "the biggest length", "", 1009, "\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff"),
		ex("7.4.1", "too big in two fragments", "", 1009, toServer(opBinary, strings.Repeat("a", 1<<20)), toServer(opCont, ""), "\x80\x81"),
		ex("7.4.1", "too big behind a message", toClient(wholeText, "a"), 1009, toServer(wholeText, "a"), "\x82\xff\x00\x00\x00\x00\x00\x10\x00\x01"),
		ex("7.4.1", "as big as may be in two fragments, and again",
			strings.Repeat(toClient(wholeBinary, strings.Repeat("a", 1<<20)), 2), goesOn,
			strings.Repeat(inFrames(opBinary, strings.Repeat("a", 1<<20), 1<<19), 2)),
	)
}

// Sections 5.1 and 5.3: masking.
func maskExchanges() []exchange {
	with := func(b0 byte, mask, payload string) string {
		return frameHeader(b0, maskBit, len(payload)) + mask + xorMask(payload, [4]byte([]byte(mask)))
	}
	all := []exchange{
		ex("5.7", "the masked text", toClient(wholeText, "Hello"), goesOn, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"),
		ex("5.7", "the masked pong", "", goesOn, "\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"),
		ex("5.3", "a mask of zeros", toClient(wholeText, "hello"), goesOn, with(wholeText, "\x00\x00\x00\x00", "hello")),
		ex("5.3", "a mask of ones", toClient(wholeText, "hello"), goesOn, with(wholeText, "\xff\xff\xff\xff", "hello")),
		ex("5.3", "a mask for each fragment", toClient(wholeText, "abcdefghi"), goesOn,
			with(opText, "\x01\x02\x03\x04", "abc"), with(opCont, "\xf1\xe2\xd3\xc4", "def"), with(finBit|opCont, "\x00\x00\x00\x01", "ghi")),
		ex("5.3", "a mask for the ping between fragments", toClient(wholePong, "12345")+toClient(wholeText, "abcdef"), goesOn,
			with(opText, "\x01\x02\x03\x04", "abc"), with(wholePing, "\x99\x88\x77\x66", "12345"), with(finBit|opCont, "\x05\x06\x07\x08", "def")),
		ex("5.3", "a payload that masks to zeros", toClient(wholeBinary, "\x37\xfa\x21\x3d\x37"), goesOn, with(wholeBinary, "\x37\xfa\x21\x3d", "\x37\xfa\x21\x3d\x37")),
	}
	for _, tt := range []struct {
		name string
		b0   byte
		s    string
	}{
		{"text", wholeText, "hello"},
		{"empty text", wholeText, ""},
		{"binary", wholeBinary, "hello"},
		{"ping", wholePing, "hello"},
		{"empty ping", wholePing, ""},
		{"pong", wholePong, "hello"},
		{"close", wholeClose, "\x03\xe8"},
		{"empty close", wholeClose, ""},
		{"text of 126 bytes", wholeText, strings.Repeat("a", 126)},
		{"text of 65536 bytes", wholeText, strings.Repeat("a", 65536)},
	} {
		all = append(all,
			ex("5.1", "unmasked "+tt.name, "", 1002, toClient(tt.b0, tt.s)),
			ex("5.1", "unmasked "+tt.name+" behind a message", toClient(wholeText, "a"), 1002, toServer(wholeText, "a"), toClient(tt.b0, tt.s), toServer(wholePing, "")))
	}
	return append(all, ex("5.1", "unmasked last fragment", "", 1002, toServer(opText, "a"), toClient(finBit|opCont, "b")))
}

// Section 5.4: fragmentation.
func fragmentExchanges() []exchange {
	a, b, c := toServer(opText, "a"), toServer(opCont, "b"), toServer(finBit|opCont, "c")
	abc := toClient(wholeText, "abc")
	ping, pong := toServer(wholePing, "p"), toClient(wholePong, "p")
	return []exchange{
		ex("5.4", "three fragments", abc, goesOn, a, b, c),
		ex("5.4", "two fragments", toClient(wholeText, "ac"), goesOn, a, c),
		ex("5.4", "binary fragments", toClient(wholeBinary, "\xffbc"), goesOn, toServer(opBinary, "\xff"), b, c),
		ex("5.4", "two fragmented messages", abc+toClient(wholeBinary, "xc"), goesOn, a, b, c, toServer(opBinary, "x"), c),
		ex("5.4", "fragmented, then whole", abc+toClient(wholeText, "x"), goesOn, a, b, c, toServer(wholeText, "x")),
		ex("5.4", "all fragments empty", toClient(wholeText, ""), goesOn, toServer(opText, ""), toServer(opCont, ""), toServer(finBit|opCont, "")),
		ex("5.4", "the first fragment empty", toClient(wholeText, "bc"), goesOn, toServer(opText, ""), b, c),
		ex("5.4", "the last fragment empty", toClient(wholeText, "ab"), goesOn, a, b, toServer(finBit|opCont, "")),
		ex("5.4", "the middle fragments empty", toClient(wholeText, "ac"), goesOn, a, toServer(opCont, ""), toServer(opCont, ""), c),
		ex("5.4", "100 empty fragments", toClient(wholeText, "ac"), goesOn, a, strings.Repeat(toServer(opCont, ""), 100), c),
		ex("5.4", "fragments of one byte", toClient(wholeText, strings.Repeat("ab", 2000)), goesOn, inFrames(opText, strings.Repeat("ab", 2000), 1)),
		ex("5.4", "fragments of all forms of length", toClient(wholeBinary, strings.Repeat("x", 125+126+65535+65536)), goesOn,
			toServer(opBinary, strings.Repeat("x", 125)), toServer(opCont, strings.Repeat("x", 126)),
			toServer(opCont, strings.Repeat("x", 65535)), toServer(finBit|opCont, strings.Repeat("x", 65536))),

		ex("5.4", "a ping between fragments is answered before the message is", pong+abc, goesOn, a, ping, b, c),
		ex("5.4", "a ping behind each fragment", pong+pong+abc+pong, goesOn, a, ping, b, ping, c, ping),
		ex("5.4", "a pong between fragments", abc, goesOn, a, toServer(wholePong, "x"), b, toServer(wholePong, ""), c),
		ex("5.4", "a close between fragments", "", 1000, a, closeWith(1000, ""), c),
		ex("5.4", "a close behind the last fragment", abc, 1000, a, b, c, closeWith(1000, "")),

		ex("5.4", "a continuation of nothing, final", "", 1002, c),
		ex("5.4", "a continuation of nothing, not final", "", 1002, b),
		ex("5.4", "an empty continuation of nothing", "", 1002, toServer(finBit|opCont, "")),
		ex("5.4", "a continuation of nothing, then text", "", 1002, c, toServer(wholeText, "x")),
		ex("5.4", "a continuation of a whole message", toClient(wholeText, "x"), 1002, toServer(wholeText, "x"), c),
		ex("5.4", "a continuation of a message that has had its last", abc, 1002, a, b, c, c),
		ex("5.4", "a continuation of a ping", pong, 1002, ping, c),
		ex("5.4", "whole text within text", "", 1002, a, toServer(wholeText, "x"), c),
		ex("5.4", "whole binary within text", "", 1002, a, toServer(wholeBinary, "x"), c),
		ex("5.4", "a second beginning of text", "", 1002, a, a, c),
		ex("5.4", "a beginning of binary within text", "", 1002, a, toServer(opBinary, "x"), c),
		ex("5.4", "a beginning of text within binary", "", 1002, toServer(opBinary, "x"), a, c),
		ex("5.4", "an empty message within a message", "", 1002, a, toServer(wholeText, ""), c),
		ex("5.4", "a message within a message of empty fragments", "", 1002, toServer(opText, ""), toServer(wholeText, "")),
		ex("5.4", "a message within a message, behind a ping", pong, 1002, a, ping, toServer(wholeText, "x"), c),
	}
}

// Section 5.5: control frames.
func controlExchanges() []exchange {
	a125, a126 := strings.Repeat("a", 125), strings.Repeat("a", 126)
	var pings, pongs []string
	for i := range 10 {
		pings = append(pings, toServer(wholePing, fmt.Sprint("ping ", i)))
		pongs = append(pongs, toClient(wholePong, fmt.Sprint("ping ", i)))
	}
	all := []exchange{
		ex("5.5.2", "an empty ping", toClient(wholePong, ""), goesOn, toServer(wholePing, "")),
		ex("5.5.2", "a ping of 125 bytes", toClient(wholePong, a125), goesOn, toServer(wholePing, a125)),
		ex("5.5.2", "a ping that isn't text", toClient(wholePong, "\x00\xff\xfe"), goesOn, toServer(wholePing, "\x00\xff\xfe")),
		ex("5.5.2", "ten pings", strings.Join(pongs, ""), goesOn, pings...),
		ex("5.5.2", "pings and messages in turn", toClient(wholeText, "1")+toClient(wholePong, "2")+toClient(wholeText, "3")+toClient(wholePong, "4"), goesOn,
			toServer(wholeText, "1"), toServer(wholePing, "2"), toServer(wholeText, "3"), toServer(wholePing, "4")),
		ex("5.5.3", "an empty pong that nobody asked for", "", goesOn, toServer(wholePong, "")),
		ex("5.5.3", "a pong of 125 bytes that nobody asked for", "", goesOn, toServer(wholePong, a125)),
		ex("5.5.3", "a pong, then a ping", toClient(wholePong, "b"), goesOn, toServer(wholePong, "a"), toServer(wholePing, "b")),
		ex("5.5.3", "ten pongs", "", goesOn, strings.Repeat(toServer(wholePong, "x"), 10)),
	}
	for _, tt := range []struct {
		name string
		b0   byte
	}{{"ping", wholePing}, {"pong", wholePong}, {"close", wholeClose}} {
		all = append(all,
			ex("5.5", "a "+tt.name+" of 126 bytes", "", 1002, toServer(tt.b0, "\x03\xe8"+a126[2:])),
			ex("5.5", "a "+tt.name+" of 126 bytes, only its length", "", 1002, frameHeader(tt.b0, maskBit, 126)),
			ex("5.5", "a "+tt.name+" of 65535 bytes", "", 1002, toServer(tt.b0, strings.Repeat("a", 65535))),
			ex("5.5", "a "+tt.name+" of 65536 bytes", "", 1002, toServer(tt.b0, strings.Repeat("a", 65536))),
			ex("5.5", "a fragmented "+tt.name, "", 1002, toServer(tt.b0&^finBit, "\x03\xe8"), toServer(finBit|opCont, "b")),
			ex("5.5", "an empty fragmented "+tt.name, "", 1002, toServer(tt.b0&^finBit, "")),
			ex("5.5", "a fragmented "+tt.name+" within a message", "", 1002, toServer(opText, "a"), toServer(tt.b0&^finBit, ""), toServer(finBit|opCont, "b")),
		)
	}
	return all
}
