package payload

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"
)

func message(size int) ([]byte, Header) {
	p := make([]byte, size)
	Pad(p)
	h := Header{Run: 0x1122334455667788, Publisher: 7, Topic: 3, Seq: 42, Intended: 123456789}
	NewCodec(h.Run).Put(p, h)
	return p, h
}

func TestLayout(t *testing.T) {
	p, _ := message(HeaderSize + 4)
	want := "48424c47" + "1122334455667788" + "00000007" + "00000003" + "0000002a" +
		"00000000075bcd15" + "0000002c"
	if got := hex.EncodeToString(p[:offSum]); got != want {
		t.Errorf("header is\n%s, want\n%s", got, want)
	}
}

func TestRoundTrip(t *testing.T) {
	for _, size := range []int{HeaderSize, HeaderSize + 1, 128, 70000} {
		p, want := message(size)
		got, err := NewCodec(want.Run).Parse(p)
		if err != nil || got != want {
			t.Errorf("size %d: Parse = %+v, %v; want %+v", size, got, err, want)
		}
	}
}

func TestEveryBitCounts(t *testing.T) {
	p, h := message(HeaderSize + 9)
	c := NewCodec(h.Run)
	for i := range 8 * len(p) {
		p[i/8] ^= 1 << (i % 8)
		if got, err := c.Parse(p); err == nil {
			t.Errorf("bit %d of byte %d is flipped, but Parse = %+v", i%8, i/8, got)
		}
		p[i/8] ^= 1 << (i % 8)
	}
}

func TestParseErrors(t *testing.T) {
	whole, h := message(128)
	for _, tt := range []struct {
		name string
		p    []byte
		run  uint64
		want error
	}{
		{"empty", nil, h.Run, ErrForeign},
		{"shorter than a header", whole[:HeaderSize-1], h.Run, ErrForeign},
		{"text", []byte("a message that somebody else has written into the topic"), h.Run, ErrForeign},
		{"cut off", whole[:127], h.Run, ErrLength},
		{"continued", append(bytes.Clone(whole), 0), h.Run, ErrLength},
		{"another run", whole, h.Run + 1, ErrForeign},
	} {
		if _, err := NewCodec(tt.run).Parse(tt.p); !errors.Is(err, tt.want) {
			t.Errorf("%s: error %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	p, h := message(128)
	c := NewCodec(h.Run)
	if n := testing.AllocsPerRun(100, func() {
		c.Put(p, h)
		if _, err := c.Parse(p); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations per message, want 0", n)
	}
}

// What Parse accepts, Put writes again to the byte.
func FuzzParse(f *testing.F) {
	p, h := message(64)
	f.Add(p)
	f.Add(p[:HeaderSize])
	f.Add([]byte("HBLG"))
	c := NewCodec(h.Run)
	f.Fuzz(func(t *testing.T, p []byte) {
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
	p, h := message(128)
	c := NewCodec(h.Run)
	b.ReportAllocs()
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		if _, err := c.Parse(p); err != nil {
			b.Fatal(err)
		}
	}
}
