package wire

import (
	"bytes"
	"strings"
	"testing"
)

// BenchmarkDecode reads masked frames. The mask is zero so that the input stays
// what it is; taking it off costs the same as any other.
func BenchmarkDecode(b *testing.B) {
	small := AppendMaskedFrame(nil, OpText, []byte(strings.Repeat("a", 128)), [4]byte{})
	large := AppendMaskedFrame(nil, OpText, []byte(strings.Repeat("a", 64<<10)), [4]byte{})
	for _, bm := range []struct {
		name string
		in   []byte
		cuts []int
	}{
		{"text=128B", small, nil},
		{"text=128B/frames=16", bytes.Repeat(small, 16), nil},
		{"text=64KiB", large, nil},
		{"text=128B/split=header", small, []int{1, 5}},
		{"text=128B/split=payload", small, []int{60}},
		{"text=64KiB/split=payload", large, []int{16 << 10, 32 << 10, 48 << 10}},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(bm.in)))
			var d Decoder
			defer d.Reset()
			cuts := append(bm.cuts, len(bm.in))
			for b.Loop() {
				start := 0
				for _, end := range cuts {
					for p := bm.in[start:end]; len(p) > 0; {
						_, n, err := d.Next(p, &fromClient)
						if err != nil {
							b.Fatal(err)
						}
						p = p[n:]
					}
					start = end
				}
				d.Settle()
			}
		})
	}
}

// BenchmarkUpgrade answers the handshake of a browser.
func BenchmarkUpgrade(b *testing.B) {
	in := []byte(request("GET /ws?topic=lobby HTTP/1.1",
		"Pragma: no-cache", "Cache-Control: no-cache", "Accept-Encoding: gzip, deflate, br, zstd",
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
		"Origin: https://example.com", "Accept-Language: en", "Cookie: session="+strings.Repeat("a", 200),
		"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"))
	u := NewUpgrader(false)
	var h Head
	out := make([]byte, 0, 512)
	accept := func(Agreement) error { return nil }
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.Parse(in, 0); err != nil {
			b.Fatal(err)
		}
		if _, err := u.Upgrade(out, &h, nil, accept); err != nil {
			b.Fatal(err)
		}
	}
}
