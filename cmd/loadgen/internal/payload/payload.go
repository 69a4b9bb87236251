// Package payload is the content of the load generator's messages: what it
// takes to recognize a message, to place it in its sequence, to time it and to
// notice a single wrong bit.
package payload

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// Layout, big-endian, followed by padding up to the length:
//
//	 0  magic "HBLG"
//	 4  run: random number of this run
//	12  publisher
//	16  topic
//	20  sequence number of this publisher's message, from 0
//	24  intended time of sending, CLOCK_MONOTONIC in nanoseconds
//	32  length of the whole payload in bytes
//	36  CRC-32C of all other bytes
//
// As text it is a JSON string of characters that nobody escapes: a quote, the
// header in base64, padding, a quote. Lengths and sums are of the text as it
// stands there, quotes included.
const (
	magic      = 0x48424c47
	offRun     = 4
	offPub     = 12
	offTopic   = 16
	offSeq     = 20
	offTime    = 24
	offLen     = 32
	offSum     = 36
	headerSize = 40
	textHeader = 1 + 54 // the quote and the header
)

// The least sizes of a payload in bytes.
const (
	LeastBinary = headerSize
	LeastText   = textHeader + 1
)

// Header is what a message says of itself.
type Header struct {
	Run       uint64
	Publisher uint32
	Topic     uint32
	Seq       uint32
	Intended  int64 // CLOCK_MONOTONIC, nanoseconds
}

// What Parse finds wrong with a payload.
var (
	ErrForeign  = errors.New("not a message of this run")
	ErrLength   = errors.New("wrong length")
	ErrChecksum = errors.New("wrong checksum")
)

// letters writes a header as text: the same bytes in one way only.
var letters = base64.RawURLEncoding.Strict()

// Codec reads and writes the payloads of one run. It isn't safe for concurrent
// use.
type Codec struct {
	run   uint64
	table *crc32.Table
	text  bool
	head  [headerSize]byte // of the text at hand
}

// NewCodec returns the Codec of run for payloads of bytes, or of text.
func NewCodec(run uint64, text bool) *Codec {
	return &Codec{run: run, table: crc32.MakeTable(crc32.Castagnoli), text: text}
}

// Pad fills p with what a payload of its size has as padding. Put keeps it.
func (c *Codec) Pad(p []byte) {
	for i := range p {
		p[i] = byte(i*7 + i>>8)
		if c.text {
			p[i] = 'a' + p[i]%26
		}
	}
	if c.text {
		p[0], p[len(p)-1] = '"', '"'
	}
}

// Put writes h into p, whose length is the message's size, LeastBinary or
// LeastText or more. The run is the Codec's.
func (c *Codec) Put(p []byte, h Header) {
	if !c.text {
		c.put(p[:headerSize], p[headerSize:], len(p), h)
		return
	}
	c.put(c.head[:], p[textHeader:], len(p), h)
	letters.Encode(p[1:textHeader], c.head[:])
}

func (c *Codec) put(head, rest []byte, size int, h Header) {
	binary.BigEndian.PutUint32(head, magic)
	binary.BigEndian.PutUint64(head[offRun:], c.run)
	binary.BigEndian.PutUint32(head[offPub:], h.Publisher)
	binary.BigEndian.PutUint32(head[offTopic:], h.Topic)
	binary.BigEndian.PutUint32(head[offSeq:], h.Seq)
	binary.BigEndian.PutUint64(head[offTime:], uint64(h.Intended))
	binary.BigEndian.PutUint32(head[offLen:], uint32(size))
	binary.BigEndian.PutUint32(head[offSum:], c.sum(head, rest))
}

// Parse reads a payload and checks every byte of it.
func (c *Codec) Parse(p []byte) (Header, error) {
	if !c.text {
		if len(p) < LeastBinary {
			return Header{}, ErrForeign
		}
		return c.parse(p[:headerSize], p[headerSize:], len(p))
	}
	if len(p) < LeastText || p[0] != '"' {
		return Header{}, ErrForeign
	}
	// Fewer bytes come of it if there are line breaks, over which Decode goes.
	if n, err := letters.Decode(c.head[:], p[1:textHeader]); err != nil || n != headerSize {
		return Header{}, ErrForeign
	}
	return c.parse(c.head[:], p[textHeader:], len(p))
}

func (c *Codec) parse(head, rest []byte, size int) (Header, error) {
	if binary.BigEndian.Uint32(head) != magic {
		return Header{}, ErrForeign
	}
	if binary.BigEndian.Uint32(head[offLen:]) != uint32(size) {
		return Header{}, ErrLength
	}
	if binary.BigEndian.Uint32(head[offSum:]) != c.sum(head, rest) {
		return Header{}, ErrChecksum
	}
	h := Header{
		Run:       binary.BigEndian.Uint64(head[offRun:]),
		Publisher: binary.BigEndian.Uint32(head[offPub:]),
		Topic:     binary.BigEndian.Uint32(head[offTopic:]),
		Seq:       binary.BigEndian.Uint32(head[offSeq:]),
		Intended:  int64(binary.BigEndian.Uint64(head[offTime:])),
	}
	if h.Run != c.run {
		return Header{}, ErrForeign
	}
	return h, nil
}

func (c *Codec) sum(head, rest []byte) uint32 {
	return crc32.Update(crc32.Checksum(head[:offSum], c.table), c.table, rest)
}
