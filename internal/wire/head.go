package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strings"
)

// Limits on a request's head.
const (
	MaxHead   = 16 << 10 // bytes, from the request line to the empty line
	maxFields = 128
)

// Refusal is an answer other than 101 to a request: an HTTP status and a line
// of text that says why.
type Refusal struct {
	Status int
	Reason string
	// Header holds further response header lines, each ended by CRLF.
	Header string
}

func (e *Refusal) Error() string { return fmt.Sprintf("%d: %s", e.Status, e.Reason) }

// AppendRefusal appends the whole HTTP response. The connection has to be
// closed after it.
func AppendRefusal(dst []byte, e *Refusal) []byte {
	return fmt.Appendf(dst, "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n%sConnection: close\r\nContent-Length: %d\r\n\r\n%s\n",
		e.Status, http.StatusText(e.Status), e.Header, len(e.Reason)+1, e.Reason)
}

func badRequest(reason string) *Refusal {
	return &Refusal{Status: http.StatusBadRequest, Reason: reason}
}

var (
	errHeadTooBig   = &Refusal{Status: http.StatusRequestHeaderFieldsTooLarge, Reason: fmt.Sprintf("the request's head exceeds %d bytes", MaxHead)}
	errManyFields   = &Refusal{Status: http.StatusRequestHeaderFieldsTooLarge, Reason: fmt.Sprintf("the request has more than %d header fields", maxFields)}
	errRequestLine  = badRequest("malformed request line")
	errHost         = badRequest("a request has exactly one Host field, which agrees with its target")
	errField        = badRequest("malformed header field")
	errControlBytes = badRequest("control characters in the request's head")
)

// Field is one header field, as it was sent.
type Field struct{ Name, Value []byte }

// Head is the head of an HTTP/1.1 request (RFC 9112 sections 2 to 5). All of it
// points into the bytes it was parsed from.
type Head struct {
	Raw    []byte // through the empty line
	Method []byte
	Target []byte
	Proto  []byte
	Fields []Field

	known [names]known
}

// known says where the fields of a name are.
type known struct {
	count uint8 // of them
	first uint8 // of Fields
}

// name is one of those of the fields that a handshake is about.
type name uint8

const (
	nameHost name = iota
	nameOrigin
	nameUpgrade
	nameConnection
	nameContentLength
	nameTransferEncoding
	nameKey
	nameVersion
	nameProtocol
	nameExtensions
	names
)

var spelled = [names]string{
	nameHost:             "Host",
	nameOrigin:           "Origin",
	nameUpgrade:          "Upgrade",
	nameConnection:       "Connection",
	nameContentLength:    "Content-Length",
	nameTransferEncoding: "Transfer-Encoding",
	nameKey:              "Sec-WebSocket-Key",
	nameVersion:          "Sec-WebSocket-Version",
	nameProtocol:         "Sec-WebSocket-Protocol",
	nameExtensions:       "Sec-WebSocket-Extensions",
}

// nameOf tells which name b is: names, if it is another one.
func nameOf(b []byte) name {
	n := names
	switch len(b) {
	case len("Host"):
		n = nameHost
	case len("Origin"):
		n = nameOrigin
	case len("Upgrade"):
		n = nameUpgrade
	case len("Connection"):
		n = nameConnection
	case len("Content-Length"):
		n = nameContentLength
	case len("Sec-WebSocket-Key"):
		n = nameKey
		if b[0]|0x20 == 't' {
			n = nameTransferEncoding
		}
	case len("Sec-WebSocket-Version"):
		n = nameVersion
	case len("Sec-WebSocket-Protocol"):
		n = nameProtocol
	case len("Sec-WebSocket-Extensions"):
		n = nameExtensions
	}
	if n == names || !equalFold(b, spelled[n]) {
		return names
	}
	return n
}

// Parse looks for a whole head at the start of p and returns its length in
// bytes, or zero if more has to come. from is how much of p earlier calls have
// seen: a peer that sends a byte at a time doesn't make each call read it all
// again. It is strict where being lenient lets two servers read one request
// differently: CRLF ends lines, names are tokens, nothing is folded, no control
// characters. The error is a *Refusal.
func (h *Head) Parse(p []byte, from int) (int, error) {
	limit := p[:min(len(p), MaxHead)]
	from = max(0, min(from, len(limit))-3)
	// Mostly the head is all that has come.
	if end := []byte("\r\n\r\n"); !bytes.HasSuffix(limit, end) && !bytes.Contains(limit[from:], end) {
		switch {
		case loneLF(limit, from): // refused at once: whoever ends lines like that doesn't know that more is awaited
			return 0, errControlBytes
		case len(p) >= MaxHead:
			return 0, errHeadTooBig
		}
		return 0, nil
	}
	h.Fields = h.Fields[:0]
	h.known = [names]known{}

	line, rest, ok := cutLine(limit)
	if !ok {
		return 0, errControlBytes
	}
	if h.Method, line, ok = bytes.Cut(line, []byte(" ")); !ok || !isToken(h.Method) {
		return 0, errRequestLine
	}
	if h.Target, h.Proto, ok = bytes.Cut(line, []byte(" ")); !ok || !isTarget(h.Target) || !isVersion(h.Proto) {
		return 0, errRequestLine
	}
	for {
		if line, rest, ok = cutLine(rest); !ok {
			return 0, errControlBytes
		}
		if len(line) == 0 {
			break
		}
		colon := bytes.IndexByte(line, ':')
		if colon < 0 || !isToken(line[:colon]) {
			return 0, errField
		}
		if len(h.Fields) == maxFields {
			return 0, errManyFields
		}
		if n := nameOf(line[:colon]); n < names {
			k := &h.known[n]
			if k.count++; k.count == 1 {
				k.first = uint8(len(h.Fields))
			}
		}
		h.Fields = append(h.Fields, Field{line[:colon], trimSpace(line[colon+1:])})
	}
	if h.count(nameHost) > 1 {
		return 0, errHost
	}
	end := len(limit) - len(rest)
	h.Raw = limit[:end]
	return end, nil
}

// cutLine cuts the first of b's lines off, each of which ends with CRLF. It reports
// false if there are control characters in that line, a CR or LF alone included.
func cutLine(b []byte) (line, rest []byte, ok bool) {
	i := bytes.IndexByte(b, '\n')
	if i < 1 || b[i-1] != '\r' {
		return nil, nil, false
	}
	line, rest = b[:i-1], b[i+1:]
	return line, rest, !hasControl(line)
}

// trimSpace trims spaces and tabs, which are all the white space that a line may have.
func trimSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for n := len(b); n > 0 && (b[n-1] == ' ' || b[n-1] == '\t'); n-- {
		b = b[:n-1]
	}
	return b
}

// isTarget reports whether b, which has no control characters, is a request's target (RFC 9112 section 3.2).
func isTarget(b []byte) bool {
	if len(b) > 0 && b[0] == '/' && bytes.IndexByte(b, '%') < 0 && bytes.IndexByte(b, '\t') < 0 {
		return true // nothing else can be wrong in a path without escapes
	}
	_, err := url.ParseRequestURI(string(b))
	return err == nil
}

// Get returns the first value of the named field, an empty one if there is
// none.
func (h *Head) Get(name string) []byte {
	for i := range h.Fields {
		if equalFold(h.Fields[i].Name, name) {
			return h.Fields[i].Value
		}
	}
	return nil
}

func (h *Head) count(n name) int { return int(h.known[n].count) }

// first returns the first value of a field, an empty one if there is none.
func (h *Head) first(n name) []byte {
	if h.count(n) == 0 {
		return nil
	}
	return h.Fields[h.known[n].first].Value
}

// all goes over the values of a field.
func (h *Head) all(n name) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		left := h.count(n)
		for i := int(h.known[n].first); left > 0; i++ {
			if f := &h.Fields[i]; equalFold(f.Name, spelled[n]) {
				if left--; !yield(f.Value) {
					return
				}
			}
		}
	}
}

// lists reports whether one of the named fields, which together are one list
// (RFC 9110 section 5.3), holds token.
func (h *Head) lists(n name, token string) bool {
	for list := range h.all(n) {
		if hasToken(list, token) {
			return true
		}
	}
	return false
}

// IsUpgrade reports whether the request asks for WebSocket, in whatever way:
// everything else is for an ordinary HTTP server.
func (h *Head) IsUpgrade() bool { return h.lists(nameUpgrade, "websocket") }

// Path returns the target's path, still percent-encoded, without the query. It is
// empty where the target has none: in a CONNECT or OPTIONS request.
func (h *Head) Path() []byte {
	path, _, _ := bytes.Cut(h.resource(), []byte("?"))
	return path
}

// Query returns the target's query, still encoded, without the question mark.
func (h *Head) Query() []byte {
	_, query, _ := bytes.Cut(h.resource(), []byte("?"))
	return query
}

// resource is the target without scheme and host.
func (h *Head) resource() []byte {
	if len(h.Target) > 0 && h.Target[0] == '/' {
		return h.Target
	}
	_, resource := h.absolute()
	return resource
}

// absolute takes apart a target in absolute form, which is what proxies are told
// and servers have to accept (RFC 9112 section 3.2.2). Both are empty for any other
// target.
func (h *Head) absolute() (host, resource []byte) {
	scheme, rest, ok := bytes.Cut(h.Target, []byte("://"))
	if !ok || !equalFold(scheme, "http") && !equalFold(scheme, "https") {
		return nil, nil
	}
	i := bytes.IndexAny(rest, "/?")
	switch {
	case i < 0:
		return rest, []byte("/")
	case rest[i] == '?':
		return rest[:i], append([]byte("/"), rest[i:]...)
	}
	return rest[:i], rest[i:]
}

// AsRefusal returns err as a Refusal; an error of another kind becomes a 500
// that doesn't tell what went wrong inside.
func AsRefusal(err error) *Refusal {
	var r *Refusal
	if errors.As(err, &r) {
		return r
	}
	return &Refusal{Status: http.StatusInternalServerError, Reason: "the server could not accept the connection"}
}

// tokenBytes are those that a token may have.
var tokenBytes = func() (is [256]bool) {
	for c := range is {
		is[c] = 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", byte(c)) >= 0
	}
	return is
}()

// isToken reports whether b is a token (RFC 9110 section 5.6.2).
func isToken(b []byte) bool {
	for _, c := range b {
		if !tokenBytes[c] {
			return false
		}
	}
	return len(b) > 0
}

// isVersion reports whether b is an HTTP version (RFC 9112 section 2.3).
func isVersion(b []byte) bool {
	digit := func(c byte) bool { return '0' <= c && c <= '9' }
	return len(b) == len("HTTP/1.1") && bytes.HasPrefix(b, []byte("HTTP/")) && digit(b[5]) && b[6] == '.' && digit(b[7])
}

// loneLF reports whether an LF from b[from] on doesn't follow a CR.
func loneLF(b []byte, from int) bool {
	for i := from; i < len(b); i++ {
		if b[i] == '\n' && (i == 0 || b[i-1] != '\r') {
			return true
		}
	}
	return false
}

// hasControl reports whether b has control characters, tabs apart.
func hasControl(b []byte) bool {
	for len(b) >= 8 {
		// Most words have none, nor tabs: no byte below a space, and none that is DEL. What is borrowed from a byte
		// that is can have the next one look so too.
		const ones, tops = 0x0101010101010101, 0x8080808080808080
		x := binary.LittleEndian.Uint64(b)
		del := x ^ 0x7f*ones
		if ((x-0x20*ones)&^x|(del-ones)&^del)&tops != 0 && hasControlByte(b[:8]) {
			return true
		}
		b = b[8:]
	}
	return hasControlByte(b)
}

func hasControlByte(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			return true
		}
	}
	return false
}

// hasToken reports whether a comma-separated list holds token.
func hasToken(list []byte, token string) bool {
	for len(list) > 0 {
		var item []byte
		item, list, _ = bytes.Cut(list, []byte(","))
		if equalFold(bytes.Trim(item, " \t"), token) {
			return true
		}
	}
	return false
}

// equalFold compares ASCII letters without regard to case.
func equalFold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i := range b {
		x, y := b[i], s[i]
		if x != y && (x|0x20 != y|0x20 || x|0x20 < 'a' || x|0x20 > 'z') {
			return false
		}
	}
	return true
}
