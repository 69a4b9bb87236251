package wire

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

// RFC 6455 section 7.4.1, and the IANA registry of close codes.
func TestCloseCodes(t *testing.T) {
	for _, c := range []struct{ got, want uint16 }{
		{CloseNormal, 1000},
		{CloseGoingAway, 1001},
		{CloseProtocolError, 1002},
		{CloseUnsupportedData, 1003},
		{CloseNoStatus, 1005},
		{CloseAbnormal, 1006},
		{CloseInvalidPayload, 1007},
		{ClosePolicyViolation, 1008},
		{CloseMessageTooBig, 1009},
		{CloseMandatoryExt, 1010},
		{CloseInternalError, 1011},
		{CloseServiceRestart, 1012},
		{CloseTryAgainLater, 1013},
		{CloseBadGateway, 1014},
	} {
		if c.got != c.want {
			t.Errorf("a code is %d, want %d", c.got, c.want)
		}
	}
}

// RFC 6455 sections 7.4.1 and 7.4.2.
func TestValidCloseCode(t *testing.T) {
	valid := map[uint16]bool{
		1000: true, 1001: true, 1002: true, 1003: true,
		1007: true, 1008: true, 1009: true, 1010: true, 1011: true,
		1012: true, 1013: true, 1014: true,
	}
	for code := uint16(3000); code <= 4999; code++ {
		valid[code] = true
	}
	for code := range 1 << 16 {
		if got := ValidCloseCode(uint16(code)); got != valid[uint16(code)] {
			t.Errorf("%d: got %t", code, got)
		}
	}
}

// RFC 6455 sections 5.5.1 and 7.1.5.
func TestParseClose(t *testing.T) {
	tests := []struct {
		name    string
		payload string
		code    uint16
		reason  string
		fails   uint16 // with this close code
	}{
		{"empty", "", CloseNoStatus, "", 0},
		{"half a code", "\x03", 0, "", CloseProtocolError},
		{"a code", "\x03\xe8", CloseNormal, "", 0},
		{"a code and a reason", "\x03\xe9bye é", CloseGoingAway, "bye é", 0},
		{"the longest reason", "\x03\xe8" + a125[:123], CloseNormal, a125[:123], 0},
		{"the last code of the registry", "\x03\xf6", CloseBadGateway, "", 0},
		{"the first code of libraries", "\x0b\xb8", 3000, "", 0},
		{"the last private code", "\x13\x87", 4999, "", 0},
		{"code 0", "\x00\x00", 0, "", CloseProtocolError},
		{"code 999", "\x03\xe7", 0, "", CloseProtocolError},
		{"code 1004, reserved", "\x03\xec", 0, "", CloseProtocolError},
		{"code 1005, not for the wire", "\x03\xed", 0, "", CloseProtocolError},
		{"code 1006, not for the wire", "\x03\xee", 0, "", CloseProtocolError},
		{"code 1015, not for the wire", "\x03\xf7", 0, "", CloseProtocolError},
		{"code 2999, of no extension", "\x0b\xb7", 0, "", CloseProtocolError},
		{"code 5000", "\x13\x88", 0, "", CloseProtocolError},
		{"code 65535", "\xff\xff", 0, "", CloseProtocolError},
		{"a reason with a bad byte", "\x03\xe8a\xffb", 0, "", CloseInvalidPayload},
		{"a reason that ends within a rune", "\x03\xe8\xe2\x82", 0, "", CloseInvalidPayload},
		{"a bad code and a bad reason", "\x03\xed\xff", 0, "", CloseProtocolError},
	}
	for _, tt := range tests {
		code, reason, err := ParseClose([]byte(tt.payload))
		var pe *ProtocolError
		if errors.As(err, &pe) != (tt.fails != 0) || pe != nil && pe.Code != tt.fails {
			t.Errorf("%s: the error is %v, want code %d", tt.name, err, tt.fails)
		}
		if code != tt.code || reason != tt.reason {
			t.Errorf("%s: got %d %q, want %d %q", tt.name, code, reason, tt.code, tt.reason)
		}
	}
}

func TestAppendClosePayload(t *testing.T) {
	a122 := strings.Repeat("a", 122)
	tests := []struct {
		name   string
		code   uint16
		reason string
		want   string
	}{
		{"a code", CloseNormal, "", "\x03\xe8"},
		{"a code and a reason", CloseGoingAway, "bye", "\x03\xe9bye"},
		{"no status", CloseNoStatus, "", ""},
		{"no status has no reason", CloseNoStatus, "bye", ""},
		{"a code that must not be sent", CloseAbnormal, "bye", ""},
		{"code 0", 0, "bye", ""},
		{"as long as may be", CloseNormal, a122 + "b", "\x03\xe8" + a122 + "b"},
		{"one byte too long", CloseNormal, a122 + "bc", "\x03\xe8" + a122 + "b"},
		{"far too long", CloseNormal, a65536, "\x03\xe8" + a65536[:123]},
		{"a rune of two bytes over the end", CloseNormal, a122 + "é", "\x03\xe8" + a122},
		{"a rune of four bytes over the end", CloseNormal, a122[:120] + "😀", "\x03\xe8" + a122[:120]},
		{"a rune of three bytes up to the end", CloseNormal, a122[:120] + "€", "\x03\xe8" + a122[:120] + "€"},
		{"a byte that is never there", CloseNormal, "a\xffb", "\x03\xe8a\uFFFDb"},
		{"within a rune", CloseNormal, "a\xe2\x82", "\x03\xe8a\uFFFD"},
		{"longer once it is UTF-8", CloseNormal, a122 + "\xff", "\x03\xe8" + a122},
	}
	for _, tt := range tests {
		if got := AppendClosePayload([]byte("before"), tt.code, tt.reason); string(got) != "before"+tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got[6:], tt.want)
		}
		if got := AppendCloseFrame(nil, tt.code, tt.reason); string(got) != "\x88"+string(rune(len(tt.want)))+tt.want {
			t.Errorf("%s: the frame is %q", tt.name, got)
		}
	}
}

// Whatever an application gives as code and reason, what is sent is a close
// frame that the peer has to accept, and whatever a peer sends, what is read
// of it is what it would be sent as.
func FuzzClose(f *testing.F) {
	f.Fuzz(func(t *testing.T, code uint16, reason string, received []byte) {
		p := AppendClosePayload(nil, code, reason)
		if len(p) > maxControl {
			t.Errorf("a payload of %d bytes", len(p))
		}
		gotCode, gotReason, err := ParseClose(p)
		switch {
		case err != nil:
			t.Errorf("%q can't be parsed: %v", p, err)
		case !ValidCloseCode(code):
			if gotCode != CloseNoStatus || gotReason != "" {
				t.Errorf("%d %q has been sent as %d %q", code, reason, gotCode, gotReason)
			}
		case gotCode != code:
			t.Errorf("code %d has become %d", code, gotCode)
		case utf8.ValidString(reason):
			if !strings.HasPrefix(reason, gotReason) || len(gotReason) < min(len(reason), maxCloseReason-3) {
				t.Errorf("reason %q has become %q", reason, gotReason)
			}
		}
		if gotCode, gotReason, err = ParseClose(received); err == nil && len(received) <= maxControl {
			if p := AppendClosePayload(nil, gotCode, gotReason); string(p) != string(received) {
				t.Errorf("%q has been understood as %q", received, p)
			}
		}
	})
}
