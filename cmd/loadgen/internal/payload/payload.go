// Package payload is the content of the load generator's messages: what it
// takes to recognize a message, to place it in its sequence, to time it and to
// notice a single wrong bit.
package payload

import (
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
const (
	magic      = 0x48424c47
	offRun     = 4
	offPub     = 12
	offTopic   = 16
	offSeq     = 20
	offTime    = 24
	offLen     = 32
	offSum     = 36
	HeaderSize = 40
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

// Codec reads and writes the payloads of one run. It may be used concurrently.
type Codec struct {
	run   uint64
	table *crc32.Table
}

// NewCodec returns the Codec of run.
func NewCodec(run uint64) *Codec {
	return &Codec{run: run, table: crc32.MakeTable(crc32.Castagnoli)}
}

// Pad fills p with what a payload of its size has as padding. Put keeps it.
func Pad(p []byte) {
	for i := range p {
		p[i] = byte(i*7 + i>>8)
	}
}

// Put writes h into p, whose length is the message's size, HeaderSize or more.
// The run is the Codec's.
func (c *Codec) Put(p []byte, h Header) {
	binary.BigEndian.PutUint32(p, magic)
	binary.BigEndian.PutUint64(p[offRun:], c.run)
	binary.BigEndian.PutUint32(p[offPub:], h.Publisher)
	binary.BigEndian.PutUint32(p[offTopic:], h.Topic)
	binary.BigEndian.PutUint32(p[offSeq:], h.Seq)
	binary.BigEndian.PutUint64(p[offTime:], uint64(h.Intended))
	binary.BigEndian.PutUint32(p[offLen:], uint32(len(p)))
	binary.BigEndian.PutUint32(p[offSum:], c.sum(p))
}

// Parse reads a payload and checks every byte of it.
func (c *Codec) Parse(p []byte) (Header, error) {
	if len(p) < HeaderSize || binary.BigEndian.Uint32(p) != magic {
		return Header{}, ErrForeign
	}
	if binary.BigEndian.Uint32(p[offLen:]) != uint32(len(p)) {
		return Header{}, ErrLength
	}
	if binary.BigEndian.Uint32(p[offSum:]) != c.sum(p) {
		return Header{}, ErrChecksum
	}
	h := Header{
		Run:       binary.BigEndian.Uint64(p[offRun:]),
		Publisher: binary.BigEndian.Uint32(p[offPub:]),
		Topic:     binary.BigEndian.Uint32(p[offTopic:]),
		Seq:       binary.BigEndian.Uint32(p[offSeq:]),
		Intended:  int64(binary.BigEndian.Uint64(p[offTime:])),
	}
	if h.Run != c.run {
		return Header{}, ErrForeign
	}
	return h, nil
}

func (c *Codec) sum(p []byte) uint32 {
	return crc32.Update(crc32.Checksum(p[:offSum], c.table), c.table, p[HeaderSize:])
}
