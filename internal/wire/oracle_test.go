package wire

import (
	"encoding/binary"
	"sync"
	"unicode/utf8"
)

// outcome is what came of feeding bytes to a Decoder, or to the oracle.
type outcome struct {
	got    []message
	middle bool
	code   uint16
}

// oracle is a Decoder that has no state: it reads the whole input from its
// start, slowly, and says what has to come of it.
func oracle(in []byte, r Rules) (o outcome) {
	var started OpCode // of the message that is put together, 0 for none
	var data []byte
	fail := func(code uint16) outcome {
		o.code = code
		return o
	}
	for len(in) > 0 {
		o.middle = true
		if len(in) < 2 {
			return o
		}
		fin := in[0]&0x80 != 0
		op := OpCode(in[0] & 0x0f)
		masked := in[1]&0x80 != 0
		control := op >= 8
		switch {
		case in[0]&0x70 != 0,
			op > 2 && op < 8, op > 10,
			masked == r.Client,
			control && !fin,
			op == 0 && started == 0,
			!control && op != 0 && started != 0:
			return fail(CloseProtocolError)
		}
		length, pos := uint64(in[1]&0x7f), 2
		if width := map[uint64]int{126: 2, 127: 8}[length]; width > 0 {
			if len(in) < 2+width {
				return o
			}
			var wide [8]byte
			copy(wide[8-width:], in[2:2+width])
			length, pos = binary.BigEndian.Uint64(wide[:]), 2+width
			if length > 1<<63-1 || width == 2 && length < 126 || width == 8 && length < 65536 {
				return fail(CloseProtocolError)
			}
		}
		if control && length > 125 {
			return fail(CloseProtocolError)
		}
		if !control && length > uint64(r.MaxMessage-len(data)) {
			return fail(CloseMessageTooBig)
		}
		var mask [4]byte
		if masked {
			if len(in) < pos+4 {
				return o
			}
			copy(mask[:], in[pos:])
			pos += 4
		}
		payload := append([]byte(nil), in[pos:min(uint64(len(in)), uint64(pos)+length)]...)
		whole := uint64(len(payload)) == length
		for i := range payload {
			payload[i] ^= mask[i%4]
		}
		in = in[pos+len(payload):]
		if control {
			if !whole {
				return o
			}
			o.got = append(o.got, message{op, string(payload)})
			o.middle = started != 0
			continue
		}
		if op != 0 {
			started = op
		}
		data = append(data, payload...)
		if started == OpText {
			if whole && fin && !utf8.Valid(data) || !canBeText(data) {
				return fail(CloseInvalidPayload)
			}
		}
		if !whole {
			return o
		}
		if fin {
			o.got = append(o.got, message{started, string(data)})
			o.middle, started, data = false, 0, nil
		}
	}
	return o
}

// canBeText reports whether b is the start of some valid UTF-8.
func canBeText(b []byte) bool {
	for n := 0; n <= min(3, len(b)); n++ {
		head, tail := b[:len(b)-n], b[len(b)-n:]
		if utf8.Valid(head) && (n == 0 || runeStarts()[string(tail)]) {
			return true
		}
	}
	return false
}

// runeStarts holds the start of every rune's encoding, found by encoding them
// all.
var runeStarts = sync.OnceValue(func() map[string]bool {
	starts := make(map[string]bool)
	var buf [utf8.UTFMax]byte
	for r := rune(0); r <= utf8.MaxRune; r++ {
		if !utf8.ValidRune(r) {
			continue
		}
		for n := utf8.EncodeRune(buf[:], r) - 1; n > 0; n-- {
			starts[string(buf[:n])] = true
		}
	}
	return starts
})
