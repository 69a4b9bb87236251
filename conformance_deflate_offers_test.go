package hubbub

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
)

// limitsWindows says that the server takes offers of server_max_window_bits
// below 15. It may decline them as well (RFC 7692 section 7.1.2.1).
const limitsWindows = true

// RFC 7692 sections 5 and 7.1: which offers are taken, and what the answer says.
func TestConformanceDeflateOffers(t *testing.T) {
	taken := []struct{ section, name, offers string }{
		{"7.1", "nothing else", "permessage-deflate"},
		{"7.1.1.1", "server_no_context_takeover", "permessage-deflate; server_no_context_takeover"},
		{"7.1.1.2", "client_no_context_takeover", "permessage-deflate; client_no_context_takeover"},
		{"7.1.2.1", "server_max_window_bits=15", "permessage-deflate; server_max_window_bits=15"},
		{"7.1.2.2", "client_max_window_bits", "permessage-deflate; client_max_window_bits"},
		{"7.1.2.2", "client_max_window_bits=8", "permessage-deflate; client_max_window_bits=8"},
		{"7.1.2.2", "client_max_window_bits=9", "permessage-deflate; client_max_window_bits=9"},
		{"7.1.2.2", "client_max_window_bits=15", "permessage-deflate; client_max_window_bits=15"},
		{"7.1", "all of them", "permessage-deflate; client_max_window_bits=10; server_max_window_bits=15; client_no_context_takeover; server_no_context_takeover"},
		{"7.1.3", "the first example of a list", "permessage-deflate"},
		{"7.1.3", "the third example of a list", "permessage-deflate; client_max_window_bits; server_max_window_bits=10, permessage-deflate; client_max_window_bits"},
		{"RFC 6455 9.1", "a quoted value", `permessage-deflate; server_max_window_bits="15"`},
		{"RFC 6455 9.1", "no spaces", "permessage-deflate;server_no_context_takeover;client_max_window_bits"},
		{"RFC 6455 9.1", "spaces before semicolons", "permessage-deflate ; server_no_context_takeover ; client_max_window_bits"},
		{"RFC 6455 9.1", "tabs behind semicolons", "permessage-deflate;\tserver_no_context_takeover;\tclient_max_window_bits"},
		{"RFC 6455 9.1", "spaces around commas and the equals sign", "x-nobody , permessage-deflate; server_max_window_bits = 15"},
		{"RFC 6455 9.1", "empty members of the list", ", x-nobody,, permessage-deflate,"},
		{"5", "behind another extension", "x-nobody; a=b, permessage-deflate"},
		{"5", "before another extension", "permessage-deflate, x-nobody"},
		{"5", "behind one with an unknown parameter", "permessage-deflate; x=1, permessage-deflate"},
		{"5", "behind one with a bad value", "permessage-deflate; server_max_window_bits=7, permessage-deflate; server_no_context_takeover"},
		{"5", "two that are right", "permessage-deflate; server_no_context_takeover, permessage-deflate"},
		{"RFC 6455 9.1", "in a second field", "x-nobody\r\n" + deflateField("permessage-deflate")},
		{"RFC 6455 9.1", "one in each of two fields", "permessage-deflate; x\r\n" + deflateField("permessage-deflate")},
	}
	if limitsWindows {
		for bits := 8; bits < 15; bits++ {
			s := fmt.Sprintf("server_max_window_bits=%d", bits)
			taken = append(taken, struct{ section, name, offers string }{"7.1.2.1", s, "permessage-deflate; " + s})
		}
	}
	const s = "a message, a message, a message, a message, a message, a message, a message"
	conform(t, compressing(), func(t *testing.T, dial transport) {
		for _, tt := range taken {
			t.Run(tt.section+" "+tt.name, func(t *testing.T) {
				d := openDeflate(t, dial, strings.ReplaceAll(tt.offers, "\r\n"+deflateField(""), ","))
				d.say(opText, s, 0)
				d.expectSaid(opText, s)
				d.bye()
			})
		}
		t.Run("declined", func(t *testing.T) { declined(t, dial) })
	})
	t.Run("not configured", func(t *testing.T) {
		cfg := echoes()
		_, addr := start(t, cfg)
		p := reach(t, func(t *testing.T) net.Conn { return raw(t, addr) })
		p.send(asking(deflateField("permessage-deflate; client_max_window_bits")))
		if got := p.answered().Values("Sec-WebSocket-Extensions"); len(got) > 0 {
			t.Errorf("answered %q, want no extension", got)
		}
		p.send(toServer(wholeText|rsv1Bit, "\xf2\x48\xcd\xc9\xc9\x07\x00"))
		p.expectEnd("", 1002)
	})
}

// Offers that aren't right: the connection comes about without the extension
// (section 7.1), or, where it is the field that isn't right, not at all (RFC
// 6455 section 9.1).
func declined(t *testing.T, dial transport) {
	const either = 0 // 101 or 400
	for _, tt := range []struct {
		section, name, offers string
		status                int
	}{
		{"7.1", "an unknown parameter", "permessage-deflate; x", 101},
		{"7.1", "an unknown parameter with a value", "permessage-deflate; x=1", 101},
		{"7.1", "an unknown parameter behind a known one", "permessage-deflate; server_no_context_takeover; mode=fast", 101},
		{"7.1.2.1", "server_max_window_bits=x", "permessage-deflate; server_max_window_bits=x", 101},
		{"7.1", "server_no_context_takeover twice", "permessage-deflate; server_no_context_takeover; server_no_context_takeover", 101},
		{"7.1", "client_no_context_takeover twice", "permessage-deflate; client_no_context_takeover; client_no_context_takeover", 101},
		{"7.1", "server_max_window_bits twice", "permessage-deflate; server_max_window_bits=15; server_max_window_bits=15", 101},
		{"7.1", "server_max_window_bits twice, not alike", "permessage-deflate; server_max_window_bits=15; server_max_window_bits=10", 101},
		{"7.1", "client_max_window_bits twice", "permessage-deflate; client_max_window_bits; client_max_window_bits=10", 101},
		{"7.1.1.1", "server_no_context_takeover with a value", "permessage-deflate; server_no_context_takeover=1", 101},
		{"7.1.1.1", "server_no_context_takeover with a quoted value", `permessage-deflate; server_no_context_takeover="true"`, 101},
		{"7.1.1.2", "client_no_context_takeover with a value", "permessage-deflate; client_no_context_takeover=0", 101},
		{"7.1.2.1", "server_max_window_bits without a value", "permessage-deflate; server_max_window_bits", 101},
		{"7.1.2.1", "server_max_window_bits=0", "permessage-deflate; server_max_window_bits=0", 101},
		{"7.1.2.1", "server_max_window_bits=7", "permessage-deflate; server_max_window_bits=7", 101},
		{"7.1.2.1", "server_max_window_bits=16", "permessage-deflate; server_max_window_bits=16", 101},
		{"7.1.2.1", "server_max_window_bits=08", "permessage-deflate; server_max_window_bits=08", 101},
		{"7.1.2.1", "server_max_window_bits=015", "permessage-deflate; server_max_window_bits=015", 101},
		{"7.1.2.1", "server_max_window_bits=+9", "permessage-deflate; server_max_window_bits=+9", 101},
		{"7.1.2.1", "server_max_window_bits=-9", "permessage-deflate; server_max_window_bits=-9", 101},
		{"7.1.2.1", "server_max_window_bits=1e1", "permessage-deflate; server_max_window_bits=1e1", 101},
		{"7.1.2.1", "server_max_window_bits=255", "permessage-deflate; server_max_window_bits=255", 101},
		{"7.1.2.1", "server_max_window_bits=4294967305", "permessage-deflate; server_max_window_bits=4294967305", 101},
		{"7.1.2.2", "client_max_window_bits=7", "permessage-deflate; client_max_window_bits=7", 101},
		{"7.1.2.2", "client_max_window_bits=16", "permessage-deflate; client_max_window_bits=16", 101},
		{"7.1.2.2", "client_max_window_bits=09", "permessage-deflate; client_max_window_bits=09", 101},
		{"7.1.2.2", "client_max_window_bits=x", "permessage-deflate; client_max_window_bits=x", 101},
		{"5", "nothing but wrong ones", "permessage-deflate; x, permessage-deflate; server_max_window_bits=7, x-nobody", 101},
		{"5", "other extensions", "x-webkit-deflate-frame, permessage-bzip2, permessage-deflate2, permessage", 101},
		// What is quoted has to be a token, and has to be a value that is allowed.
		{"RFC 6455 9.1", "an empty quoted value", `permessage-deflate; client_max_window_bits=""`, either},
		{"RFC 6455 9.1", "an empty quoted value where there is none", `permessage-deflate; server_no_context_takeover=""`, either},
		// Not a list of extensions.
		{"RFC 6455 9.1", "a value that is missing", "permessage-deflate; server_max_window_bits=", 400},
		{"RFC 6455 9.1", "an empty parameter", "permessage-deflate; ; client_max_window_bits", 400},
		{"RFC 6455 9.1", "a parameter at the end that is missing", "permessage-deflate;", 400},
		{"RFC 6455 9.1", "a name that is no token", "permessage/deflate", 400},
		{"RFC 6455 9.1", "an extension that is missing", "; client_max_window_bits", 400},
		{"RFC 6455 9.1", "a quote that doesn't end", `permessage-deflate; server_max_window_bits="10`, 400},
	} {
		t.Run(tt.section+" "+tt.name, func(t *testing.T) {
			p := reach(t, dial)
			p.send(asking(deflateField(tt.offers)))
			resp, err := http.ReadResponse(p.in, nil)
			if err != nil {
				t.Fatal(p.noted(err))
			}
			defer resp.Body.Close()
			if got := resp.Header.Values("Sec-WebSocket-Extensions"); len(got) > 0 || tt.status != either && resp.StatusCode != tt.status {
				t.Fatalf("answered %s with the extension %q, want %d without one", resp.Status, got, tt.status)
			}
			if resp.StatusCode == http.StatusSwitchingProtocols { // nothing is compressed then, on either side
				s := strings.Repeat("aaaa", 1000)
				p.send(toServer(wholeText, s))
				p.expect(toClient(wholeText, s))
				p.send(toServer(wholeText|rsv1Bit, "\xf2\x48\xcd\xc9\xc9\x07\x00"))
				p.expectEnd("", 1002)
			}
		})
	}
}

// RFC 7692 section 7.1.2.1: what the server compresses refers no further back
// than the window that was agreed on, neither within a message nor to the last.
func TestConformanceDeflateWindow(t *testing.T) {
	if !limitsWindows {
		t.Log("only for a window of 15 bits: the server declines the others")
	}
	cfg := compressing()
	conform(t, cfg, func(t *testing.T, dial transport) {
		for bits := 8; bits <= 15; bits++ {
			if bits < 15 && !limitsWindows {
				continue
			}
			t.Run(fmt.Sprintf("7.1.2.1 server_max_window_bits=%d", bits), func(t *testing.T) {
				d := openDeflate(t, dial, fmt.Sprintf("permessage-deflate; server_max_window_bits=%d", bits))
				window := 1 << d.agreed.serverBits
				random := rand.New(rand.NewPCG(1, uint64(bits)))
				letters := func(n int) string {
					b := make([]byte, n)
					for i := range b {
						b[i] = "abcdefghijklmnopqrstuvwxyz012345"[random.IntN(32)]
					}
					return string(b)
				}
				near := letters(100) // its repetition lies within every window
				for _, s := range []string{
					strings.Repeat(near, 5),
					strings.Repeat(letters(window-1), 2),
					strings.Repeat(letters(window), 2),
					strings.Repeat(letters(window+1), 2),
					strings.Repeat(letters(window+300), 3),
					strings.Repeat(near, 5), // as the first, which isn't in sight any more
				} {
					d.send(toServer(wholeText, s))
					b0, payload, err := d.frame()
					if err != nil {
						t.Fatal(err)
					}
					if b0 == wholeText && payload == s {
						if strings.HasPrefix(s, near) {
							t.Errorf("%d bytes that repeat every %d aren't compressed", len(s), len(near))
						}
						continue
					}
					if b0 != wholeText|rsv1Bit {
						t.Fatalf("received a frame that begins with %02x", b0)
					}
					distance, err := furthest(payload)
					if err != nil || distance > window {
						t.Errorf("of %d bytes: %v, it looks back %d bytes, the window has %d", len(s), err, distance, window)
					}
					if got, err := d.inflate(payload); err != nil || got != s {
						t.Fatalf("received %s and %v, want %s", clipped(got), err, clipped(s))
					}
				}
				d.bye()
			})
		}
	})
}
