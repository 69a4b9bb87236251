package hubbub

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A textCase is text that is valid or not.
type textCase struct {
	name string
	text string
	// bad is the first byte, from 1, that no text can have here; valid if there
	// is none, and unfinished if only the end of the message shows it.
	bad int
}

const (
	valid      = 0
	unfinished = -1
)

// What Markus Kuhn's "UTF-8 decoder capability and stress test" tries, to the
// rules of RFC 3629, and a letter in each place of a rune.
var textCases = slices.Concat([]textCase{
	{"1 Greek", "κόσμε", valid},
	{"1 runes of one to four bytes", "$¢€𤭢", valid},
	{"2.1.1 first of one byte", "\x00", valid},
	{"2.1.2 first of two bytes", "\xc2\x80", valid},
	{"2.1.3 first of three bytes", "\xe0\xa0\x80", valid},
	{"2.1.4 first of four bytes", "\xf0\x90\x80\x80", valid},
	{"2.1.5 first of five bytes", "\xf8\x88\x80\x80\x80", 1},
	{"2.1.6 first of six bytes", "\xfc\x84\x80\x80\x80\x80", 1},
	{"2.2.1 last of one byte", "\x7f", valid},
	{"2.2.2 last of two bytes", "\xdf\xbf", valid},
	{"2.2.3 last of three bytes", "\xef\xbf\xbf", valid},
	{"2.2.4 last of four bytes", "\xf7\xbf\xbf\xbf", 1},
	{"2.2.5 last of five bytes", "\xfb\xbf\xbf\xbf\xbf", 1},
	{"2.2.6 last of six bytes", "\xfd\xbf\xbf\xbf\xbf\xbf", 1},
	{"2.3.1 before the surrogates", "\xed\x9f\xbf", valid},
	{"2.3.2 behind the surrogates", "\xee\x80\x80", valid},
	{"2.3.3 U+FFFD", "\xef\xbf\xbd", valid},
	{"2.3.4 U+10FFFF", "\xf4\x8f\xbf\xbf", valid},
	{"2.3.5 U+110000", "\xf4\x90\x80\x80", 2},
	{"2.3.5 U+13FFFF", "\xf4\xbf\xbf\xbf", 2},
	{"2.3.5 U+140000", "\xf5\x80\x80\x80", 1},
	{"3.1.1 80", "\x80", 1},
	{"3.1.2 BF", "\xbf", 1},
	{"3.1.3 two continuation bytes", "\x80\xbf", 1},
	{"3.1.6 five continuation bytes", "\x80\xbf\x80\xbf\x80", 1},
	{"3.1.9 one continuation byte too many", "\xc3\xa9\xa9", 3},
	{"3.1.9 one too many behind a rune of four", "\xf0\x9f\x98\x80\x80", 5},
	{"3.3.1 a byte of two", "\xdf", unfinished},
	{"3.3.2 two bytes of three", "\xe0\xa0", unfinished},
	{"3.3.3 three bytes of four", "\xf0\x90\x80", unfinished},
	{"3.3.4 a byte of three", "\xef", unfinished},
	{"3.3.5 a byte of four", "\xf4", unfinished},
	{"3.3.5 two bytes of four", "\xf4\x8f", unfinished},
	{"3.3.7 two bytes of three, the last of them", "\xef\xbf", unfinished},
	{"3.3.8 three bytes of four, the last of them", "\xf4\x8f\xbf", unfinished},
	{"3.3 overlong and unfinished, three bytes", "\xe0\x80", 2},
	{"3.3 overlong and unfinished, four bytes", "\xf0\x80\x80", 2},
	{"3.3 beyond and unfinished, four bytes", "\xf7\xbf\xbf", 1},
	{"3.4 unfinished ones, one behind the other", "\xdf\xef\xbf\xf4\x8f\xbf", 2},
	{"3.5.1 FE", "\xfe", 1},
	{"3.5.2 FF", "\xff", 1},
	{"3.5.3 FE FE FF FF", "\xfe\xfe\xff\xff", 1},
	{"4.1.1 overlong slash, two bytes", "\xc0\xaf", 1},
	{"4.1.2 overlong slash, three bytes", "\xe0\x80\xaf", 2},
	{"4.1.3 overlong slash, four bytes", "\xf0\x80\x80\xaf", 2},
	{"4.1.4 overlong slash, five bytes", "\xf8\x80\x80\x80\xaf", 1},
	{"4.1.5 overlong slash, six bytes", "\xfc\x80\x80\x80\x80\xaf", 1},
	{"4.2.1 overlong U+007F", "\xc1\xbf", 1},
	{"4.2.2 overlong U+07FF", "\xe0\x9f\xbf", 2},
	{"4.2.3 overlong U+FFFF", "\xf0\x8f\xbf\xbf", 2},
	{"4.2.4 overlong U+1FFFFF", "\xf8\x87\xbf\xbf\xbf", 1},
	{"4.2.5 overlong U+3FFFFFF", "\xfc\x83\xbf\xbf\xbf\xbf", 1},
	{"4.3.1 overlong NUL, two bytes", "\xc0\x80", 1},
	{"4.3.2 overlong NUL, three bytes", "\xe0\x80\x80", 2},
	{"4.3.3 overlong NUL, four bytes", "\xf0\x80\x80\x80", 2},
	{"5.1.1 U+D800", "\xed\xa0\x80", 2},
	{"5.1.2 U+DB7F", "\xed\xad\xbf", 2},
	{"5.1.3 U+DB80", "\xed\xae\x80", 2},
	{"5.1.4 U+DBFF", "\xed\xaf\xbf", 2},
	{"5.1.5 U+DC00", "\xed\xb0\x80", 2},
	{"5.1.6 U+DF80", "\xed\xbe\x80", 2},
	{"5.1.7 U+DFFF", "\xed\xbf\xbf", 2},
	{"5.2.1 U+D800 U+DC00", "\xed\xa0\x80\xed\xb0\x80", 2},
	{"5.2.8 U+DBFF U+DFFF", "\xed\xaf\xbf\xed\xbf\xbf", 2},
	{"5.3.1 U+FFFE", "\xef\xbf\xbe", valid},
	{"5.3.3 U+FDD0 to U+FDEF", "\ufdd0\ufdd1\ufdee\ufdef", valid},
	{"5.3.4 U+1FFFE to U+10FFFF", "\U0001fffe\U0002ffff\U0007fffe\U000fffff\U0010ffff", valid},
	{"a byte order mark", "\xef\xbb\xbf", valid},
	{"a letter in second place of two", "\xc3a", 2},
	{"a letter in second place of three", "\xe2a\x80", 2},
	{"a letter in third place of three", "\xe2\x82a", 3},
	{"a letter in second place of four", "\xf0a\x98\x80", 2},
	{"a letter in third place of four", "\xf0\x9fa\x80", 3},
	{"a letter in fourth place of four", "\xf0\x9f\x98a", 4},
	{"a lead byte in fourth place of four", "\xf0\x9f\x98\xc3\xa9", 4},
	{"C0 in second place", "\xc3\xc0", 2},
	{"FF in third place", "\xe2\x82\xff", 3},
}, lonelyBytes())

// lonelyBytes are 3.2: each lead byte with a space behind it.
func lonelyBytes() (all []textCase) {
	for lead := 0xc0; lead < 0x100; lead++ {
		bad := 2
		if lead < 0xc2 || lead > 0xf4 { // never there at all
			bad = 1
		}
		all = append(all, textCase{fmt.Sprintf("3.2 %02X and a space", lead), string([]byte{byte(lead), ' '}), bad})
	}
	return all
}

// RFC 6455 sections 5.6 and 8.1: text is UTF-8, whatever it is cut into; what
// can't become UTF-8 any more ends the connection with 1007 at once.
func TestConformanceText(t *testing.T) {
	conformOnce(t, echoes(), func(t *testing.T, dial transport) {
		for _, tt := range textCases {
			t.Run("8.1 "+tt.name, func(t *testing.T) {
				for _, before := range []string{"", "κόσμε"} {
					tt.whole(t, dial, before)
				}
				if tt.bad > 0 {
					for _, before := range []string{"", "κόσμε"} {
						tt.failsFast(t, dial, before)
					}
				}
			})
		}
	})
}

// whole sends all of the text, cut in various ways.
func (tt *textCase) whole(t *testing.T, dial transport, before string) {
	s := before + tt.text
	want, code := "", 1007
	if tt.bad == valid {
		want, code = toClient(wholeText, s), goesOn
	}
	first, rest := toServer(opText, s), toServer(finBit|opCont, "")
	for _, e := range []exchange{
		ex("", "one frame", want, code, toServer(wholeText, s)),
		ex("", "a frame for each byte", want, code, inFrames(opText, s, 1)),
		ex("", "the last frame empty", want, code, first, rest),
		// Binary isn't text.
		ex("", "binary", toClient(wholeBinary, s), goesOn, toServer(wholeBinary, s)),
	} {
		t.Run(fmt.Sprintf("behind %q, %s", before, e.name), func(t *testing.T) {
			e.runBy(t, dial, func(p *peer) { p.send(e.chunks...) })
		})
	}
	t.Run(fmt.Sprintf("behind %q, octet-wise", before), func(t *testing.T) {
		e := ex("", "", want, code)
		e.runBy(t, dial, func(p *peer) { p.chop(toServer(wholeText, s), 1) })
	})
	if tt.bad == unfinished { // only its end makes it wrong
		t.Run(fmt.Sprintf("behind %q, not over yet", before), func(t *testing.T) {
			p := openEcho(t, dial)
			p.send(first, toServer(wholePing, "fine?"))
			p.expect(toClient(wholePong, "fine?"))
			p.send(rest)
			p.expectEnd("", 1007)
		})
	}
}

// failsFast sends no more than the first byte that is wrong, of a message and of
// a frame that would go on.
func (tt *textCase) failsFast(t *testing.T, dial transport, before string) {
	good := before + tt.text[:tt.bad-1]
	wrong := tt.text[tt.bad-1 : tt.bad]
	t.Run(fmt.Sprintf("behind %q, message cut off", before), func(t *testing.T) {
		p := openEcho(t, dial)
		p.send(toServer(opText, good), toServer(wholePing, "fine?"))
		p.expect(toClient(wholePong, "fine?")) // so far it was
		p.send(toServer(opCont, wrong))
		p.expectEnd("", 1007)
	})
	for _, n := range []int{120, 1 << 20} {
		t.Run(fmt.Sprintf("behind %q, frame of %d bytes cut off", before, n), func(t *testing.T) {
			p := openEcho(t, dial)
			p.send(cutFrame(wholeText, n, good+wrong))
			p.expectEnd("", 1007)
		})
	}
	t.Run(fmt.Sprintf("behind %q, frame cut off, octet-wise", before), func(t *testing.T) {
		p := openEcho(t, dial)
		p.chop(cutFrame(wholeText, 1000, good+wrong), 1)
		p.expectEnd("", 1007)
	})
}

// Section 8.1, of more than one read: text of many runes whose pieces end
// within them, good and, at the very end, bad.
func TestConformanceLongText(t *testing.T) {
	conform(t, echoes(), func(t *testing.T, dial transport) {
		for _, rune := range []string{"é", "€", "😀"} {
			for shift := range len(rune) {
				s := strings.Repeat("x", shift) + strings.Repeat(rune, 200<<10/len(rune))
				for _, e := range []exchange{
					ex("", "one frame", toClient(wholeText, s), goesOn, toServer(wholeText, s)),
					ex("", "frames of 1001 bytes", toClient(wholeText, s), goesOn, inFrames(opText, s, 1001)),
					ex("", "one frame, unfinished", "", 1007, toServer(wholeText, s[:len(s)-1])),
					ex("", "one frame, bad at the end", "", 1007, cutFrame(wholeText, len(s)+1, s[:len(s)-1]+"\xff")),
					ex("", "frames of 997 bytes, bad at the end", "", 1007, inFrames(opText, s+"\xc0", 997)),
				} {
					t.Run(fmt.Sprintf("8.1 %s behind %d bytes, %s", rune, shift, e.name), func(t *testing.T) {
						e.runBy(t, dial, func(p *peer) { p.chop(e.chunks[0], 9973) })
					})
				}
			}
		}
	})
}
