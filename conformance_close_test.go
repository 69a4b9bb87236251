package hubbub

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

// RFC 6455 sections 5.5.1, 7.1 and 7.4.
func TestConformanceClose(t *testing.T) {
	conform(t, echoes(), func(t *testing.T, dial transport) {
		runAll(t, dial, closeExchanges())
	})
}

func closeExchanges() []exchange {
	a, aBack := toServer(wholeText, "a"), toClient(wholeText, "a")
	bye := closeWith(1000, "")
	x123 := strings.Repeat("x", 123)
	all := []exchange{
		ex("5.5.1", "without a code", "", 1005, closeWith(1005, "")),
		ex("5.5.1", "half a code", "", 1002, toServer(wholeClose, "\x03")),
		ex("5.5.1", "half a code, zero", "", 1002, toServer(wholeClose, "\x00")),
		ex("5.5.1", "a code", "", 1000, bye),
		ex("5.5.1", "a code and a reason", "", 1001, closeWith(1001, "going home")),
		ex("5.5.1", "a reason of 1 byte", "", 1000, closeWith(1000, "x")),
		ex("5.5.1", "a reason of 123 bytes", "", 1000, closeWith(1000, x123)),
		ex("5.5.1", "a reason of 124 bytes", "", 1002, closeWith(1000, x123+"x")),
		ex("5.5.1", "a reason of 123 bytes that ends with a rune of four", "", 1000, closeWith(1000, x123[:119]+"😀")),
		ex("5.5.1", "a reason of 123 bytes that ends within a rune", "", 1007, closeWith(1000, x123[:120]+"😀"[:3])),
		ex("5.5.1", "a reason with NUL", "", 1000, closeWith(1000, "a\x00b")),
		ex("5.5.1", "an application's code and reason", "", 4321, closeWith(4321, "é€😀")),

		ex("5.5.1", "text behind it", "", 1000, bye, a),
		ex("5.5.1", "a ping behind it", "", 1000, bye, toServer(wholePing, "")),
		ex("5.5.1", "a second close behind it", "", 1000, bye, closeWith(1001, "")),
		ex("5.5.1", "a second close behind one without a code", "", 1005, closeWith(1005, ""), bye),
		ex("5.5.1", "a broken frame behind it", "", 1000, bye, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
		ex("5.5.1", "an unmasked frame behind it", "", 1000, bye, toClient(wholeText, "a")),
		ex("5.5.1", "bad text behind it", "", 1000, bye, toServer(wholeText, "\xff")),
		ex("5.5.1", "messages before it", aBack+toClient(wholePong, "p")+aBack, 1000, a, toServer(wholePing, "p"), a, bye),
		ex("5.5.1", "a message of 64 KiB before it", toClient(wholeBinary, strings.Repeat("y", 65536)), 1000, toServer(wholeBinary, strings.Repeat("y", 65536)), bye),
		ex("7.1.7", "messages before an error", aBack+toClient(wholePong, "p")+aBack, 1002, a, toServer(wholePing, "p"), a, "\x83\x80"),
		ex("7.1.7", "a message of 64 KiB before an error", toClient(wholeBinary, strings.Repeat("y", 65536)), 1002, toServer(wholeBinary, strings.Repeat("y", 65536)), "\x83\x80"),
		ex("7.1.7", "text behind an error", "", 1002, "\x83\x80\x00\x00\x00\x00", a),
		ex("7.1.7", "a ping behind an error", "", 1002, "\x83\x80\x00\x00\x00\x00", toServer(wholePing, "")),
		ex("7.1.7", "a close behind an error", "", 1002, "\x83\x80\x00\x00\x00\x00", bye),
		ex("7.1.7", "another error behind an error", "", 1007, toServer(wholeText, "\xff"), toClient(wholeText, "a")),
		ex("7.1.7", "a close within a message", "", 1000, toServer(opText, "a"), bye),
		ex("7.1.7", "a close within a rune", "", 1000, toServer(opText, "\xe2\x82"), bye),

		// What is still on its way must not make the kernel reset the connection
		// before the close frame has arrived.
		ex("7.1.1", "a lot of input behind it", "", 1000, bye, strings.Repeat(a, 100000)),
		ex("7.1.1", "a lot of input behind an error", "", 1002, "\x83\x80", strings.Repeat(a, 100000)),
		ex("7.1.1", "a lot of input in a frame that is too big", "", 1009, frameHeader(wholeBinary, maskBit, 2<<20), strings.Repeat("x", 2<<20)),
		ex("7.1.1", "a lot of input behind text that is bad", "", 1007, cutFrame(wholeText, 1<<20, "\xff"), strings.Repeat("x", 1<<20)),
	}
	for _, tt := range textCases {
		code := 1007
		if tt.bad == valid {
			code = 1000
		}
		all = append(all, ex("8.1", "reason: "+tt.name, "", code, closeWith(1000, "x"+tt.text)))
	}
	return all
}

// RFC 6455 sections 7.4.1 and 7.4.2: each code of the ranges that they speak of.
func TestConformanceCloseCodes(t *testing.T) {
	// 1012 to 1014 are IANA's, registered later.
	sent := []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3001, 3002, 3003, 3999, 4000, 4999}
	codes := slices.Concat(sent, []int{1100, 1999, 2000, 2999, 5000, 32768, 65535})
	for code := range 1017 {
		if !slices.Contains(sent, code) {
			codes = append(codes, code)
		}
	}
	conformOnce(t, echoes(), func(t *testing.T, dial transport) {
		for _, code := range codes {
			p := openEcho(t, dial)
			reason := []string{"", "why"}[code%2]
			p.send(toServer(wholeClose, binaryCode(code)+reason))
			want := 1002
			if slices.Contains(sent, code) {
				want = code
			}
			p.expectEnd("", want)
			p.conn.Close()
			if t.Failed() {
				t.Fatalf("that was the answer to code %d with the reason %q", code, reason)
			}
		}
	})
}

func binaryCode(code int) string { return string([]byte{byte(code >> 8), byte(code)}) }

// Section 5.5.1: what comes behind the peer's close frame isn't processed, and
// what came before it is.
func TestConformanceNothingAfterClose(t *testing.T) {
	for _, tt := range []struct {
		section, name string
		chunks        []string
		want          string
	}{
		{"5.5.1", "behind a close", []string{toServer(wholeText, "before"), closeWith(1000, "bye"), toServer(wholeText, "after"), toServer(wholeBinary, "after")}, `before, closed 1000 "bye"`},
		{"5.5.1", "the rest of a message behind a close", []string{toServer(opText, "begun"), closeWith(4000, ""), toServer(finBit|opCont, "after")}, `closed 4000 ""`},
		{"7.1.7", "behind an error", []string{toServer(wholeText, "before"), toClient(wholeText, "unmasked"), toServer(wholeText, "after")}, `before, closed 1002`},
		{"7.1.7", "a close behind an error", []string{toServer(wholeText, "\xff"), closeWith(4000, "after")}, `closed 1007`},
	} {
		for _, atOnce := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s %s, at once: %t", tt.section, tt.name, atOnce), func(t *testing.T) {
				heard := make(chan string, 10)
				cfg := echoes()
				cfg.Loops = 1 // so that another connection's echo means that this one's input is worked off
				cfg.Endpoints["/echo"] = Endpoint{
					OnText:   func(c *Conn, p []byte) { heard <- string(p); c.Send(Text, p) },
					OnBinary: func(c *Conn, p []byte) { heard <- string(p) },
					OnClose:  func(c *Conn, code uint16, reason string) { heard <- fmt.Sprintf("closed %d %q", code, reason) },
				}
				conform(t, cfg, func(t *testing.T, dial transport) {
					p := openEcho(t, dial)
					if atOnce {
						p.send(strings.Join(tt.chunks, ""))
					} else {
						p.send(tt.chunks...)
					}
					io.Copy(io.Discard, p.in)
					other := openEcho(t, dial)
					other.send(toServer(wholeText, "that was all"))
					other.expect(toClient(wholeText, "that was all"))
					p.conn.Close()
					var got []string
					for closed, echoed := false, false; !closed || !echoed; {
						select {
						case s := <-heard:
							if s == "that was all" {
								echoed = true
								continue
							}
							closed = closed || strings.HasPrefix(s, "closed")
							got = append(got, s)
						case <-time.After(patience):
							t.Fatalf("the endpoint heard %q, and no more", got)
						}
					}
					if got := strings.Join(got, ", "); !strings.HasPrefix(got, tt.want) || strings.Contains(got, "after") {
						t.Errorf("the endpoint heard %s, want %s", got, tt.want)
					}
					other.send(closeWith(1000, ""))
					other.expectEnd("", 1000)
					<-heard
				})
			})
		}
	}
}

// Sections 5.5.1 and 7.1.1: having sent a close frame, the server sends nothing
// more, takes nothing but a close frame, and lets the peer have its say before
// its FIN.
func TestConformanceServerCloses(t *testing.T) {
	cfg := echoes()
	cfg.Endpoints["/echo"] = Endpoint{
		OnText:   func(c *Conn, p []byte) { c.Send(Text, p); c.Close(4001, "enough"); c.Send(Text, p) },
		OnBinary: func(c *Conn, p []byte) { c.Send(Binary, p) },
	}
	conform(t, cfg, func(t *testing.T, dial transport) {
		for _, tt := range []struct{ section, name, answer string }{
			{"7.1.1", "the same code", closeWith(4001, "")},
			{"7.1.1", "another code", closeWith(1000, "fine")},
			{"7.1.1", "no code", closeWith(1005, "")},
			{"5.5.1", "a message, a ping, a close", toServer(wholeBinary, "x") + toServer(wholePing, "x") + closeWith(4001, "")},
			{"5.5.1", "a fragment and a close", toServer(opText, "x") + closeWith(4001, "")},
			{"7.1.7", "a close with a bad code", closeWith(999, "")},
			{"7.1.7", "a broken frame", "\x83\x80\x00\x00\x00\x00"},
			{"7.1.7", "bad text", toServer(wholeText, "\xff")},
		} {
			t.Run(tt.section+" "+tt.name, func(t *testing.T) {
				p := openEcho(t, dial)
				p.send(toServer(wholeText, "x"))
				p.expect(toClient(wholeText, "x") + toClient(wholeClose, "\x0f\xa1enough"))
				p.send(tt.answer)
				if rest, err := io.ReadAll(p.in); err != nil || len(rest) > 0 {
					t.Errorf("received % x and %v, want the end of the stream", rest, p.noted(err))
				}
			})
		}
	})
}

// Section 7.1.1: a peer that has sent its FIN along with its close frame still
// gets all that it has asked for, and the close frame.
func TestConformanceHalfClosed(t *testing.T) {
	conform(t, echoes(), func(t *testing.T, dial transport) {
		for _, n := range []int{1, 65536, 1 << 20} {
			for _, code := range []int{1000, 1002} {
				t.Run(fmt.Sprintf("7.1.1 %d bytes before code %d", n, code), func(t *testing.T) {
					s, last := strings.Repeat("x", n), closeWith(1000, "")
					if code == 1002 {
						last = "\x83\x80"
					}
					p := openEcho(t, dial)
					p.send(toServer(wholeBinary, s), last)
					if err := p.conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
						t.Fatal(err)
					}
					p.expectEnd(toClient(wholeBinary, s), code)
				})
			}
		}
	})
}
