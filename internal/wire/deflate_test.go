package wire

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"testing"
)

// RFC 7692 section 7.1: what is answered to an offer, "" for nothing.
func TestDeflateNegotiation(t *testing.T) {
	const (
		plain = "permessage-deflate;server_no_context_takeover;client_no_context_takeover"
		bits  = plain + ";server_max_window_bits="
	)
	for _, tt := range []struct {
		offer, answer string
		window        Window
	}{
		{"permessage-deflate", plain, FullWindow},
		{"permessage-deflate; client_max_window_bits", plain, FullWindow},
		{"permessage-deflate; client_max_window_bits=9", plain, FullWindow},
		{"permessage-deflate; server_no_context_takeover; client_no_context_takeover", plain, FullWindow},
		{"permessage-deflate; server_max_window_bits=15", bits + "15", FullWindow},
		{"permessage-deflate; server_max_window_bits=14", bits + "14", SmallWindow},
		{"permessage-deflate; server_max_window_bits=8", bits + "8", SmallWindow},
		{`permessage-deflate; server_max_window_bits="10"`, bits + "10", SmallWindow},
		{"x-webkit-deflate-frame, permessage-deflate", plain, FullWindow},
		{"permessage-deflate; server_max_window_bits=16, permessage-deflate; server_max_window_bits=9, permessage-deflate", bits + "9", SmallWindow},
		{"permessage-bzip2", "", 0},
		{"permessage-deflate; unknown", "", 0},
		{"permessage-deflate; server_no_context_takeover=1", "", 0},
		{"permessage-deflate; client_no_context_takeover=0", "", 0},
		{"permessage-deflate; server_max_window_bits", "", 0},
		{"permessage-deflate; server_max_window_bits=7", "", 0},
		{"permessage-deflate; server_max_window_bits=16", "", 0},
		{"permessage-deflate; server_max_window_bits=08", "", 0},
		{"permessage-deflate; server_max_window_bits=+9", "", 0},
		{"permessage-deflate; client_max_window_bits=7", "", 0},
		{"permessage-deflate; client_max_window_bits=150", "", 0},
		{"permessage-deflate; client_max_window_bits; client_max_window_bits", "", 0},
		{"permessage-deflate; server_max_window_bits=9; server_max_window_bits=10", "", 0},
	} {
		var h Head
		if _, err := h.Parse([]byte(request("GET / HTTP/1.1", "Sec-WebSocket-Extensions: "+tt.offer)), 0); err != nil {
			t.Fatal(err)
		}
		var agreed Agreement
		out, err := NewUpgrader(true).Upgrade(nil, &h, nil, func(a Agreement) error { agreed = a; return nil })
		if err != nil {
			t.Errorf("%s: %v", tt.offer, err)
			continue
		}
		if agreed.Window != tt.window {
			t.Errorf("%s: window %d, want %d", tt.offer, agreed.Window, tt.window)
		}
		if tt.answer == "" {
			checkResponse(t, string(out), http.StatusSwitchingProtocols)
			if bytes.Contains(out, []byte("Extensions")) {
				t.Errorf("%s: %q", tt.offer, out)
			}
			continue
		}
		checkResponse(t, string(out), http.StatusSwitchingProtocols, "Sec-Websocket-Extensions: "+tt.answer)
		if out, _ := NewUpgrader(false).Upgrade(nil, &h, nil, func(a Agreement) error { agreed = a; return nil }); agreed.Window != 0 || bytes.Contains(out, []byte("Extensions")) {
			t.Errorf("%s is agreed to where compression is off: %q", tt.offer, out)
		}
	}
}

// samples are messages of all kinds, from empty to 300 KB, by name.
func samples() map[string][]byte {
	rng := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 70_000)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	var chat bytes.Buffer
	for i := range 3000 {
		fmt.Fprintf(&chat, `{"id":%d,"user":"u%d","text":"hello hello %d"},`, i, rng.IntN(100), rng.IntN(1000))
	}
	return map[string][]byte{
		"empty": nil, "one byte": {'a'}, "short": []byte("Hello"), "noise": noise,
		"zeros": make([]byte, 300_000), "chat": chat.Bytes(),
	}
}

func TestDeflateRoundTrip(t *testing.T) {
	for name, want := range samples() {
		for _, w := range []Window{FullWindow, SmallWindow} {
			var sent []byte
			smaller := DeflateFrame(AppendFrame(nil, OpBinary, want), w, 1, func(head, payload []byte) {
				sent = append(bytes.Clone(head), payload...)
			})
			if compressible := name == "zeros" || name == "chat"; smaller != compressible {
				t.Errorf("%s, window %d: compressed is %t", name, w, smaller)
			}
			if !smaller {
				continue
			}
			var d Decoder
			rules := Rules{Client: true, Deflate: true, MaxMessage: len(want)}
			for _, cut := range []int{0, 1, 3, len(sent) / 2, len(sent) - 1} { // in two pieces
				in := bytes.Clone(sent)
				m, n, err := d.Next(in[:cut], &rules)
				if err == nil && m.Op == 0 {
					m, _, err = d.Next(in[n:], &rules)
				}
				if err != nil || m.Op != OpBinary || !bytes.Equal(m.Payload, want) {
					t.Fatalf("%s, window %d, cut at %d: %d bytes, %v", name, w, cut, len(m.Payload), err)
				}
				if !d.Settle() {
					t.Fatalf("%s: the Decoder still holds something", name)
				}
			}
			rules.MaxMessage--
			if _, _, err := d.Next(bytes.Clone(sent), &rules); !errors.Is(err, errTooBig) {
				t.Errorf("%s: a byte more than allowed gives %v", name, err)
			}
			d.Reset()
		}
	}
}

// What had better go as it is does.
func TestDeflateNot(t *testing.T) {
	text := []byte(strings.Repeat("a", 255))
	for name, frame := range map[string][]byte{
		"a short message": AppendFrame(nil, OpText, text),
		"a ping":          AppendFrame(nil, OpPing, text[:125]),
		"a close frame":   AppendCloseFrame(nil, 1000, strings.Repeat("a", 123)),
		"a huge message":  AppendFrame(nil, OpText, make([]byte, maxDeflate+1)),
	} {
		if DeflateFrame(frame, FullWindow, 256, func([]byte, []byte) { t.Errorf("%s is compressed", name) }) {
			t.Errorf("%s is reported compressed", name)
		}
	}
}

// RFC 7692 section 7.2.3, the bytes of the examples; and what the RFC allows
// besides.
func TestInflateExamples(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"7.2.3.1", "\xf2\x48\xcd\xc9\xc9\x07\x00", "Hello"},
		{"7.2.3.3 no compression", "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", "Hello"},
		{"7.2.3.4 BFINAL", "\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "Hello"},
		{"7.2.3.5 two blocks", "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", "Hello"},
		{"7.2.3.6 an empty message", "\x00", ""},
		{"two streams", "\xf3\x48\xcd\xc9\xc9\x07\x00" + "\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "HelloHello"},
	} {
		got, err := inflate(nil, []byte(tt.in), 100)
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
	for name, in := range map[string]string{
		"a reserved block type":   "\x06\x00",
		"a distance too far":      "\xf2\x48\xcd\xc9\xc9\x07\x91\x00",
		"lengths that don't fit":  "\x00\x05\x00\xfb\xff\x48\x65\x6c\x6c\x6f\x00",
		"nothing but ends":        strings.Repeat("\x03\x00", 30_000),
		"no block at all":         "",
		"a dynamic block cut off": "\x04",
	} {
		if got, err := inflate(nil, []byte(in), 1000); !errors.Is(err, errDeflate) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// A bomb takes no more memory than the largest message allowed, or little more.
func TestInflateBomb(t *testing.T) {
	var bomb bytes.Buffer
	w, _ := flate.NewWriter(&bomb, flate.BestCompression)
	w.Write(make([]byte, 64<<20))
	w.Flush()
	const limit = 1 << 20
	frame := AppendMaskedFrame(nil, OpBinary, bomb.Bytes()[:bomb.Len()-4], [4]byte{1, 2, 3, 4})
	frame[0] |= bitRSV1
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var d Decoder
	_, _, err := d.Next(frame, &Rules{MaxMessage: limit, Deflate: true})
	runtime.ReadMemStats(&after)
	if !errors.Is(err, errTooBig) {
		t.Fatalf("%v, want %v", err, errTooBig)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 8*limit {
		t.Errorf("%d bytes were allocated for a message of at most %d", took, limit)
	}
	d.Reset()
}

// RSV1 marks the first frame of a message, and nothing else.
func TestRSV1(t *testing.T) {
	deflate := Rules{MaxMessage: 100, Deflate: true}
	for _, tt := range []struct {
		name string
		in   string
		r    *Rules
		ok   bool
	}{
		{"a compressed message", "\xc1\x87" + m0 + "\xf2\x48\xcd\xc9\xc9\x07\x00", &deflate, true},
		{"where it wasn't agreed on", "\xc1\x87" + m0 + "\xf2\x48\xcd\xc9\xc9\x07\x00", &fromClient, false},
		{"a message as it is", "\x81\x85" + m0 + "Hello", &deflate, true},
		{"two compressed fragments", "\x41\x83" + m0 + "\xf2\x48\xcd" + "\x80\x84" + m0 + "\xc9\xc9\x07\x00", &deflate, true},
		{"a marked continuation", "\x41\x83" + m0 + "\xf2\x48\xcd" + "\xc0\x84" + m0 + "\xc9\xc9\x07\x00", &deflate, false},
		{"a marked ping", "\xc9\x80" + m0, &deflate, false},
		{"RSV2", "\xa1\x80" + m0, &deflate, false},
		{"RSV3", "\x91\x80" + m0, &deflate, false},
		{"RSV1 and RSV2", "\xe1\x80" + m0, &deflate, false},
		{"bad text inside", "\xc1\x84" + m0 + "\xfa\x0f\x00\x00", &deflate, false},
	} {
		var d Decoder
		var got Message
		var err error
		for in := []byte(tt.in); len(in) > 0 && err == nil; {
			var n int
			got, n, err = d.Next(in, tt.r)
			in = in[n:]
		}
		if ok := err == nil; ok != tt.ok || ok && string(got.Payload) != "Hello" {
			t.Errorf("%s: %q, %v", tt.name, got.Payload, err)
		}
		d.Reset()
	}
}

// The standard library's reader and ours agree on any input, as far as one
// stream goes.
func FuzzInflate(f *testing.F) {
	for _, p := range samples() {
		var b bytes.Buffer
		w, _ := flate.NewWriter(&b, 6)
		w.Write(p[:min(len(p), 100)])
		w.Flush()
		f.Add(b.Bytes())
	}
	f.Add([]byte("\xf3\x48\xcd\xc9\xc9\x07\x00\x00"))
	f.Fuzz(func(t *testing.T, in []byte) {
		const limit = 1 << 16
		got, err := inflate(nil, in, limit)
		src := bytes.NewReader(append(bytes.Clone(in), flateTail...))
		want, wantErr := io.ReadAll(io.LimitReader(flate.NewReader(src), limit+1))
		switch {
		case len(want) > limit:
			if !errors.Is(err, errTooBig) {
				t.Fatalf("%v, want %v", err, errTooBig)
			}
		case wantErr != nil:
			if !errors.Is(err, errDeflate) {
				t.Fatalf("%v where the standard library says %v", err, wantErr)
			}
		case src.Len() > 0: // the first stream of several
			if !bytes.HasPrefix(got, want) {
				t.Fatalf("%q doesn't begin with %q", got, want)
			}
		case err != nil || !bytes.Equal(got, want):
			t.Fatalf("%q, %v, want %q", got, err, want)
		}
	})
}
