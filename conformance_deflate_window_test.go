package hubbub

import (
	"compress/flate"
	"errors"
	"strings"
	"testing"
)

// furthest returns the largest distance in bytes that a compressed message
// looks back (RFC 1951 section 3.2), which compress/flate doesn't tell. The
// message lacks its last four bytes, as permessage-deflate has it.
func furthest(message string) (distance int, err error) {
	d := &deflateWalk{in: message + "\x00\x00\xff\xff"}
	defer func() {
		if r := recover(); r != nil {
			var ok bool
			if err, ok = r.(error); !ok || !errors.Is(err, errDeflateWalk) {
				panic(r)
			}
		}
	}()
	for last := 0; last == 0 && d.at < 8*len(d.in); {
		last = d.bits(1)
		switch d.bits(2) {
		case 0:
			d.at = (d.at + 7) &^ 7
			n := d.bits(16)
			if d.bits(16) != n^0xffff {
				panic(errDeflateWalk)
			}
			d.at += 8 * n
		case 1:
			d.codes(fixedCodes())
		case 2:
			d.codes(d.dynamicCodes())
		default:
			panic(errDeflateWalk)
		}
	}
	return d.furthest, nil
}

var errDeflateWalk = errors.New("not a deflate stream")

type deflateWalk struct {
	in       string
	at       int // in bits
	furthest int
}

func (d *deflateWalk) bits(n int) (v int) {
	for i := range n {
		if d.at >= 8*len(d.in) {
			panic(errDeflateWalk)
		}
		v |= int(d.in[d.at/8]>>(d.at%8)&1) << i
		d.at++
	}
	return v
}

// A prefixCode is a code as RFC 1951 section 3.2.2 has it: how many codes there
// are of each length, and the symbols in the order of their codes.
type prefixCode struct {
	count   [16]int
	symbols []int
}

func newPrefixCode(lengths []int) (c prefixCode) {
	for n := 1; n < 16; n++ {
		for symbol, length := range lengths {
			if length == n {
				c.count[n]++
				c.symbols = append(c.symbols, symbol)
			}
		}
	}
	return c
}

func (d *deflateWalk) symbol(c prefixCode) int {
	code, first, index := 0, 0, 0
	for n := 1; n < 16; n++ {
		code |= d.bits(1)
		if code-first < c.count[n] {
			return c.symbols[index+code-first]
		}
		index += c.count[n]
		first = (first + c.count[n]) << 1
		code <<= 1
	}
	panic(errDeflateWalk)
}

func fixedCodes() (literals, distances prefixCode) {
	lengths := make([]int, 288)
	for i := range lengths {
		switch {
		case i < 144 || i >= 280:
			lengths[i] = 8
		case i < 256:
			lengths[i] = 9
		default:
			lengths[i] = 7
		}
	}
	five := make([]int, 30)
	for i := range five {
		five[i] = 5
	}
	return newPrefixCode(lengths), newPrefixCode(five)
}

func (d *deflateWalk) dynamicCodes() (literals, distances prefixCode) {
	nlit, ndist, ncode := d.bits(5)+257, d.bits(5)+1, d.bits(4)+4
	lengths := make([]int, 19)
	for _, i := range []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}[:ncode] {
		lengths[i] = d.bits(3)
	}
	code := newPrefixCode(lengths)
	lengths = nil
	for len(lengths) < nlit+ndist {
		n, times := d.symbol(code), 1
		switch n {
		case 16:
			if len(lengths) == 0 {
				panic(errDeflateWalk)
			}
			n, times = lengths[len(lengths)-1], 3+d.bits(2)
		case 17:
			n, times = 0, 3+d.bits(3)
		case 18:
			n, times = 0, 11+d.bits(7)
		}
		for range times {
			lengths = append(lengths, n)
		}
	}
	return newPrefixCode(lengths[:nlit]), newPrefixCode(lengths[nlit : nlit+ndist])
}

// codes walks through one block.
func (d *deflateWalk) codes(literals, distances prefixCode) {
	for {
		switch n := d.symbol(literals); {
		case n == 256:
			return
		case n > 284:
		case n > 264:
			d.bits((n - 261) / 4) // the length's extra bits
		case n < 256:
			continue
		}
		n := d.symbol(distances)
		distance := n + 1
		if n > 3 {
			extra := (n - 2) / 2
			distance = 1 + (2+n&1)<<extra + d.bits(extra)
		}
		d.furthest = max(d.furthest, distance)
	}
}

// The measure itself is right.
func TestConformanceDeflateMeasure(t *testing.T) {
	for _, n := range []int{10, 11, 12, 13, 16, 17, 24, 25, 100, 256, 257, 1000, 4097, 24577, 32000} {
		s := "0123456789" + strings.Repeat("\xff", n-10) + "0123456789"
		var b strings.Builder
		w, _ := flate.NewWriter(&b, flate.BestCompression)
		w.Write([]byte(s))
		w.Flush()
		if got, err := furthest(strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")); got != n || err != nil {
			t.Errorf("%d bytes apart: %d, %v", n, got, err)
		}
	}
	if _, err := furthest("\x07"); err == nil {
		t.Error("a block of an unknown type is measured")
	}
}
