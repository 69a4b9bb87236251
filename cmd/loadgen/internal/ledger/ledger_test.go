package ledger

import (
	"math/rand/v2"
	"testing"
)

func TestRecord(t *testing.T) {
	const ok, late, dup = InOrder, Reordered, Duplicate
	for _, tt := range []struct {
		name      string
		arrivals  []uint32
		want      []Verdict
		total     uint32
		delivered uint32
		missing   uint32
	}{
		{"in order", []uint32{0, 1, 2}, []Verdict{ok, ok, ok}, 3, 3, 0},
		{"nothing", nil, nil, 3, 0, 3},
		{"first lost", []uint32{1, 2}, []Verdict{ok, ok}, 3, 2, 1},
		{"middle lost", []uint32{0, 2}, []Verdict{ok, ok}, 3, 2, 1},
		{"end lost", []uint32{0, 1}, []Verdict{ok, ok}, 4, 2, 2},
		{"doubled", []uint32{0, 1, 1, 2}, []Verdict{ok, ok, dup, ok}, 3, 3, 0},
		{"doubled later", []uint32{0, 1, 2, 0}, []Verdict{ok, ok, ok, dup}, 3, 3, 0},
		{"swapped", []uint32{1, 0, 2}, []Verdict{ok, late, ok}, 3, 3, 0},
		{"swapped and doubled", []uint32{1, 0, 0, 1}, []Verdict{ok, late, dup, dup}, 2, 2, 0},
		{"backwards", []uint32{3, 2, 1, 0}, []Verdict{ok, late, late, late}, 4, 4, 0},
		{"gap filled from the middle", []uint32{5, 2, 1, 3, 4, 0, 2}, []Verdict{ok, late, late, late, late, late, dup}, 6, 6, 0},
		{"two gaps", []uint32{1, 3, 2}, []Verdict{ok, ok, late}, 4, 3, 1},
		{"gap across the end", []uint32{9}, []Verdict{ok}, 5, 1, 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := New(3)
			for i, seq := range tt.arrivals {
				if got := b.Record(1, seq); got != tt.want[i] {
					t.Errorf("arrival %d, message %d: verdict %d, want %d", i, seq, got, tt.want[i])
				}
			}
			if got := b.Delivered(1); got != tt.delivered {
				t.Errorf("delivered %d, want %d", got, tt.delivered)
			}
			if got := b.Missing(1, tt.total); got != tt.missing {
				t.Errorf("missing %d, want %d", got, tt.missing)
			}
			for _, other := range []int{0, 2} {
				if b.Delivered(other) != 0 {
					t.Errorf("stream %d was touched", other)
				}
			}
		})
	}
}

// naive is the same account as sets.
type naive struct {
	seen    map[uint32]bool
	highest int64
}

func (n *naive) record(seq uint32) Verdict {
	switch {
	case n.seen[seq]:
		return Duplicate
	case int64(seq) < n.highest:
		n.seen[seq] = true
		return Reordered
	}
	n.seen[seq] = true
	n.highest = int64(seq)
	return InOrder
}

func (n *naive) missing(total uint32) (m uint32) {
	for seq := range total {
		if !n.seen[seq] {
			m++
		}
	}
	return m
}

// compare plays arrivals to the Book and to the naive account.
func compare(t *testing.T, arrivals []uint32) {
	t.Helper()
	b := New(1)
	n := &naive{seen: make(map[uint32]bool), highest: -1}
	top := uint32(0)
	for i, seq := range arrivals {
		top = max(top, seq)
		if got, want := b.Record(0, seq), n.record(seq); got != want {
			t.Fatalf("arrival %d of %v: verdict %d, want %d", i, arrivals[:i+1], got, want)
		}
	}
	if got, want := int(b.Delivered(0)), len(n.seen); got != want {
		t.Fatalf("%v: delivered %d, want %d", arrivals, got, want)
	}
	for _, total := range []uint32{0, 1, top / 2, top, top + 1, top + 5} {
		if got, want := b.Missing(0, total), n.missing(total); got != want {
			t.Fatalf("%v: missing of %d: %d, want %d", arrivals, total, got, want)
		}
	}
	last := -1
	for _, s := range b.gaps[0] {
		if s.from >= s.to || int(s.from) <= last || s.to > b.next[0] {
			t.Fatalf("%v: gaps %v, next %d: not ascending, or empty", arrivals, b.gaps[0], b.next[0])
		}
		last = int(s.to)
	}
	if gaps, kept := b.gaps[0]; kept && len(gaps) == 0 {
		t.Fatalf("%v: an empty list of gaps is kept", arrivals)
	}
}

func TestAgainstNaive(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 3000 {
		arrivals := make([]uint32, rnd.IntN(60))
		for i := range arrivals {
			arrivals[i] = uint32(max(0, i+int(rnd.NormFloat64()*4)))
		}
		compare(t, arrivals)
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3})
	f.Add([]byte{3, 2, 1, 0, 0})
	f.Add([]byte{9, 4, 5, 3, 4, 200, 100})
	f.Fuzz(func(t *testing.T, in []byte) {
		arrivals := make([]uint32, len(in))
		for i, b := range in {
			arrivals[i] = uint32(b)
		}
		compare(t, arrivals)
	})
}

func TestInOrderCostsNothing(t *testing.T) {
	b := New(1)
	seq := uint32(0)
	if n := testing.AllocsPerRun(1000, func() {
		b.Record(0, seq)
		seq++
	}); n != 0 {
		t.Errorf("%v allocations per message, want 0", n)
	}
	if b.gaps != nil {
		t.Errorf("gaps %v were made without a gap", b.gaps)
	}
}
