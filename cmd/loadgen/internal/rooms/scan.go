package rooms

import (
	"encoding/binary"
	"math/bits"
)

// scan reads a line of the shapes that come all the time, with their keys in the
// order of the protocol's schema, without spaces and escapes: a publication
//
//	{"push":{"channel":"C","pub":{"data":"D"}}}
//	{"push":{"channel":"C","pub":{"data":"D","info":{"user":"U","client":"C"},"offset":1}}}
//
// the answer to one,
//
//	{"id":1,"publish":{}}
//
// and, since it is long and comes to everybody at once, that with all that was
// published before,
//
//	{"id":2,"subscribe":{"recoverable":true,"epoch":"E","publications":[P,P],"recovered":true,"offset":2,"positioned":true,"was_recovering":true}}
//
// and returns its length in bytes; 0 if it is anything else. A line that scan
// reads, parse reads in the same way.
func scan(p []byte) (m Message, n int) {
	s := scanner{rest: p}
	if s.skip(`{"push":{"channel":"`) {
		m.Kind, m.Channel = Publication, s.letters()
		s.require(`","pub":`)
		m.Data = s.publication()
		s.require(`}}`)
	} else {
		m.Kind = Answer
		s.require(`{"id":`)
		m.ID = s.number()
		if s.skip(`,"subscribe":{"recoverable":true,"epoch":"`) {
			m.Recovered, m.Publications = true, s.recovered()
		} else {
			s.require(`,"publish":{}}`)
		}
	}
	if s.bad || len(s.rest) > 0 && s.rest[0] != '\n' {
		return Message{}, 0
	}
	return m, len(p) - len(s.rest)
}

// scanner is what is left of a line. Once it is bad, its methods return nothing
// of use.
type scanner struct {
	rest []byte
	bad  bool
}

// publication takes one and returns its data.
func (s *scanner) publication() []byte {
	s.require(`{"data":`)
	data := s.rest
	s.require(`"`)
	length := len(s.letters()) + 2
	s.require(`"`)
	if s.skip(`,"info":{"user":"`) {
		s.letters()
		s.require(`","client":"`)
		s.letters()
		s.require(`"}`)
	}
	if s.skip(`,"offset":`) {
		s.digits()
	}
	if s.skip(`,"time":`) {
		s.digits()
	}
	s.require(`}`)
	if s.bad {
		return nil
	}
	return data[:length]
}

// recovered takes the rest of an answer with publications, from the epoch on,
// and returns how many there are.
func (s *scanner) recovered() (n int) {
	s.letters()
	s.require(`","publications":[`)
	for more := true; more && !s.bad; more = s.skip(`,`) {
		s.publication()
		n++
	}
	s.require(`],"recovered":true,"offset":`)
	s.digits()
	s.require(`,"positioned":true,"was_recovering":true}}`)
	return n
}

// skip takes a word if that comes next.
func (s *scanner) skip(word string) bool {
	if len(s.rest) < len(word) || string(s.rest[:len(word)]) != word {
		return false
	}
	s.rest = s.rest[len(word):]
	return true
}

func (s *scanner) require(word string) {
	if !s.skip(word) {
		s.bad = true
	}
}

// number takes a number from 1 to 999,999,999.
func (s *scanner) number() (v uint32) {
	digits := s.digits()
	if len(digits) > 9 {
		s.bad = true
		return 0
	}
	for _, d := range digits {
		v = 10*v + uint32(d-'0')
	}
	return v
}

// digits takes those of a number from 1 on.
func (s *scanner) digits() []byte {
	i := 0
	for i < len(s.rest) && '0' <= s.rest[i] && s.rest[i] <= '9' {
		i++
	}
	if i == 0 || s.rest[0] == '0' {
		s.bad = true
		return nil
	}
	taken := s.rest[:i]
	s.rest = s.rest[i:]
	return taken
}

// letters takes printable ASCII up to what ends a string or begins an escape.
func (s *scanner) letters() []byte {
	for i := 0; i < len(s.rest); i += 8 {
		// The last eight bytes may be in part those before, which are known.
		i := min(i, len(s.rest)-8)
		if i < 0 {
			break // so short a line is for parse
		}
		if n := special(binary.LittleEndian.Uint64(s.rest[i:])); n < 8 {
			taken := s.rest[:i+n]
			s.rest = s.rest[i+n:]
			return taken
		}
	}
	s.bad = true
	return nil
}

// special returns which of eight bytes, lowest first, is the first that isn't
// printable ASCII or is a quote or a backslash; 8 if none is.
func special(x uint64) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	// What a subtraction borrows falsifies only bytes behind the first.
	control := x - ones*' '
	quote := (x ^ ones*'"') - ones
	backslash := (x ^ ones*'\\') - ones
	return bits.TrailingZeros64((control|quote|backslash|x)&highs) / 8
}
