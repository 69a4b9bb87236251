package hubbub

import (
	"fmt"
	"strings"
	"testing"
)

// Autobahn's 9: sizes. The full ones, but where it tries each in each way, as
// text and as binary, here most come once, and of the fragments every other.
func TestConformanceAutobahnLimits(t *testing.T) {
	const ki, mi = 1 << 10, 1 << 20
	textOf := func(n int) string { return strings.Repeat("BAsd7&jh23", n/10+1)[:n] }
	binaryOf := func(n int) string { return strings.Repeat("\x00\xfe\x23\xfa\xf0", n/5+1)[:n] }
	echoed := func(number string, chop int, b0 byte, s, sent string) autobahnCase {
		return autobahnCase{number, chop, toClient(b0|finBit, s), goesOn, []string{sent}}
	}
	cfg := echoes()
	cfg.MaxMessage, cfg.MaxBacklog = 64*mi, 64*mi
	cfg.Compress = true // which this client doesn't offer
	conform(t, cfg, func(t *testing.T, dial transport) {
		for i, n := range []int{64 * ki, 256 * ki, mi, 4 * mi, 8 * mi, 16 * mi} {
			if i%2 == 0 && n < 8*mi || n == 16*mi {
				c := echoed(fmt.Sprintf("9.1.%d", i+1), 0, opText, textOf(n), toServer(wholeText, textOf(n)))
				c.run(t, dial)
			}
			if i == 1 || n == 8*mi {
				c := echoed(fmt.Sprintf("9.2.%d", i+1), 0, opBinary, binaryOf(n), toServer(wholeBinary, binaryOf(n)))
				c.run(t, dial)
			}
		}
		stars := strings.Repeat("*", 4*mi)
		for i, size := range []int{64, 256, ki, 4 * ki, 16 * ki, 64 * ki, 256 * ki, mi, 4 * mi} {
			number, op := fmt.Sprintf("9.3.%d", i+1), byte(opText)
			switch i % 4 {
			case 1, 3:
				continue
			case 2:
				number, op = fmt.Sprintf("9.4.%d", i+1), opBinary
			}
			c := echoed(number, 0, op, stars, inFrames(op, stars, size))
			c.run(t, dial)
		}
		for i, chop := range []int{64, 128, 256, 512, 1024, 2048} {
			if i%2 == 0 {
				c := echoed(fmt.Sprintf("9.5.%d", i+1), chop, opText, textOf(mi), toServer(wholeText, textOf(mi)))
				c.run(t, dial)
			} else {
				c := echoed(fmt.Sprintf("9.6.%d", i+1), chop, opBinary, binaryOf(mi), toServer(wholeBinary, binaryOf(mi)))
				c.run(t, dial)
			}
		}
		for i, n := range []int{0, 16, 64, 256, 1024, 4096} {
			if i%2 == 0 {
				roundTrips(t, dial, fmt.Sprintf("9.7.%d", i+1), wholeText, strings.Repeat("*", n))
			} else {
				roundTrips(t, dial, fmt.Sprintf("9.8.%d", i+1), wholeBinary, strings.Repeat("\xfe", n))
			}
		}
	})
}

// roundTrips sends a message a thousand times, each when the last has come back.
func roundTrips(t *testing.T, dial transport, number string, b0 byte, s string) {
	t.Run(number, func(t *testing.T) {
		p := openEcho(t, dial)
		sent, want := toServer(b0, s), toClient(b0, s)
		for range 1000 {
			p.send(sent)
			p.expect(want)
		}
		p.send(closeWith(1000, ""))
		p.expectEnd("", 1000)
	})
}
