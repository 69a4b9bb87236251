package hubbub

import (
	"fmt"
	"strings"
	"testing"
)

// The cases of the Autobahn test suite (crossbario/autobahn-testsuite, the
// fuzzing client) under their numbers, each with what it calls OK rather than
// NON-STRICT. Where it waits to see that nothing comes, what comes is compared
// with all that may.

// An autobahnCase is an exchange, with how it is cut into segments.
type autobahnCase struct {
	number string
	chop   int // bytes to a segment; frames for one frame, 0 for all in one
	want   string
	code   int
	chunks []string
}

const frames = -1

func (c *autobahnCase) run(t *testing.T, dial transport) {
	t.Run(c.number, func(t *testing.T) {
		e := ex("", "", c.want, c.code)
		e.runBy(t, dial, func(p *peer) {
			switch c.chop {
			case frames:
				p.send(c.chunks...)
			case 0:
				p.send(strings.Join(c.chunks, ""))
			default:
				p.chop(strings.Join(c.chunks, ""), c.chop)
			}
		})
	})
}

func TestConformanceAutobahn(t *testing.T) {
	conform(t, echoes(), func(t *testing.T, dial transport) {
		for _, cases := range [][]autobahnCase{
			autobahnEchoes(), autobahnPings(), autobahnReserved(), autobahnFragments(), autobahnCloses(),
		} {
			for _, c := range cases {
				c.run(t, dial)
			}
		}
	})
}

// 1.1 text, 1.2 binary; and 10.1.1, a message in fragments of 1300.
func autobahnEchoes() (all []autobahnCase) {
	for kind, fill := range []string{"*", "\xfe"} {
		b0 := []byte{wholeText, wholeBinary}[kind]
		for i, n := range []int{0, 125, 126, 127, 128, 65535, 65536, 65536} {
			s := strings.Repeat(fill, n)
			c := autobahnCase{fmt.Sprintf("1.%d.%d", kind+1, i+1), 0, toClient(b0, s), goesOn, []string{toServer(b0, s)}}
			if i == 7 {
				c.chop = 997
			}
			all = append(all, c)
		}
	}
	s := strings.Repeat("*", 65536)
	return append(all, autobahnCase{"10.1.1", 0, toClient(wholeText, s), goesOn, []string{inFrames(opText, s, 1300)}})
}

func autobahnPings() []autobahnCase {
	ping := func(s string) string { return toServer(wholePing, s) }
	pong := func(s string) string { return toClient(wholePong, s) }
	const odd = "\x00\xff\xfe\xfd\xfc\xfb\x00\xff"
	fe125 := strings.Repeat("\xfe", 125)
	unasked := toServer(wholePong, "unsolicited pong payload")
	var ten, tenBack string
	for i := range 10 {
		s := fmt.Sprintf("payload-%d", i)
		ten, tenBack = ten+ping(s), tenBack+pong(s)
	}
	return []autobahnCase{
		{"2.1", 0, pong(""), goesOn, []string{ping("")}},
		{"2.2", 0, pong("Hello, world!"), goesOn, []string{ping("Hello, world!")}},
		{"2.3", 0, pong(odd), goesOn, []string{ping(odd)}},
		{"2.4", 0, pong(fe125), goesOn, []string{ping(fe125)}},
		{"2.5", 0, "", 1002, []string{ping(fe125 + "\xfe")}},
		{"2.6", 1, pong(fe125), goesOn, []string{ping(fe125)}},
		{"2.7", 0, "", goesOn, []string{toServer(wholePong, "")}},
		{"2.8", 0, "", goesOn, []string{unasked}},
		{"2.9", 0, pong("ping payload"), goesOn, []string{unasked, ping("ping payload")}},
		{"2.10", 0, tenBack, goesOn, []string{ten}},
		{"2.11", 1, tenBack, goesOn, []string{ten}},
	}
}

// 3 reserved bits, 4.1 reserved opcodes of messages, 4.2 of control frames.
func autobahnReserved() []autobahnCase {
	const hello = "Hello, world!"
	say, said, ping := toServer(wholeText, hello), toClient(wholeText, hello), toServer(wholePing, "")
	op := func(op byte, s string) string { return toServer(finBit|op, s) }
	rsv := func(bits, b0 byte, s string) string { return toServer(b0|bits<<4, s) }
	return []autobahnCase{
		{"3.1", 0, "", 1002, []string{rsv(1, wholeText, hello)}},
		{"3.2", 0, said, 1002, []string{say, rsv(2, wholeText, hello), ping}},
		{"3.3", frames, said, 1002, []string{say, rsv(3, wholeText, hello), ping}},
		{"3.4", 1, said, 1002, []string{say, rsv(4, wholeText, hello), ping}},
		{"3.5", 0, "", 1002, []string{rsv(5, wholeBinary, "\x00\xff\xfe\xfd\xfc\xfb\x00\xff")}},
		{"3.6", 0, "", 1002, []string{rsv(6, wholeBinary, hello)}}, // "a ping", it says, and sends this
		{"3.7", 0, "", 1002, []string{rsv(7, wholeClose, "")}},
		{"4.1.1", 0, "", 1002, []string{op(3, "")}},
		{"4.1.2", 0, "", 1002, []string{op(4, "reserved opcode payload")}},
		{"4.1.3", 0, said, 1002, []string{say, op(5, ""), ping}},
		{"4.1.4", 0, said, 1002, []string{say, op(6, hello), ping}},
		{"4.1.5", 1, said, 1002, []string{say, op(7, hello), ping}},
		{"4.2.1", 0, "", 1002, []string{op(11, "")}},
		{"4.2.2", 0, "", 1002, []string{op(12, "reserved opcode payload")}},
		{"4.2.3", 0, said, 1002, []string{say, op(13, ""), ping}},
		{"4.2.4", 0, said, 1002, []string{say, op(14, hello), ping}},
		{"4.2.5", 1, said, 1002, []string{say, op(15, hello), ping}},
	}
}

func autobahnFragments() []autobahnCase {
	f := func(b0 byte, n int) string { return toServer(b0, fmt.Sprintf("fragment%d", n)) }
	const last = finBit | opCont
	ping, pong := toServer(wholePing, "ping payload"), toClient(wholePong, "ping payload")
	both := toClient(wholeText, "fragment1fragment2")
	hello, stray := toServer(wholeText, "Hello, world!"), "non-continuation payload"
	ping1, ping2 := toServer(wholePing, "pongme 1!"), toServer(wholePing, "pongme 2!")
	five := toClient(wholePong, "pongme 1!") + toClient(wholePong, "pongme 2!") + toClient(wholeText, "fragment1fragment2fragment3fragment4fragment5")
	all5 := []string{f(opText, 1), f(opCont, 2), ping1, f(opCont, 3), f(opCont, 4), ping2, f(last, 5)}
	twice := func(b0 byte) []string {
		s := []string{f(b0, 1), f(opText, 2), f(last, 3)}
		return append(s, s...)
	}
	return []autobahnCase{
		{"5.1", 0, "", 1002, []string{f(opPing, 1), f(last, 2)}},
		{"5.2", 0, "", 1002, []string{f(opPong, 1), f(last, 2)}},
		{"5.3", 0, both, goesOn, []string{f(opText, 1), f(last, 2)}},
		{"5.4", frames, both, goesOn, []string{f(opText, 1), f(last, 2)}},
		{"5.5", 1, both, goesOn, []string{f(opText, 1), f(last, 2)}},
		{"5.6", 0, pong + both, goesOn, []string{f(opText, 1), ping, f(last, 2)}},
		{"5.7", frames, pong + both, goesOn, []string{f(opText, 1), ping, f(last, 2)}},
		{"5.8", 1, pong + both, goesOn, []string{f(opText, 1), ping, f(last, 2)}},
		{"5.9", 0, "", 1002, []string{toServer(last, stray), hello}},
		{"5.10", frames, "", 1002, []string{toServer(last, stray), hello}},
		{"5.11", 1, "", 1002, []string{toServer(last, stray), hello}},
		{"5.12", 0, "", 1002, []string{toServer(opCont, stray), hello}},
		{"5.13", frames, "", 1002, []string{toServer(opCont, stray), hello}},
		{"5.14", 1, "", 1002, []string{toServer(opCont, stray), hello}},
		{"5.15", 0, both, 1002, []string{f(opText, 1), f(last, 2), f(opCont, 3), f(wholeText, 4)}},
		{"5.16", 0, "", 1002, twice(opCont)},
		{"5.17", 0, "", 1002, twice(last)},
		{"5.18", 0, "", 1002, []string{f(opText, 1), f(wholeText, 2)}},
		{"5.19", 0, five, goesOn, all5},
		{"5.20", frames, five, goesOn, all5},
	}
}

func autobahnCloses() []autobahnCase {
	const hello = "Hello World!"
	say, said, ping, bye := toServer(wholeText, hello), toClient(wholeText, hello), toServer(wholePing, ""), closeWith(1000, "")
	big := strings.Repeat("BAsd7&jh23", 256<<10/10+1)[:256<<10]
	all := []autobahnCase{
		{"7.1.1", 0, said, 1000, []string{say, bye}},
		{"7.1.2", 0, "", 1000, []string{bye, closeWith(1005, "")}},
		{"7.1.3", 0, "", 1000, []string{bye, ping}},
		{"7.1.4", 0, "", 1000, []string{bye, say}},
		{"7.1.5", 0, "", 1000, []string{toServer(opText, "fragment1"), bye, toServer(finBit|opCont, "fragment2")}},
		// Informational there; in order is what is wanted here.
		{"7.1.6", 0, toClient(wholeText, big) + said, 1000, []string{toServer(wholeText, big), say, bye, ping}},
		{"7.3.1", 0, "", 1005, []string{closeWith(1005, "")}},
		{"7.3.2", 0, "", 1002, []string{toServer(wholeClose, "a")}},
		{"7.3.3", 0, "", 1000, []string{bye}},
		{"7.3.4", 0, "", 1000, []string{closeWith(1000, hello)}},
		{"7.3.5", 0, "", 1000, []string{closeWith(1000, strings.Repeat("*", 123))}},
		{"7.3.6", 0, "", 1002, []string{closeWith(1000, strings.Repeat("*", 124))}},
		{"7.5.1", 0, "", 1007, []string{closeWith(1000, kosme+"\xed\xa0\x80edited")}},
		// Informational there.
		{"7.13.1", 0, "", 1002, []string{closeWith(5000, "")}},
		{"7.13.2", 0, "", 1002, []string{closeWith(65535, "")}},
	}
	for i, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999} {
		all = append(all, autobahnCase{fmt.Sprintf("7.7.%d", i+1), 0, "", code, []string{closeWith(code, "")}})
	}
	for i, code := range []int{0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999} {
		all = append(all, autobahnCase{fmt.Sprintf("7.9.%d", i+1), 0, "", 1002, []string{toServer(wholeClose, binaryCode(code))}})
	}
	return all
}
