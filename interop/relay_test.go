package interop

import "testing"

// What one client sends to a topic reaches all the others as it was: the text
// as text, the bytes as bytes. Where there is compression, to some without it.
func TestRelay(t *testing.T) {
	everyColumn(t, relays)
}

// The same across processes, which the server's own protocol joins.
func TestRelayBetweenWorkers(t *testing.T) {
	everyColumn(t, relays, "-workers", "2")
}

func relays(t *testing.T, s *server) {
	o := s.options("/ws?topic=interop")
	var peers []*peer
	for _, c := range clients {
		peers = append(peers, dial(t, c, o))
	}
	if o.compress {
		o.compress = false
		for _, c := range clients {
			p := dial(t, c, o)
			p.name += " without compression"
			peers = append(peers, p)
		}
	}
	for i, from := range peers {
		ok := t.Run("from "+from.name, func(t *testing.T) {
			for _, size := range []int{0, 1, 126, 65536, 1 << 20} {
				// The sizes differ, so that no message can stand for another.
				words, data := textOf(size+i), bytesOf(size+i)
				from.in(t).message(text, words)
				for _, p := range peers {
					p.in(t).expect(text, words)
				}
				from.in(t).message(binary, data)
				for _, p := range peers {
					p.in(t).expect(binary, data)
				}
			}
		})
		if !ok {
			return // the next would find what this one left
		}
	}
}
