package wire

import "unicode/utf8"

// checkUTF8 looks at text that may still be cut off, of which the first done
// bytes have been checked before. It returns how many bytes are now known to
// be whole, valid runes, and reports whether the rest, at most three bytes,
// can still become one. With final set nothing may be left over.
//
// So bad text is refused as soon as its first impossible byte is there
// (RFC 6455 section 8.1), and no byte is looked at more than a few times.
func checkUTF8(text []byte, done int, final bool) (int, bool) {
	rest := text[done:]
	if utf8.Valid(rest) {
		return len(text), true
	}
	if final {
		return done, false
	}
	for i := len(rest) - 1; i >= 0 && i >= len(rest)-(utf8.UTFMax-1); i-- {
		if utf8.RuneStart(rest[i]) {
			if utf8.FullRune(rest[i:]) || !utf8.Valid(rest[:i]) {
				return done, false
			}
			return done + i, true
		}
	}
	return done, false
}
