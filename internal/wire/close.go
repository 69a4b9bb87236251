package wire

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// Close codes (RFC 6455 section 7.4.1, and the IANA registry of them).
const (
	CloseNormal           uint16 = 1000
	CloseGoingAway        uint16 = 1001
	CloseProtocolError    uint16 = 1002
	CloseUnsupportedData  uint16 = 1003
	CloseNoStatus         uint16 = 1005 // never sent: the close frame had no code
	CloseAbnormal         uint16 = 1006 // never sent: there was no close frame
	CloseInvalidPayload   uint16 = 1007
	ClosePolicyViolation  uint16 = 1008
	CloseMessageTooBig    uint16 = 1009
	CloseMandatoryExt     uint16 = 1010
	CloseInternalError    uint16 = 1011
	CloseServiceRestart   uint16 = 1012
	CloseTryAgainLater    uint16 = 1013
	CloseBadGateway       uint16 = 1014
	maxControl                   = ws.MaxControlFramePayloadSize
	maxCloseReason               = maxControl - 2
	firstPrivateCloseCode uint16 = 3000
	lastPrivateCloseCode  uint16 = 4999
)

// ProtocolError is what a Decoder returns when the peer has broken the
// protocol or a limit: the connection has to be failed with this close code
// (RFC 6455 section 7.1.7).
type ProtocolError struct {
	Code   uint16
	Reason string
}

func (e *ProtocolError) Error() string {
	return fmt.Sprintf("websocket: %s (close code %d)", e.Reason, e.Code)
}

var (
	errTooBig       = &ProtocolError{CloseMessageTooBig, "message exceeds the size limit"}
	errBadUTF8      = &ProtocolError{CloseInvalidPayload, "text is not valid UTF-8"}
	errDeflate      = &ProtocolError{CloseInvalidPayload, "compressed message is malformed"}
	errRSV          = &ProtocolError{CloseProtocolError, "reserved bit is set"}
	errHugeLength   = &ProtocolError{CloseProtocolError, "frame length has its highest bit set"}
	errLongLength   = &ProtocolError{CloseProtocolError, "frame length is not in its shortest form"}
	errCloseLength  = &ProtocolError{CloseProtocolError, "close frame with half a code"}
	errCloseCode    = &ProtocolError{CloseProtocolError, "close code that must not be sent"}
	errCloseNotUTF8 = &ProtocolError{CloseInvalidPayload, "close reason is not valid UTF-8"}
)

// ValidCloseCode reports whether an endpoint may send code in a close frame.
func ValidCloseCode(code uint16) bool {
	switch {
	case code >= firstPrivateCloseCode && code <= lastPrivateCloseCode:
		return true
	case code < CloseNormal || code > CloseBadGateway:
		return false
	}
	return code != 1004 && code != CloseNoStatus && code != CloseAbnormal
}

// ParseClose reads a close frame's payload (RFC 6455 section 5.5.1). Without a
// code it returns CloseNoStatus; a payload that breaks the rules gives a
// *ProtocolError.
func ParseClose(payload []byte) (code uint16, reason string, err error) {
	if len(payload) == 0 {
		return CloseNoStatus, "", nil
	}
	if len(payload) == 1 {
		return 0, "", errCloseLength
	}
	code = binary.BigEndian.Uint16(payload)
	if !ValidCloseCode(code) {
		return 0, "", errCloseCode
	}
	if !utf8.Valid(payload[2:]) {
		return 0, "", errCloseNotUTF8
	}
	return code, string(payload[2:]), nil
}

// AppendClosePayload appends a close frame's payload. CloseNoStatus, and any
// code that must not be sent, gives an empty one; a reason that is too long is
// cut at a rune, to 123 bytes, and what isn't UTF-8 in it becomes U+FFFD: the
// peer would have to answer it with an error.
func AppendClosePayload(dst []byte, code uint16, reason string) []byte {
	if !ValidCloseCode(code) {
		return dst
	}
	dst = binary.BigEndian.AppendUint16(dst, code)
	reason = strings.ToValidUTF8(reason, string(utf8.RuneError))
	for len(reason) > maxCloseReason {
		_, n := utf8.DecodeLastRuneInString(reason)
		reason = reason[:len(reason)-n]
	}
	return append(dst, reason...)
}
