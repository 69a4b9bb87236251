package wire

import (
	"bytes"
	"strings"
	"testing"
)

// RFC 6455 section 5.2, and the examples of section 5.7.
func TestAppendFrame(t *testing.T) {
	tests := []struct {
		name    string
		op      OpCode
		payload string
		want    string
	}{
		{"text", OpText, "Hello", "\x81\x05Hello"},
		{"empty binary", OpBinary, "", "\x82\x00"},
		{"ping", OpPing, "Hello", "\x89\x05Hello"},
		{"pong", OpPong, "", "\x8a\x00"},
		{"125 bytes", OpBinary, a125, "\x82\x7d" + a125},
		{"126 bytes", OpBinary, a126, "\x82\x7e\x00\x7e" + a126},
		{"65535 bytes", OpBinary, a65535, "\x82\x7e\xff\xff" + a65535},
		{"65536 bytes", OpBinary, a65536, "\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00" + a65536},
	}
	for _, tt := range tests {
		got := AppendFrame([]byte("before"), tt.op, []byte(tt.payload))
		if string(got) != "before"+tt.want {
			t.Errorf("%s: got %.40q, want %.40q", tt.name, got[6:], tt.want)
		}
		if n := FrameSize(len(tt.payload)); n != len(tt.want) {
			t.Errorf("%s: FrameSize says %d, want %d", tt.name, n, len(tt.want))
		}
		header := AppendHeader([]byte("before"), tt.op, len(tt.payload))
		if string(header) != "before"+strings.TrimSuffix(tt.want, tt.payload) {
			t.Errorf("%s: the header alone is %q", tt.name, header[6:])
		}
	}
}

// RFC 6455 sections 5.3 and 5.7.
func TestAppendMaskedFrame(t *testing.T) {
	tests := []struct {
		name    string
		payload string
		mask    [4]byte
		want    string
	}{
		{"the example", "Hello", [4]byte{0x37, 0xfa, 0x21, 0x3d}, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"},
		{"nothing to mask", "", [4]byte{1, 2, 3, 4}, "\x81\x80\x01\x02\x03\x04"},
		{"16 bits of length", a126, [4]byte{}, "\x81\xfe\x00\x7e" + m0 + a126},
		{"64 bits of length", a65536, [4]byte{}, "\x81\xff\x00\x00\x00\x00\x00\x01\x00\x00" + m0 + a65536},
	}
	for _, tt := range tests {
		payload := []byte(tt.payload)
		got := AppendMaskedFrame([]byte("before"), OpText, payload, tt.mask)
		if string(got) != "before"+tt.want {
			t.Errorf("%s: got %.40q, want %.40q", tt.name, got[6:], tt.want)
		}
		if string(payload) != tt.payload {
			t.Errorf("%s: the payload has been changed", tt.name)
		}
	}
}

// What one side appends, the other side's Decoder gives back.
func TestFramesComeBack(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 4, 5, 8, 17, 125, 126, 127, 1000, 65535, 65536, 70000} {
		payload := bytes.Repeat([]byte("0123456789"), n/10+1)[:n]
		want := message{OpBinary, string(payload)}
		for _, o := range []outcome{
			feed(t, new(Decoder), fromServer, AppendFrame(nil, OpBinary, payload)),
			feed(t, new(Decoder), fromClient, AppendMaskedFrame(nil, OpBinary, payload, [4]byte{9, 8, 7, 6})),
		} {
			if len(o.got) != 1 || o.got[0] != want {
				t.Errorf("%d bytes: got %.80v", n, o)
			}
		}
	}
}

func TestAppendingAllocatesNothing(t *testing.T) {
	buf := make([]byte, 0, 300)
	payload := []byte(a126)
	allocs := testing.AllocsPerRun(100, func() {
		AppendFrame(buf, OpText, payload)
		AppendMaskedFrame(buf, OpText, payload, [4]byte{1, 2, 3, 4})
		AppendCloseFrame(buf, CloseGoingAway, "server is shutting down")
	})
	if allocs != 0 {
		t.Errorf("%v allocations, want none", allocs)
	}
}
