package wire

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
)

// feed gives d the chunks of in that end at cuts and at the end of in. The
// bytes that were taken are overwritten, so that what a Decoder has kept of
// them by reference shows.
func feed(t *testing.T, d *Decoder, r Rules, in []byte, cuts ...int) (o outcome) {
	t.Helper()
	start := 0
	for _, end := range append(cuts, len(in)) {
		chunk := bytes.Clone(in[start:end])
		start = end
		for p := chunk; len(p) > 0; {
			m, n, err := d.Next(p, &r)
			if err != nil {
				var pe *ProtocolError
				if !errors.As(err, &pe) {
					t.Fatalf("the error is a %T: %v", err, err)
				}
				o.code = pe.Code
				return o
			}
			if m.Op == 0 && n != len(p) {
				t.Fatalf("without a message, %d of %d bytes were taken", n, len(p))
			}
			if m.Op != 0 {
				o.got = append(o.got, message{m.Op, string(m.Payload)})
			}
			p = p[n:]
		}
		for i := range chunk {
			chunk[i] = 0xee
		}
		o.middle = !d.Settle()
	}
	return o
}

// each returns the cuts that feed n bytes one by one.
func each(n int) []int {
	var cuts []int
	for i := 1; i < n; i++ {
		cuts = append(cuts, i)
	}
	return cuts
}

// places returns where to split n bytes in two: everywhere if they are few,
// else around the start, the end, and some more.
func places(n int) []int {
	var all []int
	for i := 0; i <= n; i++ {
		if n < 1000 || i < 20 || i > n-4 || i%16384 < 2 {
			all = append(all, i)
		}
	}
	return all
}

func (c *frameCase) check(t *testing.T, how string, got outcome) {
	t.Helper()
	want := outcome{c.want, c.middle, c.code}
	if c.code != 0 { // what state the Decoder is in then, nobody has to know
		got.middle = want.middle
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %.200v, want %.200v", how, got, want)
	}
}

func TestDecoder(t *testing.T) {
	for _, c := range frameCases {
		t.Run(c.section+" "+c.name, func(t *testing.T) {
			in := []byte(c.in)
			var d Decoder
			defer d.Reset()
			c.check(t, "whole", feed(t, &d, c.rules, in))
			d.Reset()
			c.check(t, "byte by byte", feed(t, &d, c.rules, in, each(len(in))...))
			for _, i := range places(len(in)) {
				d.Reset()
				if c.check(t, "split", feed(t, &d, c.rules, in, i)); t.Failed() {
					t.Fatalf("split at %d", i)
				}
			}
			if c.code == 0 {
				return
			}
			d.Reset()
			if o := feed(t, &d, c.rules, in[:c.at-1], each(c.at-1)...); o.code != 0 {
				t.Errorf("fails before byte %d", c.at)
			}
			d.Reset()
			if o := feed(t, &d, c.rules, in[:c.at], each(c.at)...); o.code != c.code {
				t.Errorf("after byte %d the code is %d, want %d", c.at, o.code, c.code)
			}
		})
	}
}

// One Decoder may read one connection after the other: nothing of an earlier
// one shows.
func TestDecoderForEveryCase(t *testing.T) {
	var d Decoder
	for _, c := range frameCases {
		c.check(t, c.name, feed(t, &d, c.rules, []byte(c.in)))
		if !d.Settle() || c.code != 0 {
			d.Reset()
		}
	}
}

func TestOracle(t *testing.T) {
	for _, c := range frameCases {
		c.check(t, c.section+" "+c.name, oracle([]byte(c.in), c.rules))
	}
}

// Every two cases that end between messages are one longer case.
func TestDecoderInARow(t *testing.T) {
	for _, a := range frameCases {
		if a.middle || a.code != 0 || len(a.in) > 300 {
			continue
		}
		for _, b := range frameCases {
			if a.rules.Client != b.rules.Client || len(b.in) > 300 {
				continue
			}
			r := a.rules
			r.MaxMessage = min(a.rules.MaxMessage, b.rules.MaxMessage)
			in := []byte(a.in + b.in)
			want := oracle(in, r)
			var d Decoder
			got := feed(t, &d, r, in, len(a.in)/2, len(a.in)+len(b.in)/2)
			d.Reset()
			if want.code != 0 {
				got.middle = want.middle
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s, then %s: got %.200v, want %.200v", a.name, b.name, got, want)
			}
		}
	}
}

// A message is in place when its frame is whole in the input: the hot path
// copies nothing.
func TestDecoderInPlace(t *testing.T) {
	in := []byte("\x89\x82\x01\x02\x03\x04\x60\x60" + "\x81\x83\x01\x02\x03\x04\x60\x60\x60")
	var d Decoder
	m, n, err := d.Next(in, &fromClient)
	if err != nil || n != 8 || &m.Payload[0] != &in[6] {
		t.Errorf("a whole ping isn't in place (%d bytes taken, %v)", n, err)
	}
	m, n, err = d.Next(in[8:], &fromClient)
	if err != nil || n != 9 || &m.Payload[0] != &in[14] {
		t.Errorf("a whole message isn't in place (%d bytes taken, %v)", n, err)
	}
	if d.msg != nil || !d.Settle() {
		t.Error("the Decoder holds something after whole messages")
	}
}
