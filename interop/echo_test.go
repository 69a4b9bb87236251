package interop

import (
	"fmt"
	"testing"
)

// sizes are those at which the length of a frame takes another form (RFC 6455
// section 5.2), and what may be in the way of more than a read.
var sizes = []int{0, 1, 125, 126, 65535, 65536, 1 << 20, maxMessage}

// What a client sends comes back as it was. -compress-min 1: small messages are
// compressed too.
func TestEcho(t *testing.T) {
	for _, col := range columns {
		t.Run(col.name, func(t *testing.T) {
			var args []string
			if col.compress {
				args = []string{"-compress-min", "1"}
			}
			s := serve(t, col, args...)
			for _, c := range clients {
				t.Run(c.name, func(t *testing.T) {
					p := s.dial(t, c, "/echo")
					for _, size := range sizes {
						ok := t.Run(fmt.Sprint(size), func(t *testing.T) {
							p := p.in(t)
							p.message(text, textOf(size))
							p.expect(text, textOf(size))
							p.message(binary, bytesOf(size))
							p.expect(binary, bytesOf(size))
						})
						if !ok {
							return // the connection may be gone
						}
					}
				})
			}
		})
	}
}

// A message comes back whole that came in parts, with a ping between them.
func TestFragments(t *testing.T) {
	everyClient(t, func(t *testing.T, s *server, c client) {
		p := s.dial(t, c, "/echo")
		for _, k := range []kind{text, binary} {
			whole := textOf(15000)
			if k == binary {
				whole = bytesOf(15000)
			}
			_, before := p.traffic()
			// Of 5000 bytes, more than gorilla's write buffer holds.
			p.must(p.send(k, whole[:5000], false))
			sent, err := p.ping("between")
			p.must(err)
			p.must(p.send(k, whole[5000:10000], false))
			p.must(p.send(k, whole[10000:], true))
			p.expect(pong, []byte(sent))
			p.expect(k, whole)

			// One frame of it has 8 bytes of header, and the ping 6.
			_, after := p.traffic()
			if one := 8 + 15000 + 6 + len(sent); s.column.name == "plain" && after-before <= int64(one) {
				t.Errorf("%s has sent %d bytes, as many as one frame takes", p.name, after-before)
			}
		}
	})
}

func TestPing(t *testing.T) {
	everyClient(t, func(t *testing.T, s *server, c client) {
		p := s.dial(t, c, "/echo")
		for range 3 {
			sent, err := p.ping("are you there?")
			p.must(err)
			p.expect(pong, []byte(sent))
		}
		p.message(text, []byte("still open"))
		p.expect(text, []byte("still open"))
	})
}

// The server's pings are understood, and so are the answers to them: it drops
// who doesn't answer before it would send another.
func TestKeepalive(t *testing.T) {
	everyColumn(t, func(t *testing.T, s *server) {
		var peers []*peer
		for _, c := range clients {
			peers = append(peers, s.dial(t, c, "/echo"))
		}
		for range 3 {
			for _, p := range peers {
				if e := p.next(); e.kind != ping {
					t.Fatalf("%s: got %+v, want a ping", p.name, e)
				}
			}
		}
	}, "-keepalive", "1s")
}
