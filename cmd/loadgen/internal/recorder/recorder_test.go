package recorder

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestHistogramQuantiles(t *testing.T) {
	h := NewHistogram()
	for i := range 1000 {
		h.Record(int64(i+1) * int64(time.Millisecond))
	}
	for _, tt := range []struct {
		q    float64
		want time.Duration
	}{
		{0.5, 500 * time.Millisecond},
		{0.9, 900 * time.Millisecond},
		{0.999, 999 * time.Millisecond},
		{1, time.Second},
	} {
		if got := h.Quantile(tt.q); math.Abs(float64(got-tt.want)) > float64(tt.want)/1000 {
			t.Errorf("quantile %v is %v, want %v to a thousandth", tt.q, got, tt.want)
		}
	}
}

func TestHistogramBounds(t *testing.T) {
	h := NewHistogram()
	if h.Max() != 0 || h.Count() != 0 {
		t.Errorf("an empty histogram has %d values up to %v", h.Count(), h.Max())
	}
	h.Record(-5)
	if got := h.Max(); got != 0 {
		t.Errorf("less than nothing counts as %v, want 0", got)
	}
	h.Record(int64(time.Hour))
	if got := h.Max(); got < Longest || got > Longest+Longest/1000 {
		t.Errorf("an hour counts as %v, want %v", got, Longest)
	}
	if h.Count() != 2 {
		t.Errorf("%d values, want 2", h.Count())
	}
}

func TestHistogramTravels(t *testing.T) {
	a, b := NewHistogram(), NewHistogram()
	for i := range int64(1000) {
		a.Record(i * 1e6)
		b.Record(i * 1e4)
	}
	text, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	var got Histogram
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	got.Merge(b)
	a.Merge(b)
	if got.Count() != 2000 || got.Max() != a.Max() || got.Quantile(0.7) != a.Quantile(0.7) {
		t.Errorf("count %d, max %v, p70 %v; want 2000, %v, %v", got.Count(), got.Max(), got.Quantile(0.7), a.Max(), a.Quantile(0.7))
	}
	if err := json.Unmarshal([]byte(`"nonsense"`), &got); err == nil {
		t.Error("nonsense was taken for a histogram")
	}
}

func TestBuckets(t *testing.T) {
	last := -1
	for us := uint64(0); us <= uint64(Longest.Microseconds()); us += 1 + us/200 {
		page, at := bucket(us)
		if page >= pages || at < 0 || at >= pageSize {
			t.Fatalf("%d µs falls into page %d, bucket %d", us, page, at)
		}
		if n := page*pageSize + at; n < last {
			t.Fatalf("%d µs falls into bucket %d, below a smaller value's", us, n)
		} else {
			last = n
		}
		hi := top(page, at)
		if hi < us || float64(hi-us) > float64(us)/pageSize {
			t.Fatalf("%d µs falls into a bucket up to %d", us, hi)
		}
		if p, a := bucket(hi); p != page || a != at {
			t.Fatalf("the top of the bucket of %d µs is in another one", us)
		}
		if p, a := bucket(hi + 1); p == page && a == at {
			t.Fatalf("the bucket of %d µs doesn't end at its top", us)
		}
	}
}

// spreads keeps all values, which is what Messages is compared with.
type spreads map[int][]time.Duration

func (s spreads) check(t *testing.T, m *Messages) {
	t.Helper()
	kept := 0
	for msg, got := range m.All {
		want := slices.Sorted(slices.Values(s[msg]))
		kept++
		if msg%m.Step() != 0 || int(got.Count()) != len(want) || got.Intended != int64(msg) {
			t.Fatalf("message %d: %d deliveries, intended %d; want %d, %d", msg, got.Count(), got.Intended, len(want), msg)
		}
		if got.Last() != want[len(want)-1] {
			t.Errorf("message %d: last %v, want %v", msg, got.Last(), want[len(want)-1])
		}
		for _, q := range []float64{0.5, 0.99, 1} {
			exact := want[int(math.Ceil(q*float64(len(want))))-1]
			if d := got.Quantile(q) - exact; d < 0 || d > exact/pageSize+time.Microsecond {
				t.Errorf("message %d: quantile %v is %v, want %v or a 64th more", msg, q, got.Quantile(q), exact)
			}
		}
	}
	want := 0
	for msg := range s {
		if msg%m.Step() == 0 {
			want++
		}
	}
	if kept != want {
		t.Errorf("%d messages are kept, want %d (step %d)", kept, want, m.Step())
	}
}

func TestMessagesAgainstNaive(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for _, total := range []int{1, 99, 100, 101, 1000, 5000} {
		all := make(spreads)
		parts := []*Messages{NewMessages(100), NewMessages(100), NewMessages(100)}
		for msg := range total {
			for range 1 + rnd.IntN(40) {
				d := time.Duration(rnd.ExpFloat64()*1e5) * time.Microsecond
				all[msg] = append(all[msg], d)
				// The parts see different numbers of messages, as processes do
				// whose connections are lost: one all, one the first half, one
				// the second.
				part := parts[rnd.IntN(2)*(1+2*msg/total)]
				part.Record(msg, int64(msg), int64(d))
			}
		}
		sum := NewMessages(100)
		for _, p := range parts {
			text, err := p.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			var q Messages
			if err := q.UnmarshalBinary(text); err != nil {
				t.Fatal(err)
			}
			sum.Merge(&q)
		}
		if sum.Step()*100 < total || total <= 100 && sum.Step() != 1 {
			t.Errorf("%d messages are kept with step %d", total, sum.Step())
		}
		all.check(t, sum)
	}
}

func FuzzUnmarshalMessages(f *testing.F) {
	m := NewMessages(10)
	for i := range 30 {
		m.Record(i, int64(i), int64(i)*1e6)
	}
	text, err := m.MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(text[:len(text)-1])
	f.Add([]byte{10, 1, 1, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, p []byte) {
		var m Messages
		if m.UnmarshalBinary(p) != nil {
			return
		}
		text, err := m.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var again Messages
		if err := again.UnmarshalBinary(text); err != nil {
			t.Errorf("%x was read, but what is written of it not: %v", p, err)
		}
	})
}

func TestRecordingCostsNothing(t *testing.T) {
	h, m := NewHistogram(), NewMessages(100)
	if n := testing.AllocsPerRun(1000, func() {
		h.Record(1e6)
		m.Record(3, 7, 1e6)
	}); n != 0 {
		t.Errorf("%v allocations per delivery, want 0", n)
	}
}

func BenchmarkRecord(b *testing.B) {
	h, m := NewHistogram(), NewMessages(100)
	b.ReportAllocs()
	for i := int64(0); b.Loop(); i++ {
		d := i % 1e9
		h.Record(d)
		m.Record(int(i%100), 7, d)
	}
}
