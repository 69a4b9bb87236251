// Package ledger keeps, for very many streams of numbered messages, exactly
// what it takes to say which arrived, which are missing, which came twice and
// which came out of order. A stream is one publisher's messages as one
// connection receives them; in good order it costs four bytes.
package ledger

import "slices"

// Verdict says how a message fits into its stream.
type Verdict uint8

const (
	// InOrder is a message not seen before that no later one has overtaken.
	InOrder Verdict = iota
	// Reordered is a message not seen before that arrives after a later one.
	Reordered
	// Duplicate is a message that was seen before.
	Duplicate
)

// span is a run of missing messages: from and up to, not including, to.
type span struct{ from, to uint32 }

// Book is the account of a number of streams, numbered from 0. It isn't safe
// for concurrent use.
type Book struct {
	next []uint32       // per stream: one more than the highest number seen
	gaps map[int][]span // what is missing below next, ascending; only for streams with gaps
}

// New returns a Book for that many streams.
func New(streams int) *Book { return &Book{next: make([]uint32, streams)} }

// Record enters the arrival of message seq on stream.
func (b *Book) Record(stream int, seq uint32) Verdict {
	next := b.next[stream]
	if seq == next {
		b.next[stream] = next + 1
		return InOrder
	}
	if seq > next {
		if b.gaps == nil {
			b.gaps = make(map[int][]span)
		}
		b.gaps[stream] = append(b.gaps[stream], span{next, seq})
		b.next[stream] = seq + 1
		return InOrder
	}
	return b.late(stream, seq)
}

// late enters a message from below next: it fills a gap, or it was seen.
func (b *Book) late(stream int, seq uint32) Verdict {
	gaps := b.gaps[stream]
	i, found := slices.BinarySearchFunc(gaps, seq, func(s span, seq uint32) int {
		switch {
		case seq < s.from:
			return 1
		case seq >= s.to:
			return -1
		}
		return 0
	})
	if !found {
		return Duplicate
	}
	switch s := gaps[i]; {
	case s.to-s.from == 1:
		gaps = slices.Delete(gaps, i, i+1)
	case seq == s.from:
		gaps[i].from++
	case seq == s.to-1:
		gaps[i].to--
	default:
		gaps[i].to = seq
		gaps = slices.Insert(gaps, i+1, span{seq + 1, s.to})
	}
	if len(gaps) == 0 {
		delete(b.gaps, stream)
	} else {
		b.gaps[stream] = gaps
	}
	return Reordered
}

// Delivered returns how many different messages arrived on stream.
func (b *Book) Delivered(stream int) uint32 {
	n := b.next[stream]
	for _, s := range b.gaps[stream] {
		n -= s.to - s.from
	}
	return n
}

// Missing returns how many of the first total messages of stream have not
// arrived.
func (b *Book) Missing(stream int, total uint32) uint32 {
	var n uint32
	for _, s := range b.gaps[stream] {
		n += min(s.to, total) - min(s.from, total)
	}
	return n + total - min(b.next[stream], total)
}
