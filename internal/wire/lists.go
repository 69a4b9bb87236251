package wire

import "bytes"

// checkLists refuses subprotocols and extensions that aren't lists as RFC 6455
// has them (sections 4.1 and 9.1), in whatever field of the name.
func checkLists(h *Head) error {
	for list := range h.all(nameProtocol) {
		if !eachItem(list, ',', isToken) {
			return errProtocol
		}
	}
	for list := range h.all(nameExtensions) {
		if !eachItem(list, ',', isExtension) {
			return errExtension
		}
	}
	return nil
}

// eachItem reports whether ok does for all items of a list. Empty ones are
// passed over (RFC 9110 section 5.6.1). What is quoted isn't looked into.
func eachItem(list []byte, separator byte, ok func(item []byte) bool) bool {
	for len(list) > 0 {
		var item []byte
		item, list = cutItem(list, separator)
		if item = bytes.Trim(item, " \t"); len(item) > 0 && !ok(item) {
			return false
		}
	}
	return true
}

// cutItem splits b at the first separator that isn't within a quoted string.
func cutItem(b []byte, separator byte) (item, rest []byte) {
	quoted := false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted:
			i++
		case c == separator && !quoted:
			return b[:i], b[i+1:]
		}
	}
	return b, nil
}

// isExtension reports whether b is an extension with its parameters.
func isExtension(b []byte) bool {
	name, rest := cutItem(b, ';')
	if !isToken(bytes.TrimRight(name, " \t")) {
		return false
	}
	for more := len(name) < len(b); more; {
		var param []byte
		before := len(rest)
		param, rest = cutItem(rest, ';')
		if !isParameter(bytes.Trim(param, " \t")) {
			return false
		}
		more = len(param) < before
	}
	return true
}

// isParameter reports whether b is a token, or a token and its value: another
// token, which may be quoted.
func isParameter(b []byte) bool {
	name, value, ok := bytes.Cut(b, []byte("="))
	if !isToken(bytes.TrimRight(name, " \t")) {
		return false
	}
	if !ok {
		return true
	}
	value = bytes.TrimLeft(value, " \t")
	if n := len(value); n >= 2 && value[0] == '"' && value[n-1] == '"' {
		value = bytes.ReplaceAll(value[1:n-1], []byte("\\"), nil)
	}
	return isToken(value)
}
