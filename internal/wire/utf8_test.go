package wire

import (
	"testing"
	"unicode/utf8"
)

// A rune that is cut off in every place, and what can't become one, for each
// row of the table of well-formed bytes (Unicode, table 3-7).
func TestCheckUTF8(t *testing.T) {
	tests := []struct {
		name string
		text string
		bad  int // the byte that makes it impossible, from 1; 0 for none
	}{
		{"ASCII", "\x00\x7f", 0},
		{"two bytes, first", "\xc2\x80", 0},
		{"two bytes, last", "\xdf\xbf", 0},
		{"three bytes, first", "\xe0\xa0\x80", 0},
		{"three bytes, before the surrogates", "\xed\x9f\xbf", 0},
		{"three bytes, behind the surrogates", "\xee\x80\x80", 0},
		{"three bytes, last", "\xef\xbf\xbf", 0},
		{"four bytes, first", "\xf0\x90\x80\x80", 0},
		{"four bytes, last", "\xf4\x8f\xbf\xbf", 0},
		{"C0", "\xc0\x80", 1},
		{"C1", "\xc1\xbf", 1},
		{"E0 9F", "\xe0\x9f\xbf", 2},
		{"ED A0", "\xed\xa0\x80", 2},
		{"F0 8F", "\xf0\x8f\xbf\xbf", 2},
		{"F4 90", "\xf4\x90\x80\x80", 2},
		{"F5", "\xf5\x80\x80\x80", 1},
		{"FF", "\xff", 1},
		{"80", "\x80", 1},
		{"a letter in second place", "\xe2a\x80", 2},
		{"a letter in third place", "\xe2\x82a", 3},
		{"a letter in fourth place", "\xf0\x9f\x98a", 4},
		{"a lead byte in second place", "\xe2\xc3\xa9", 2},
		{"a lead byte in fourth place", "\xf0\x9f\x98\xc3", 4},
		{"too many continuation bytes", "\xc3\xa9\xa9", 3},
	}
	for _, tt := range tests {
		for _, before := range []string{"", "a", "ab", "abc", "é", "€", "😀", "a€"} {
			text := []byte(before + tt.text)
			done := 0
			for n := len(before); n <= len(text); n++ {
				at := n - len(before)
				good, ok := checkUTF8(text[:n], done, false)
				if ok != (tt.bad == 0 || at < tt.bad) {
					t.Errorf("%s, behind %q: after byte %d of it, ok is %t", tt.name, before, at, ok)
				}
				if !ok {
					break
				}
				done = good
				if _, whole := checkUTF8(text[:n], done, true); whole != utf8.Valid(text[:n]) {
					t.Errorf("%s, behind %q: ended after byte %d, ok is %t", tt.name, before, at, whole)
				}
			}
		}
	}
}

// However text is cut, it is refused at the first byte that makes it
// impossible, not before and not later, and what is accepted is valid.
func FuzzUTF8(f *testing.F) {
	f.Fuzz(func(t *testing.T, text, cuts []byte) {
		if len(text) > 1000 {
			return
		}
		bad := len(text) + 1 // bytes after which text is impossible
		for n := range len(text) + 1 {
			if !canBeText(text[:n]) {
				bad = n
				break
			}
		}
		done, n := 0, 0
		for {
			var ok bool
			if done, ok = checkUTF8(text[:n], done, false); ok != (n < bad) {
				t.Fatalf("%q, cut at %v: after %d bytes ok is %t, but it is impossible after %d", text, cuts, n, ok, bad)
			}
			if !ok {
				return
			}
			if done > n || n-done > 3 || !utf8.Valid(text[:done]) {
				t.Fatalf("%q, cut at %v: after %d bytes, %d are said to be good", text, cuts, n, done)
			}
			if n == len(text) {
				break
			}
			step := 1
			if len(cuts) > 0 {
				step, cuts = int(cuts[0]), cuts[1:]
			}
			n = min(n+step, len(text))
		}
		if _, ok := checkUTF8(text, done, true); ok != utf8.Valid(text) {
			t.Fatalf("%q: in the end ok is %t", text, ok)
		}
	})
}
