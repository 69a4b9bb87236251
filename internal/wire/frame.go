package wire

import (
	"encoding/binary"

	"github.com/gobwas/ws"
)

// OpCode is a frame's opcode (RFC 6455 section 5.2).
type OpCode = ws.OpCode

// The opcodes of messages and control frames.
const (
	OpText   = ws.OpText
	OpBinary = ws.OpBinary
	OpClose  = ws.OpClose
	OpPing   = ws.OpPing
	OpPong   = ws.OpPong
)

// MessageType tells text from binary messages.
type MessageType uint8

// The types of messages.
const (
	Text   = MessageType(OpText)   // UTF-8
	Binary = MessageType(OpBinary) // any bytes

	// Kept is added to the type of a message between servers that is to be kept by all of them.
	Kept MessageType = 1 << 7
)

// Bits of the first two bytes of a frame (RFC 6455 section 5.2):
//
//	 0               1
//	 0 1 2 3 4 5 6 7 0 1 2 3 4 5 6 7
//	+-+-+-+-+-------+-+-------------+
//	|F|R|R|R| opcode|M| length (7)  |  126: 16 bits of length follow
//	|I|S|S|S|  (4)  |A|             |  127: 64 bits of length follow
//	|N|V|V|V|       |S|             |  then 4 bytes of mask, if M is set
//	+-+-+-+-+-------+-+-------------+
const (
	bitFin    = 0x80
	bitRSV1   = 0x40
	bitMask   = 0x80
	maskRSV   = 0x70
	maskOp    = 0x0f
	maskLen   = 0x7f
	len16     = 126
	len64     = 127
	maxHeader = ws.MaxHeaderSize // 14 bytes
)

// FrameSize returns the size in bytes of an unmasked frame with a payload of
// n bytes.
func FrameSize(n int) int {
	switch {
	case n < len16:
		return 2 + n
	case n <= 0xffff:
		return 4 + n
	}
	return 10 + n
}

// AppendHeader appends the header of a final, unmasked frame with a payload of
// n bytes: at most 10 bytes.
func AppendHeader(dst []byte, op OpCode, n int) []byte { return appendHeader(dst, op, n, 0) }

// AppendFrame appends a final, unmasked frame: what a server sends.
func AppendFrame(dst []byte, op OpCode, payload []byte) []byte {
	return append(appendHeader(dst, op, len(payload), 0), payload...)
}

// AppendMaskedFrame appends a final frame masked with mask: what a client
// sends (RFC 6455 section 5.3). payload itself stays as it is.
func AppendMaskedFrame(dst []byte, op OpCode, payload []byte, mask [4]byte) []byte {
	dst = appendHeader(dst, op, len(payload), bitMask)
	dst = append(dst, mask[:]...)
	start := len(dst)
	dst = append(dst, payload...)
	ws.Cipher(dst[start:], mask, 0)
	return dst
}

// AppendCloseFrame appends an unmasked close frame; see AppendClosePayload.
func AppendCloseFrame(dst []byte, code uint16, reason string) []byte {
	var buf [maxControl]byte
	return AppendFrame(dst, OpClose, AppendClosePayload(buf[:0], code, reason))
}

func appendHeader(dst []byte, op OpCode, n int, masked byte) []byte {
	dst = append(dst, bitFin|byte(op))
	switch {
	case n < len16:
		return append(dst, masked|byte(n))
	case n <= 0xffff:
		return binary.BigEndian.AppendUint16(append(dst, masked|len16), uint16(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, masked|len64), uint64(n))
}

// parseHeader reads a frame header from the start of p. size is zero when p
// doesn't hold all of it; h then has the fields that are there.
func parseHeader(p []byte) (h ws.Header, size int, err error) {
	if len(p) < 2 {
		return h, 0, nil
	}
	h.Fin = p[0]&bitFin != 0
	h.Rsv = p[0] & maskRSV >> 4
	h.OpCode = OpCode(p[0] & maskOp)
	h.Masked = p[1]&bitMask != 0
	size = 2
	switch n := p[1] & maskLen; n {
	case len16:
		if size = 4; len(p) < size {
			return h, 0, nil
		}
		if h.Length = int64(binary.BigEndian.Uint16(p[2:])); h.Length < len16 {
			return h, 0, errLongLength
		}
	case len64:
		if size = 10; len(p) < size {
			return h, 0, nil
		}
		v := binary.BigEndian.Uint64(p[2:])
		if v>>63 != 0 {
			return h, 0, errHugeLength
		}
		if v <= 0xffff {
			return h, 0, errLongLength
		}
		h.Length = int64(v)
	default:
		h.Length = int64(n)
	}
	if h.Masked {
		if len(p) < size+4 {
			return h, 0, nil
		}
		copy(h.Mask[:], p[size:])
		size += 4
	}
	return h, size, nil
}
