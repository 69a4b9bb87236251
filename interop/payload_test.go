package interop

import (
	"fmt"
	"math/rand/v2"
	"unicode/utf8"
)

// textOf returns text of so many bytes that compresses well, has characters of
// one to four bytes, and is different everywhere, so that nothing can be moved
// unnoticed.
func textOf(size int) []byte {
	text := make([]byte, 0, size+64)
	for i := 0; len(text) < size; i++ {
		text = fmt.Appendf(text, "%d: grüße, 世界 🙂\n", i)
	}
	text = text[:size]
	for i := size - 1; i >= 0 && !utf8.Valid(text); i-- { // a character is cut off
		text[i] = '.'
	}
	return text
}

// bytesOf returns so many bytes that don't compress, always the same.
func bytesOf(size int) []byte {
	data := make([]byte, size)
	var seed [32]byte
	seed[0] = 1
	rand.NewChaCha8(seed).Read(data)
	return data
}
