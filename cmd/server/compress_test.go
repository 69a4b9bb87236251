package main

import (
	"strings"
	"testing"

	"github.com/gobwas/httphead"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"
)

// TestCompress: who can gets messages compressed, from -compress-min on, if the
// server may; whichever process they come from.
func TestCompress(t *testing.T) {
	able := ws.Dialer{Extensions: []httphead.Option{wsflate.DefaultParameters.Option()}}
	for _, form := range forms {
		for _, tt := range []struct {
			name       string
			args       []string
			from       int // size from which on it is compressed
			compresses bool
		}{
			{"on", []string{"-compress"}, 256, true},
			{"from a size on", []string{"-compress", "-compress-min", "128"}, 128, true},
			{"off", nil, 256, false},
		} {
			t.Run(form.name+"/"+tt.name, func(t *testing.T) {
				p := start(t, append(append(form.args, "-max-conns", "2"), tt.args...)...) // one to each worker
				plain := dial(t, p.addr, "/ws")
				c, err := p.sites(nil)[0].tryDialWith(able, "/ws")
				if err != nil {
					t.Fatal(err)
				}
				for _, size := range []int{tt.from - 1, tt.from} {
					text := strings.Repeat("x", size)
					plain.send(text)
					plain.expect(text)
					f, err := ws.ReadFrame(c.rw)
					if err != nil {
						t.Fatal(err)
					}
					want := tt.compresses && size >= tt.from
					if f.Header.Rsv1() != want || want != (f.Header.Length < int64(size)) {
						t.Errorf("%d bytes: a frame of %d, compressed: %v, want %v", size, f.Header.Length, f.Header.Rsv1(), want)
					}
					if want {
						if f, err = wsflate.DecompressFrame(f); err != nil {
							t.Fatal(err)
						}
					}
					if string(f.Payload) != text {
						t.Errorf("received %q, want %q", f.Payload, text)
					}
				}
			})
		}
	}
}
