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
	errHost      = badRequest("a request has exactly one Host field")
	errKey       = badRequest("Sec-WebSocket-Key has to be given once and be 16 bytes in base64")
	errVersion   = badRequest("Sec-WebSocket-Version has to be given once")
	errBody      = badRequest("a WebSocket handshake has no body")
	errNotGET    = &Refusal{Status: http.StatusMethodNotAllowed, Reason: "a WebSocket handshake is a GET request", Header: "Allow: GET\r\n"}
	errUpgradeTo = &Refusal{Status: http.StatusUpgradeRequired, Reason: "this server speaks WebSocket version 13", Header: "Sec-WebSocket-Version: 13\r\nUpgrade: websocket\r\n"}
)

// Upgrader answers opening handshakes (RFC 6455 section 4.2), one after the
// other. It is ws.Upgrader run over a head that is already complete, which
// keeps it from waiting for a peer and from swallowing the frames that came
// behind the head. It isn't safe for concurrent use.
type Upgrader struct {
	up        ws.Upgrader
	in        []byte
	out       []byte
	protocols []string
	chosen    string
	accept    func(protocol string) error
}

// NewUpgrader returns an Upgrader.
func NewUpgrader() *Upgrader {
	u := &Upgrader{}
	u.up = ws.Upgrader{
		ReadBufferSize: 4096,
		Protocol: func(p []byte) bool {
			if i := slices.Index(u.protocols, string(p)); i >= 0 {
				u.chosen = u.protocols[i]
				return true
			}
			return false
		},
		OnBeforeUpgrade: func() (ws.HandshakeHeader, error) {
			return nil, u.accept(u.chosen)
		},
	}
	return u
}

// Upgrade checks the handshake in h and appends the answer to dst: 101 when
// accept, called last with the subprotocol agreed on ("" for none), returns
// nil; otherwise a refusal, which is also the error. protocols are the
// subprotocols the server knows; the client's order decides.
func (u *Upgrader) Upgrade(dst []byte, h *Head, protocols []string, accept func(protocol string) error) ([]byte, error) {
	start := len(dst)
	u.in, u.out = h.Raw, dst
	u.protocols, u.chosen, u.accept = protocols, "", accept
	err := precheck(h)
	if err == nil {
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

// precheck refuses what ws.Upgrader lets through.
func precheck(h *Head) error {
	if string(h.Method) != http.MethodGet {
		return errNotGET
	}
	if h.count("Host") != 1 {
		return errHost
	}
	if h.count("Sec-WebSocket-Version") > 1 {
		return errVersion
	}
	if h.count("Transfer-Encoding") > 0 || h.count("Content-Length") > 0 && string(h.Get("Content-Length")) != "0" {
		return errBody
	}
	var key [18]byte // room for what base64.DecodedLen(24) asks for
	raw := h.Get("Sec-WebSocket-Key")
	if h.count("Sec-WebSocket-Key") != 1 || len(raw) != 24 {
		return errKey
	}
	if n, err := base64.StdEncoding.Decode(key[:], raw); err != nil || n != 16 {
		return errKey
	}
	return nil
}

// refusalOf turns what ws.Upgrader returns into a Refusal.
func refusalOf(err error) *Refusal {
	var own *Refusal
	if errors.As(err, &own) {
		return own
	}
	if errors.Is(err, ws.ErrHandshakeUpgradeRequired) {
		return errUpgradeTo
	}
	var rej *ws.ConnectionRejectedError
	if errors.As(err, &rej) {
		return &Refusal{Status: rej.StatusCode(), Reason: rej.Error()}
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, ws.ErrMalformedRequest) {
		return errRequestLine
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
