package wire

import (
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"slices"

	"github.com/gobwas/ws"
)

var (
	errTarget      = badRequest("a WebSocket handshake names its resource by a path")
	errUpgrade     = badRequest("Upgrade has to list websocket")
	errConnection  = badRequest("Connection has to list upgrade")
	errKey         = badRequest("Sec-WebSocket-Key has to be given once and be 16 bytes in base64")
	errManyOrigins = badRequest("a request has at most one Origin field")
	errVersion     = badRequest("Sec-WebSocket-Version has to be given once")
	errProtocol    = badRequest("malformed Sec-WebSocket-Protocol field")
	errExtension   = badRequest("malformed Sec-WebSocket-Extensions field")
	errBody        = badRequest("a WebSocket handshake has no body")
	errNotGET      = &Refusal{Status: http.StatusMethodNotAllowed, Reason: "a WebSocket handshake is a GET request", Header: "Allow: GET\r\n"}
	errUpgradeTo   = &Refusal{Status: http.StatusUpgradeRequired, Reason: "this server speaks WebSocket version 13", Header: "Sec-WebSocket-Version: 13\r\nUpgrade: websocket\r\n"}
	errOldHTTP     = &Refusal{Status: http.StatusHTTPVersionNotSupported, Reason: "a WebSocket handshake is an HTTP/1.1 request"}
)

// Upgrader answers opening handshakes (RFC 6455 section 4.2), one after the
// other. It is ws.Upgrader run over a head that is already complete, which
// keeps it from waiting for a peer and from swallowing the frames that came
// behind the head. It isn't safe for concurrent use.
type Upgrader struct {
	up        ws.Upgrader
	head      []byte // reused
	in        []byte // of head, what ws.Upgrader hasn't read
	out       []byte
	protocols []string
	agreed    Agreement
	accept    func(Agreement) error
}

// NewUpgrader returns an Upgrader; with compress, one that agrees on
// permessage-deflate.
func NewUpgrader(compress bool) *Upgrader {
	u := &Upgrader{}
	u.up = ws.Upgrader{
		ReadBufferSize: 4096,
		Protocol: func(p []byte) bool {
			if i := slices.Index(u.protocols, string(p)); i >= 0 {
				u.agreed.Protocol = u.protocols[i]
				return true
			}
			return false
		},
		OnBeforeUpgrade: func() (ws.HandshakeHeader, error) {
			return nil, u.accept(u.agreed)
		},
	}
	if compress {
		u.up.Negotiate = u.negotiate
	}
	return u
}

// Upgrade checks the handshake in h and appends the answer to dst: 101 when
// accept, called last with what was agreed on, returns
// nil; otherwise a refusal, which is also the error. protocols are the
// subprotocols the server knows; the client's order decides.
func (u *Upgrader) Upgrade(dst []byte, h *Head, protocols []string, accept func(Agreement) error) ([]byte, error) {
	start := len(dst)
	u.out = dst
	u.protocols, u.agreed, u.accept = protocols, Agreement{}, accept
	err := check(h)
	if err == nil {
		u.head = u.appendPlainHead(u.head[:0], h)
		u.in = u.head
		_, err = u.up.Upgrade(handshakeIO{u})
	}
	dst = u.out
	u.in, u.out, u.accept = nil, nil, nil
	if err != nil {
		r := refusalOf(err)
		return AppendRefusal(dst[:start], r), r
	}
	return dst, nil
}

// check refuses what isn't a handshake for this server (RFC 6455 section
// 4.2.1).
func check(h *Head) error {
	if string(h.Method) != http.MethodGet {
		return errNotGET
	}
	if v := string(h.Proto); v < "HTTP/1.1" || v >= "HTTP/2.0" {
		return errOldHTTP
	}
	if len(h.Path()) == 0 {
		return errTarget
	}
	if h.count(nameHost) != 1 {
		return errHost
	}
	if h.count(nameOrigin) > 1 {
		return errManyOrigins
	}
	if named, _ := h.absolute(); h.Target[0] != '/' && !equalFold(named, string(h.first(nameHost))) {
		return errHost // two servers could take it for two different ones
	}
	if n := h.count(nameContentLength); h.count(nameTransferEncoding) > 0 || n > 1 || n == 1 && string(h.first(nameContentLength)) != "0" {
		return errBody
	}
	if !h.lists(nameUpgrade, "websocket") {
		return errUpgrade
	}
	if !h.lists(nameConnection, "upgrade") {
		return errConnection
	}
	if h.count(nameVersion) != 1 {
		return errVersion
	}
	if string(h.first(nameVersion)) != "13" {
		return errUpgradeTo
	}
	var key [18]byte // room for what base64.DecodedLen(24) asks for
	raw := h.first(nameKey)
	if h.count(nameKey) != 1 || len(raw) != 24 {
		return errKey
	}
	if n, err := base64.StdEncoding.Decode(key[:], raw); err != nil || n != 16 {
		return errKey
	}
	return checkLists(h)
}

// appendPlainHead appends a head that means the same as h, which has been
// checked, in the one form that ws.Upgrader takes: it knows neither lists nor
// several fields in Upgrade, and no second Connection field, which proxies
// make of the first. What is offered that nobody would take is left out.
func (u *Upgrader) appendPlainHead(dst []byte, h *Head) []byte {
	dst = append(dst, "GET / HTTP/1.1\r\nHost: -\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "...)
	dst = append(append(dst, h.first(nameKey)...), "\r\n"...)
	if len(u.protocols) > 0 {
		dst = appendPlainField(dst, h, nameProtocol)
	}
	if u.up.Negotiate != nil {
		dst = appendPlainField(dst, h, nameExtensions)
	}
	return append(dst, "\r\n"...)
}

// appendPlainField appends all fields of the name.
func appendPlainField(dst []byte, h *Head, n name) []byte {
	for value := range h.all(n) {
		dst = append(append(append(append(dst, spelled[n]...), ": "...), value...), "\r\n"...)
		plainSpace(dst[len(dst)-2-len(value):])
	}
	return dst
}

func plainSpace(b []byte) {
	for i, c := range b {
		if c == '\t' {
			b[i] = ' '
		}
	}
}

// refusalOf turns what ws.Upgrader returns into a Refusal: what accept
// returned, or that it couldn't read a field, of which check leaves none.
func refusalOf(err error) *Refusal {
	if errors.Is(err, ws.ErrMalformedRequest) {
		return errProtocol
	}
	return AsRefusal(err)
}

// handshakeIO lets ws.Upgrader read the head and write to the output.
type handshakeIO struct{ u *Upgrader }

func (h handshakeIO) Read(p []byte) (int, error) {
	if len(h.u.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p, h.u.in)
	h.u.in = h.u.in[n:]
	return n, nil
}

func (h handshakeIO) Write(p []byte) (int, error) {
	h.u.out = append(h.u.out, p...)
	return len(p), nil
}
