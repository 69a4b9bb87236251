package recorder

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"time"
)

// Buckets of a Spread: a page for each power of two, in equal parts, so that a
// bucket is at most 1/64 of its value wide. Values are microseconds; those
// below 64 have a bucket each.
const (
	pageBits = 6
	pageSize = 1 << pageBits
	pages    = 25 // through 2^30 µs, more than Longest
)

// Spread is how one message's deliveries spread over time. It takes 230 bytes
// and 256 more per power of two that it touches.
type Spread struct {
	Intended int64 // when the message should have left, CLOCK_MONOTONIC in nanoseconds
	count    uint64
	max      uint64 // microseconds
	page     [pages]*[pageSize]uint32
}

func bucket(us uint64) (page, at int) {
	if us < pageSize {
		return 0, int(us)
	}
	shift := bits.Len64(us) - pageBits - 1
	return shift + 1, int(us>>shift) - pageSize
}

// top returns the highest value that falls into a bucket.
func top(page, at int) uint64 {
	if page == 0 {
		return uint64(at)
	}
	return uint64(at+pageSize+1)<<(page-1) - 1
}

func (s *Spread) record(us uint64) {
	page, at := bucket(us)
	p := s.page[page]
	if p == nil {
		p = new([pageSize]uint32)
		s.page[page] = p
	}
	p[at]++
	s.count++
	s.max = max(s.max, us)
}

func (s *Spread) merge(o *Spread) {
	for i, from := range o.page {
		if from == nil {
			continue
		}
		if s.page[i] == nil {
			s.page[i] = new([pageSize]uint32)
		}
		for j, n := range from {
			s.page[i][j] += n
		}
	}
	s.count += o.count
	s.max = max(s.max, o.max)
	if s.Intended == 0 {
		s.Intended = o.Intended
	}
}

// Count returns the number of deliveries.
func (s *Spread) Count() uint64 { return s.count }

// Last returns when the last delivery had come, to the microsecond.
func (s *Spread) Last() time.Duration { return time.Duration(s.max) * time.Microsecond }

// Quantile returns the time by which the share q, above 0 and at most 1, of
// all deliveries had come, to within 1/64.
func (s *Spread) Quantile(q float64) time.Duration {
	rank := uint64(q*float64(s.count) + 0.999999)
	var seen uint64
	for i, p := range s.page {
		if p == nil {
			continue
		}
		for j, n := range p {
			if seen += uint64(n); n > 0 && seen >= rank {
				return time.Duration(min(top(i, j), s.max)) * time.Microsecond
			}
		}
	}
	return s.Last()
}

// maxLimit bounds what an encoding can make a reader allocate.
const maxLimit = 1 << 16

// Messages holds the Spread of each message, or of every Step-th one where
// there are more than it may keep.
type Messages struct {
	limit int
	step  int // a power of two, so that what two Messages keep can be merged
	kept  []*Spread
}

// NewMessages returns an empty Messages that keeps at most limit Spreads, which
// may be up to 65,536.
func NewMessages(limit int) *Messages { return &Messages{limit: limit, step: 1} }

// Step returns of how many messages one is kept.
func (m *Messages) Step() int { return m.step }

// Record enters a delivery of message number msg, nanos after its intended
// time.
func (m *Messages) Record(msg int, intended, nanos int64) {
	if msg&(m.step-1) != 0 {
		return
	}
	for msg/m.step >= m.limit {
		m.thin()
		if msg&(m.step-1) != 0 {
			return
		}
	}
	s := m.at(msg / m.step)
	if s.count == 0 {
		s.Intended = intended
	}
	s.record(uint64(min(max(nanos/1000, 0), Longest.Microseconds())))
}

func (m *Messages) at(i int) *Spread {
	for len(m.kept) <= i {
		m.kept = append(m.kept, nil)
	}
	if m.kept[i] == nil {
		m.kept[i] = &Spread{}
	}
	return m.kept[i]
}

// thin drops every other Spread.
func (m *Messages) thin() {
	m.step *= 2
	n := (len(m.kept) + 1) / 2
	for i := range n {
		m.kept[i] = m.kept[2*i]
	}
	clear(m.kept[n:])
	m.kept = m.kept[:n]
}

// Merge adds what other holds; other may be thinned by it.
func (m *Messages) Merge(other *Messages) {
	for m.step < other.step {
		m.thin()
	}
	for other.step < m.step {
		other.thin()
	}
	for i, s := range other.kept {
		if s != nil {
			m.at(i).merge(s)
		}
	}
}

// All yields the message numbers and Spreads that are kept, in order.
func (m *Messages) All(yield func(msg int, s *Spread) bool) {
	for i, s := range m.kept {
		if s != nil && !yield(i*m.step, s) {
			return
		}
	}
}

// MarshalBinary implements encoding.BinaryMarshaler: varints, only of what
// isn't zero.
func (m *Messages) MarshalBinary() ([]byte, error) {
	out := binary.AppendUvarint(nil, uint64(m.limit))
	out = binary.AppendUvarint(out, uint64(m.step))
	for i, s := range m.kept {
		if s == nil {
			continue
		}
		out = binary.AppendUvarint(out, uint64(i)+1)
		out = binary.AppendVarint(out, s.Intended)
		out = binary.AppendUvarint(out, s.max)
		last := -1
		for j, p := range s.page {
			if p == nil {
				continue
			}
			for k, n := range p {
				if n > 0 {
					out = binary.AppendUvarint(out, uint64(j*pageSize+k-last))
					out = binary.AppendUvarint(out, uint64(n))
					last = j*pageSize + k
				}
			}
		}
		out = append(out, 0)
	}
	return append(out, 0), nil
}

var errEncoding = errors.New("messages: malformed encoding")

// UnmarshalBinary implements encoding.BinaryUnmarshaler.
func (m *Messages) UnmarshalBinary(p []byte) error {
	bad := false
	next := func() uint64 {
		v, n := binary.Uvarint(p)
		if n <= 0 {
			bad = true
			return 0
		}
		p = p[n:]
		return v
	}
	got := NewMessages(int(next()))
	got.step = int(next())
	if bad || got.limit <= 0 || got.limit > maxLimit || got.step <= 0 || got.step&(got.step-1) != 0 {
		return errEncoding
	}
	for {
		i := next()
		if bad {
			return errEncoding
		}
		if i == 0 {
			*m = *got
			return nil
		}
		if i > uint64(got.limit) {
			return errEncoding
		}
		s := got.at(int(i) - 1)
		v, n := binary.Varint(p)
		if n <= 0 {
			return errEncoding
		}
		p = p[n:]
		s.Intended, s.max = v, next()
		at := -1
		for step := next(); step != 0 && !bad; step = next() {
			if step > pages*pageSize {
				return errEncoding
			}
			at += int(step)
			if at >= pages*pageSize {
				return errEncoding
			}
			if s.page[at/pageSize] == nil {
				s.page[at/pageSize] = new([pageSize]uint32)
			}
			count := next()
			s.page[at/pageSize][at%pageSize] += uint32(count)
			s.count += count
		}
	}
}
