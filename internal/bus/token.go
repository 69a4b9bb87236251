package bus

import (
	"fmt"
	"net/url"
	"strings"
)

// token returns a name as a part of a subject, or as the name of a stream, which mustn't have dots, spaces, wildcards
// or slashes: all but letters, digits, - and _ become = and two hexadecimal digits. An empty name becomes =.
func token(name string) string {
	if name == "" {
		return "="
	}
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
			b.WriteByte(c)
		default:
			b.WriteByte('=')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}

// untoken returns the name that token has made t of.
func untoken(t string) (string, error) {
	if t == "=" {
		return "", nil
	}
	name, err := url.PathUnescape(strings.ReplaceAll(t, "=", "%"))
	if err != nil {
		return "", fmt.Errorf("bus: %q is no name: %w", t, err)
	}
	return name, nil
}
