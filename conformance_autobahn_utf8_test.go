package hubbub

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

// kosme is the word that Autobahn takes from Markus Kuhn: its second letter has
// three bytes.
const kosme = "κ\u1f79σμε"

// Autobahn's 6: text. What goes on in 6.1 and 6.2 has to be echoed, what is bad
// in 6.3 has to be closed with 1007, in 6.4 at once.
func TestConformanceAutobahnText(t *testing.T) {
	const (
		middle = "middle frame payload"
		hello1 = "Hello-µ@ßöä"
		hello2 = "üàá-UTF-8!!"
		last   = finBit | opCont
	)
	const broken = kosme + "\xed\xa0\x80" + "edited"
	conform(t, echoes(), func(t *testing.T, dial transport) {
		for _, c := range []autobahnCase{
			{"6.1.1", 0, toClient(wholeText, ""), goesOn, []string{toServer(wholeText, "")}},
			{"6.1.2", 0, toClient(wholeText, ""), goesOn, []string{toServer(opText, ""), toServer(opCont, ""), toServer(last, "")}},
			{"6.1.3", 0, toClient(wholeText, middle), goesOn, []string{toServer(opText, ""), toServer(opCont, middle), toServer(last, "")}},
			{"6.2.1", 0, toClient(wholeText, hello1+hello2), goesOn, []string{toServer(wholeText, hello1+hello2)}},
			{"6.2.2", 0, toClient(wholeText, hello1+hello2), goesOn, []string{toServer(opText, hello1), toServer(last, hello2)}},
			{"6.2.3", 0, toClient(wholeText, hello1+hello2), goesOn, []string{inFrames(opText, hello1+hello2, 1)}},
			{"6.2.4", 0, toClient(wholeText, kosme), goesOn, []string{inFrames(opText, kosme, 1)}},
			{"6.3.1", 0, "", 1007, []string{toServer(wholeText, broken)}},
			{"6.3.2", 0, "", 1007, []string{inFrames(opText, broken, 1)}},
		} {
			c.run(t, dial)
		}

		// 6.4: good, then bad from its second byte on, then good. Where a ping may
		// stand, its pong shows that the first part was taken.
		const good, bad, rest = kosme, "\xf4\x90\x80\x80", "edited"
		all := good + bad + rest
		for _, c := range []struct{ number, first, second string }{
			{"6.4.1", toServer(opText, good), toServer(opCont, bad)},
			{"6.4.2", toServer(opText, all[:12]), toServer(opCont, all[12:13])},
		} {
			t.Run(c.number, func(t *testing.T) {
				p := openEcho(t, dial)
				p.send(c.first, toServer(wholePing, "A"))
				p.expect(toClient(wholePong, "A"))
				p.send(c.second)
				p.expectEnd("", 1007)
			})
		}
		for _, c := range []struct {
			number string
			cuts   []int
		}{
			{"6.4.3", []int{len(good), len(good) + len(bad)}},
			{"6.4.4", []int{12, 13}},
		} {
			t.Run(c.number, func(t *testing.T) {
				p := openEcho(t, dial)
				frame := toServer(wholeText, all)
				head := len(frame) - len(all)
				p.send(frame[:head+c.cuts[0]], frame[head+c.cuts[0]:head+c.cuts[1]])
				p.expectEnd("", 1007)
			})
		}

		for i, group := range autobahnSequences() {
			for j, s := range group {
				c := autobahnCase{fmt.Sprintf("6.%d.%d", i+5, j+1), 0, "", 1007, []string{toServer(wholeText, s)}}
				if autobahnValid(i+5, j+1) {
					c.want, c.code = toClient(wholeText, s), goesOn
				}
				if utf8.ValidString(s) != (c.code == goesOn) {
					t.Fatalf("%s is a wrong row of this table", c.number)
				}
				c.run(t, dial)
			}
		}
	})
}

// autobahnValid says which of 6.5 to 6.23 are text.
func autobahnValid(group, n int) bool {
	switch group {
	case 5, 7, 9, 22, 23:
		return true
	case 6: // the prefixes of κόσμε that end with a rune
		return n == 2 || n == 5 || n == 7 || n == 9 || n == 11
	case 11:
		return n <= 4
	}
	return false
}

// autobahnSequences are the texts of 6.5, 6.6 and so on up to 6.23.
func autobahnSequences() [][]string {
	var prefixes, continuations, lonely []string
	for n := range len(kosme) {
		prefixes = append(prefixes, kosme[:n+1])
	}
	for n := range 6 {
		continuations = append(continuations, "\x80\xbf\x80\xbf\x80\xbf"[:n+1])
	}
	continuations = append([]string{"\x80", "\xbf"}, continuations[1:]...)
	all := ""
	for b := 0x80; b < 0xbf; b++ {
		all += string([]byte{byte(b)})
	}
	continuations = append(continuations, all)
	for _, m := range [][2]int{{0xc0, 0xdf}, {0xe0, 0xef}, {0xf0, 0xf7}, {0xf8, 0xfb}, {0xfc, 0xfd}} {
		s := ""
		for b := m[0]; b < m[1]; b++ {
			s += string([]byte{byte(b), ' '})
		}
		lonely = append(lonely, s)
	}
	missing := []string{"\xc0", "\xe0\x80", "\xf0\x80\x80", "\xf8\x80\x80\x80", "\xfc\x80\x80\x80\x80",
		"\xdf", "\xef\xbf", "\xf7\xbf\xbf", "\xfb\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf"}
	noCharacters := []string{"\ufffe", "\uffff"}
	for plane := rune(1); plane <= 16; plane++ {
		noCharacters = append(noCharacters, string(plane<<16|0xfffe), string(plane<<16|0xffff))
	}
	return [][]string{
		{"hello$world", "hello¢world", "hello€world", "hello𤭢world", kosme},
		prefixes,
		{"\x00", "\xc2\x80", "\xe0\xa0\x80", "\xf0\x90\x80\x80"},
		{"\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80"},
		{"\x7f", "\xdf\xbf", "\xef\xbf\xbf", "\xf4\x8f\xbf\xbf"},
		{"\xf7\xbf\xbf\xbf", "\xfb\xbf\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf\xbf"},
		{"\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbd", "\xf4\x8f\xbf\xbf", "\xf4\x90\x80\x80"},
		continuations,
		lonely,
		missing,
		{strings.Join(missing, "")},
		{"\xfe", "\xff", "\xfe\xfe\xff\xff"},
		{"\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xf8\x80\x80\x80\xaf", "\xfc\x80\x80\x80\x80\xaf"},
		{"\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xf8\x87\xbf\xbf\xbf", "\xfc\x83\xbf\xbf\xbf\xbf"},
		{"\xc0\x80", "\xe0\x80\x80", "\xf0\x80\x80\x80", "\xf8\x80\x80\x80\x80", "\xfc\x80\x80\x80\x80\x80"},
		{"\xed\xa0\x80", "\xed\xad\xbf", "\xed\xae\x80", "\xed\xaf\xbf", "\xed\xb0\x80", "\xed\xbe\x80", "\xed\xbf\xbf"},
		{"\xed\xa0\x80\xed\xb0\x80", "\xed\xa0\x80\xed\xbf\xbf", "\xed\xad\xbf\xed\xb0\x80", "\xed\xad\xbf\xed\xbf\xbf",
			"\xed\xae\x80\xed\xb0\x80", "\xed\xae\x80\xed\xbf\xbf", "\xed\xaf\xbf\xed\xb0\x80", "\xed\xaf\xbf\xed\xbf\xbf"},
		noCharacters,
		{"\ufff9", "\ufffa", "\ufffb", "\ufffc", "\ufffd", "\ufffe", "\uffff"},
	}
}
