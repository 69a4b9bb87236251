package payload

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// forms are the two of payloads: bytes, and text.
var forms = []bool{false, true}

func message(size int, text bool) ([]byte, Header) {
	p := make([]byte, size)
	h := Header{Run: 0x1122334455667788, Publisher: 7, Topic: 3, Seq: 42, Intended: 123456789}
	c := NewCodec(h.Run, text)
	c.Pad(p)
	c.Put(p, h)
	return p, h
}

func TestLayout(t *testing.T) {
	p, _ := message(LeastBinary+4, false)
	want := "48424c47" + "1122334455667788" + "00000007" + "00000003" + "0000002a" +
		"00000000075bcd15" + "0000002c"
	if got := hex.EncodeToString(p[:offSum]); got != want {
		t.Errorf("header is\n%s, want\n%s", got, want)
	}
}

// As text, a payload is a JSON string that stands for itself.
func TestText(t *testing.T) {
	p, _ := message(LeastText+4, true)
	if want := `"SEJMRxEiM0RVZneIAAAABwAAAAMAAAAqAAAAAAdbzRUAAAA8`; string(p[:len(want)]) != want {
		t.Errorf("it begins with\n%s, want\n%s", p[:len(want)], want)
	}
	var s string
	if err := json.Unmarshal(p, &s); err != nil || `"`+s+`"` != string(p) {
		t.Errorf("%s is the string %q, %v", p, s, err)
	}
	for _, gap := range []string{"\n\n", "=="} {
		if h, err := NewCodec(0x1122334455667788, true).Parse(append(p[:textHeader-2:textHeader-2], gap+string(p[textHeader:])...)); !errors.Is(err, ErrForeign) {
			t.Errorf("with %q in the header: Parse = %+v, %v", gap, h, err)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	for _, text := range forms {
		for _, size := range []int{LeastText, LeastText + 1, 128, 70000} {
			p, want := message(size, text)
			got, err := NewCodec(want.Run, text).Parse(p)
			if err != nil || got != want {
				t.Errorf("text %v, size %d: Parse = %+v, %v; want %+v", text, size, got, err, want)
			}
		}
	}
	p, want := message(LeastBinary, false)
	if got, err := NewCodec(want.Run, false).Parse(p); err != nil || got != want {
		t.Errorf("the header alone: Parse = %+v, %v; want %+v", got, err, want)
	}
}

func TestEveryBitCounts(t *testing.T) {
	for _, text := range forms {
		p, h := message(LeastText+9, text)
		c := NewCodec(h.Run, text)
		for i := range 8 * len(p) {
			p[i/8] ^= 1 << (i % 8)
			if got, err := c.Parse(p); err == nil {
				t.Errorf("text %v: bit %d of byte %d is flipped, but Parse = %+v", text, i%8, i/8, got)
			}
			p[i/8] ^= 1 << (i % 8)
		}
	}
}

func TestParseErrors(t *testing.T) {
	const long = "a message that somebody else has written into the topic"
	for _, text := range forms {
		whole, h := message(128, text)
		for _, tt := range []struct {
			name string
			p    []byte
			run  uint64
			want error
		}{
			{"empty", nil, h.Run, ErrForeign},
			{"shorter than a header", whole[:headerSize-1], h.Run, ErrForeign},
			{"text", []byte(long), h.Run, ErrForeign},
			{"JSON", []byte(`"` + long + `"`), h.Run, ErrForeign},
			{"letters", []byte(`"` + strings.Repeat("abcd", 30) + `"`), h.Run, ErrForeign},
			{"cut off", whole[:127], h.Run, ErrLength},
			{"continued", append(bytes.Clone(whole), 0), h.Run, ErrLength},
			{"another run", whole, h.Run + 1, ErrForeign},
		} {
			if _, err := NewCodec(tt.run, text).Parse(tt.p); !errors.Is(err, tt.want) {
				t.Errorf("%s, text %v: error %v, want %v", tt.name, text, err, tt.want)
			}
		}
	}
}

func TestNoAllocation(t *testing.T) {
	for _, text := range forms {
		p, h := message(128, text)
		c := NewCodec(h.Run, text)
		if n := testing.AllocsPerRun(100, func() {
			c.Put(p, h)
			if _, err := c.Parse(p); err != nil {
				t.Error(err)
			}
		}); n != 0 {
			t.Errorf("text %v: %v allocations per message, want 0", text, n)
		}
	}
}

// What Parse accepts, Put writes again to the byte.
func FuzzParse(f *testing.F) {
	for _, text := range forms {
		p, _ := message(64, text)
		f.Add(p, text)
		f.Add(p[:headerSize], text)
	}
	f.Add([]byte("HBLG"), false)
	f.Fuzz(func(t *testing.T, p []byte, text bool) {
		_, known := message(64, text)
		c := NewCodec(known.Run, text)
		h, err := c.Parse(p)
		if err != nil {
			return
		}
		again := bytes.Clone(p)
		c.Put(again, h)
		if !bytes.Equal(p, again) {
			t.Errorf("accepted\n%x, which would be\n%x", p, again)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	for _, text := range forms {
		b.Run(fmt.Sprintf("text=%v", text), func(b *testing.B) {
			p, h := message(128, text)
			c := NewCodec(h.Run, text)
			b.ReportAllocs()
			b.SetBytes(int64(len(p)))
			for b.Loop() {
				if _, err := c.Parse(p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
