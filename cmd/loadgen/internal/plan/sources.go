package plan

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
)

// perLoopback is how many connections go out from one loopback address. With
// thousands per address the kernel's search for a free port becomes the
// slowest part of connecting.
const perLoopback = 250

// Range is a range of addresses, both ends included.
type Range struct {
	From netip.Addr `json:"from"`
	To   netip.Addr `json:"to"`
}

// Sources are the addresses to connect from, used in turn. None: the kernel
// chooses.
type Sources []Range

// ParseSources reads a comma-separated list of addresses and ranges a.b.c.d-e,
// where e replaces the last octet.
func ParseSources(list string) (Sources, error) {
	var out Sources
	for item := range strings.SplitSeq(list, ",") {
		item = strings.TrimSpace(item)
		first, last, isRange := strings.Cut(item, "-")
		from, err := netip.ParseAddr(first)
		if err != nil {
			return nil, fmt.Errorf("%q is not an IP address", first)
		}
		to := from
		if isRange {
			dot := strings.LastIndexByte(first, '.')
			if dot < 0 {
				return nil, fmt.Errorf("%q: ranges are for IPv4 addresses: a.b.c.d-e", item)
			}
			if to, err = netip.ParseAddr(first[:dot+1] + last); err != nil {
				return nil, fmt.Errorf("%q: the end of a range is its last octet, 0 to 255", item)
			}
			if to.Less(from) {
				return nil, fmt.Errorf("%q: the range ends before it begins", item)
			}
		}
		out = append(out, Range{from, to})
	}
	return out, nil
}

// LoopbackSources returns as many addresses of 127.0.0.0/8, from 127.0.0.2 on,
// as conns connections should be spread over.
func LoopbackSources(conns int) Sources {
	from := netip.AddrFrom4([4]byte{127, 0, 0, 2})
	n := (conns + perLoopback - 1) / perLoopback
	return Sources{{from, add(from, max(n, 1)-1)}}
}

// Len returns the number of addresses.
func (s Sources) Len() (n int) {
	for _, r := range s {
		n += r.len()
	}
	return n
}

// At returns the address of a connection's given attempt; the zero value if
// the kernel is to choose.
func (s Sources) At(conn, attempt int) netip.Addr {
	n := s.Len()
	if n == 0 {
		return netip.Addr{}
	}
	i := (conn + attempt) % n
	for _, r := range s {
		if i < r.len() {
			return add(r.From, i)
		}
		i -= r.len()
	}
	return netip.Addr{}
}

func (r Range) len() int {
	if !r.From.Is4() {
		return 1
	}
	return int(number(r.To)-number(r.From)) + 1
}

func number(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func add(a netip.Addr, n int) netip.Addr {
	if n == 0 {
		return a
	}
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], number(a)+uint32(n))
	return netip.AddrFrom4(b)
}
