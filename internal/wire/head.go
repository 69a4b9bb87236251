package wire

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
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
	end := bytes.Index(limit[from:], []byte("\r\n\r\n"))
	if end >= 0 {
		end += from + 4
		limit = limit[:end]
	}
	// Refused at once: whoever ends lines like that doesn't know that more is
	// awaited.
	if loneLF(limit, from) {
		return 0, errControlBytes
	}
	if end < 0 {
		if len(p) >= MaxHead {
			return 0, errHeadTooBig
		}
		return 0, nil
	}
	h.Raw = limit
	h.Fields = h.Fields[:0]

	line, rest, _ := bytes.Cut(h.Raw[:end-2], []byte("\r\n"))
	if hasControl(line) {
		return 0, errControlBytes
	}
	var ok bool
	if h.Method, line, ok = bytes.Cut(line, []byte(" ")); !ok || !isToken(h.Method) {
		return 0, errRequestLine
	}
	if h.Target, h.Proto, ok = bytes.Cut(line, []byte(" ")); !ok || !isVersion(h.Proto) {
		return 0, errRequestLine
	}
	if _, err := url.ParseRequestURI(string(h.Target)); err != nil {
		return 0, errRequestLine
	}
	for len(rest) > 0 {
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || !isToken(name) {
			return 0, errField
		}
		if hasControl(value) {
			return 0, errControlBytes
		}
		if len(h.Fields) == maxFields {
			return 0, errManyFields
		}
		h.Fields = append(h.Fields, Field{name, bytes.Trim(value, " \t")})
	}
	if h.count("Host") > 1 {
		return 0, errHost
	}
	return end, nil
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

func (h *Head) count(name string) (n int) {
	for i := range h.Fields {
		if equalFold(h.Fields[i].Name, name) {
			n++
		}
	}
	return n
}

// lists reports whether one of the named fields, which together are one list
// (RFC 9110 section 5.3), holds token.
func (h *Head) lists(name, token string) bool {
	for i := range h.Fields {
		if equalFold(h.Fields[i].Name, name) && hasToken(h.Fields[i].Value, token) {
			return true
		}
	}
	return false
}

// IsUpgrade reports whether the request asks for WebSocket, in whatever way:
// everything else is for an ordinary HTTP server.
func (h *Head) IsUpgrade() bool { return h.lists("Upgrade", "websocket") }

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

// isToken reports whether b is a token (RFC 9110 section 5.6.2).
func isToken(b []byte) bool {
	for _, c := range b {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), c) >= 0:
		default:
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

func hasControl(b []byte) bool {
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
