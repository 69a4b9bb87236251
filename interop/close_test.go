package interop

import "testing"

// The server answers a close frame with its code.
func TestClientCloses(t *testing.T) {
	everyClient(t, func(t *testing.T, s *server, c client) {
		p := s.dial(t, c, "/echo")
		p.message(text, []byte("last words"))
		p.expect(text, []byte("last words"))
		p.must(p.close(3001, "that's all, さようなら"))
		p.expectClosed(3001)
	})
}

// A message over the limit ends the connection with a code that says so, even
// if it is compressed to less.
func TestServerCloses(t *testing.T) {
	everyClient(t, func(t *testing.T, s *server, c client) {
		p := s.dial(t, c, "/echo")
		// Sending may fail: the server needn't wait for all of it.
		_ = p.send(binary, make([]byte, maxMessage+1), true)
		if reason := p.expectClosed(1009); reason == "" {
			t.Errorf("%s: the server gave no reason", p.name)
		}
	})
}

// A server that ends tells its clients.
func TestShutdown(t *testing.T) {
	everyColumn(t, func(t *testing.T, s *server) {
		var peers []*peer
		for _, c := range clients {
			peers = append(peers, s.dial(t, c, "/ws"))
		}
		s.terminate()
		for _, p := range peers {
			p.expectClosed(1001)
		}
	})
}
