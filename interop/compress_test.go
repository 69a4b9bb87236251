package interop

import (
	"bytes"
	"strings"
	"testing"
)

// everyCompressed is everyClient for the columns with compression.
func everyCompressed(t *testing.T, test func(t *testing.T, s *server, c client), args ...string) {
	for _, col := range columns {
		if !col.compress {
			continue
		}
		t.Run(col.name, func(t *testing.T) {
			s := serve(t, col, args...)
			for _, c := range clients {
				t.Run(c.name, func(t *testing.T) { test(t, s, c) })
			}
		})
	}
}

// What is long enough crosses the wire compressed, both ways, and what is
// shorter than -compress-min doesn't from the server.
func TestFewerBytes(t *testing.T) {
	const least = 3000
	everyCompressed(t, func(t *testing.T, s *server, c client) {
		p := s.dial(t, c, "/echo")
		echo := func(message []byte) (read, written int64) {
			t.Helper()
			read0, written0 := p.traffic()
			p.message(text, message)
			p.expect(text, message)
			read, written = p.traffic()
			return read - read0, written - written0
		}
		const size = 1 << 20
		for range 2 { // the second after a whole message, with what is kept of it
			read, written := echo(textOf(size))
			if read >= size/2 || written >= size/2 {
				t.Errorf("%s: text of %d bytes took %d bytes to come and %d to go", p.name, size, read, written)
			}
		}
		if read, _ := echo(textOf(least - 1)); read < least-1 {
			t.Errorf("%s: text of %d bytes took %d bytes to come, with -compress-min %d", p.name, least-1, read, least)
		}
		if read, _ := echo(textOf(least)); read >= least {
			t.Errorf("%s: text of %d bytes took %d bytes to come, with -compress-min %d", p.name, least, read, least)
		}
	}, "-compress-min", "3000")
}

// A client that doesn't offer compression is served without.
func TestNoOffer(t *testing.T) {
	everyCompressed(t, func(t *testing.T, s *server, c client) {
		o := s.options("/echo")
		o.compress = false
		p := dial(t, c, o) // which looks at the answer
		p.message(text, textOf(5000))
		p.expect(text, textOf(5000))
	})
}

// A client that asks for a small window gets it, or no compression (RFC 7692
// section 7.1.2.1).
func TestSmallWindow(t *testing.T) {
	for _, col := range columns {
		if !col.compress {
			continue
		}
		t.Run(col.name, func(t *testing.T) {
			o := serve(t, col).options("/echo")
			o.window = 9
			p := &peer{dialNode(t, o), t, "ws"}
			if got := p.extensions(); got != "" && !strings.Contains(got, "server_max_window_bits=9") {
				t.Errorf("the server answered the offer of server_max_window_bits=9 with %q", got)
			}
			// What repeats lies 4096 bytes back, further than the window of 512
			// reaches: ws fails if the server refers to it.
			far := bytes.Repeat(bytesOf(4096), 16)
			p.message(binary, far)
			p.expect(binary, far)
			p.message(text, textOf(65536))
			p.expect(text, textOf(65536))
		})
	}
}
