package wire

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"strings"
)

// acceptGUID is what a server appends to the key (RFC 6455 section 1.3).
const acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// ClientHandshake is the client's side of the opening handshake. Key is its 16
// random bytes; the same key may serve many connections of a load test. Only
// Target may change once it is in use.
type ClientHandshake struct {
	Host     string // as in the Host field
	Target   string // path and query
	Origin   string // may be empty
	Protocol string // subprotocols to offer; may be empty
	Key      [16]byte

	fields []byte // of a request, behind its first line
	passed []byte // a response that was right
}

// AppendRequest appends the request's bytes.
func (c *ClientHandshake) AppendRequest(dst []byte) []byte {
	if c.fields == nil {
		c.fields = c.appendFields(nil)
	}
	dst = append(append(append(dst, "GET "...), c.Target...), " HTTP/1.1\r\n"...)
	return append(dst, c.fields...)
}

func (c *ClientHandshake) appendFields(dst []byte) []byte {
	dst = fmt.Appendf(dst, "Host: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n",
		c.Host, base64.StdEncoding.EncodeToString(c.Key[:]))
	if c.Origin != "" {
		dst = fmt.Appendf(dst, "Origin: %s\r\n", c.Origin)
	}
	if c.Protocol != "" {
		dst = fmt.Appendf(dst, "Sec-WebSocket-Protocol: %s\r\n", c.Protocol)
	}
	return append(dst, "\r\n"...)
}

// CheckResponse looks for a whole response at the start of p and returns its
// length in bytes, or zero if more has to come; frames may follow it. The
// error says what the server answered instead of accepting (RFC 6455 section
// 4.1, what a client has to validate).
func (c *ClientHandshake) CheckResponse(p []byte) (int, error) {
	if len(c.passed) > 0 && bytes.HasPrefix(p, c.passed) { // up to the empty line at its end: the same response
		return len(c.passed), nil
	}
	end := bytes.Index(p[:min(len(p), MaxHead)], []byte("\r\n\r\n"))
	if end < 0 {
		if len(p) >= MaxHead {
			return 0, fmt.Errorf("handshake: the server's answer exceeds %d bytes", MaxHead)
		}
		return 0, nil
	}
	line, rest, _ := bytes.Cut(p[:end+2], []byte("\r\n"))
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 101 ")) && string(line) != "HTTP/1.1 101" {
		return 0, fmt.Errorf("handshake: the server answered %q", line)
	}
	sum := sha1.Sum([]byte(base64.StdEncoding.EncodeToString(c.Key[:]) + acceptGUID))
	want := base64.StdEncoding.EncodeToString(sum[:])
	var upgrade, connection, accept bool
	for len(rest) > 0 {
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.Trim(value, " \t")
		switch {
		case equalFold(name, "Upgrade"):
			upgrade = equalFold(value, "websocket")
		case equalFold(name, "Connection"):
			connection = connection || hasToken(value, "upgrade")
		case equalFold(name, "Sec-WebSocket-Accept"):
			accept = string(value) == want
		case equalFold(name, "Sec-WebSocket-Protocol"):
			if !c.offers(value) {
				return 0, fmt.Errorf("handshake: the server chose the subprotocol %q, which was not offered", value)
			}
		case equalFold(name, "Sec-WebSocket-Extensions"):
			return 0, fmt.Errorf("handshake: the server chose the extension %q, and none was offered", value)
		}
	}
	if !upgrade || !connection || !accept {
		return 0, fmt.Errorf("handshake: the server's 101 has no right Upgrade, Connection or Sec-WebSocket-Accept field")
	}
	c.passed = append(c.passed[:0], p[:end+4]...)
	return end + 4, nil
}

// offers reports whether protocol is one of those in c.Protocol; case counts.
func (c *ClientHandshake) offers(protocol []byte) bool {
	for offer := range strings.SplitSeq(c.Protocol, ",") {
		if offer = strings.Trim(offer, " \t"); offer != "" && offer == string(protocol) {
			return true
		}
	}
	return false
}
