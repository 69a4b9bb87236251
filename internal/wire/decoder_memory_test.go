package wire

import (
	"bytes"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/valyala/bytebufferpool"
)

// mustNext feeds p and wants it all to be taken.
func mustNext(t *testing.T, d *Decoder, p string, r *Rules) Message {
	t.Helper()
	m, n, err := d.Next([]byte(p), r)
	if err != nil || n != len(p) {
		t.Fatalf("%q: %d bytes taken, %v", p, n, err)
	}
	return m
}

func TestSettle(t *testing.T) {
	var d Decoder
	settled := func(after string, want bool) {
		t.Helper()
		for range 2 { // the second call has nothing left to do
			if got := d.Settle(); got != want {
				t.Errorf("after %s, Settle reports %t", after, got)
			}
		}
		if want && (d.msg != nil || d.spent) {
			t.Errorf("after %s, a settled Decoder still holds a buffer", after)
		}
	}
	settled("nothing", true)
	mustNext(t, &d, "\x81", &fromClient)
	settled("half a header", false)
	mustNext(t, &d, "\x82"+m0+"a", &fromClient)
	settled("half a payload", false)
	if m := mustNext(t, &d, "b", &fromClient); string(m.Payload) != "ab" {
		t.Fatalf("got %q", m.Payload)
	}
	settled("the whole message", true)
	mustNext(t, &d, "\x89\x82"+m0+"a", &fromClient)
	settled("half a ping", false)
	if m := mustNext(t, &d, "b", &fromClient); m.Op != OpPing || string(m.Payload) != "ab" {
		t.Fatalf("got %v %q", m.Op, m.Payload)
	}
	settled("the whole ping", true)
	mustNext(t, &d, "\x01\x80"+m0, &fromClient)
	settled("an empty first fragment", false)
	mustNext(t, &d, "\x89\x80"+m0, &fromClient)
	settled("a ping between fragments", false)
	mustNext(t, &d, "\x80\x80"+m0, &fromClient)
	settled("the last fragment", true)

	mustNext(t, &d, "\x02\x81"+m0+"a", &fromClient)
	d.Reset()
	settled("Reset within a message", true)
	mustNext(t, &d, "\x82\x81"+m0, &fromClient)
	mustNext(t, &d, "a", &fromClient)
	d.Reset()
	settled("Reset with a message returned", true)
}

// Some Decoders share the pool and take turns at random. A buffer that went
// back twice, or too early, would hold two messages at once.
func TestBuffersGoBackOnce(t *testing.T) {
	type peer struct {
		d    Decoder
		next byte
		rest []byte // of the frames that are being sent
		want string
		held []byte // returned, and valid until d is used again
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	peers := make([]peer, 20)
	for step := range 200000 {
		p := &peers[rnd.IntN(len(peers))]
		if p.held != nil && string(p.held) != p.want {
			t.Fatalf("step %d: a message has become %q, want %q", step, p.held, p.want)
		}
		p.held = nil
		switch rnd.IntN(20) {
		case 0:
			p.d.Settle()
			continue
		case 1:
			p.d.Reset()
			p.rest = nil
			continue
		}
		if len(p.rest) == 0 {
			p.next++
			text := bytes.Repeat([]byte{p.next}, 1+rnd.IntN(200))
			p.want = string(text)
			i := rnd.IntN(len(text))
			p.rest = AppendMaskedFrame(nil, OpBinary, text[:i], [4]byte{1, 2, 3, 4})
			p.rest[0] &^= bitFin
			p.rest = AppendMaskedFrame(p.rest, 0, text[i:], [4]byte{5, 6, 7, 8})
		}
		n := min(len(p.rest), 1+rnd.IntN(60))
		m, used, err := p.d.Next(p.rest[:n], &fromClient)
		if err != nil || used != n {
			t.Fatalf("step %d: %d of %d bytes taken, %v", step, used, n, err)
		}
		p.rest = p.rest[n:]
		if m.Op != 0 {
			if string(m.Payload) != p.want {
				t.Fatalf("step %d: got %q, want %q", step, m.Payload, p.want)
			}
			p.held = m.Payload
		}
	}
	for i := range peers {
		peers[i].d.Reset()
	}
}

// startsAt is about what a message of one byte may cost, in bytes.
const startsAt = 4 << 10

// Memory follows what has arrived, whatever a header declares.
func TestDeclaredLengthCostsNothing(t *testing.T) {
	r := Rules{MaxMessage: 64 << 20}
	var d Decoder
	defer d.Reset()
	mustNext(t, &d, "\x82\xff\x00\x00\x00\x00\x03\xc0\x00\x00"+m0, &r) // 60 MiB
	chunk := strings.Repeat("a", 1000)
	for arrived := 0; arrived < 1<<20; arrived += len(chunk) {
		if held, most := cap(d.held()), startsAt+2*arrived; held > most {
			t.Fatalf("%d bytes are held when %d have arrived, want at most %d", held, arrived, most)
		}
		mustNext(t, &d, chunk, &r)
	}
}

// held is what the Decoder has put together so far.
func (d *Decoder) held() []byte {
	if d.msg == nil {
		return nil
	}
	return d.msg.B
}

// Big messages don't become the size of every buffer: the pool makes new ones
// as large as those that it has seen most.
func TestBigMessagesDontTeachThePool(t *testing.T) {
	big := make([]byte, 64<<10)
	for range 50000 { // more than the pool looks at before it learns
		putMessage(&bytebufferpool.ByteBuffer{B: big})
	}
	runtime.GC() // twice empties a sync.Pool
	runtime.GC()
	for range 100 {
		var d Decoder
		mustNext(t, &d, "\x82\xfe\xff\xff"+m0+"a", &fromClient)
		if n := cap(d.held()); n > startsAt {
			t.Fatalf("a new buffer has %d bytes, want at most %d", n, startsAt)
		}
		defer d.Reset()
	}
}

func TestDecoderAllocatesNothing(t *testing.T) {
	text := AppendMaskedFrame(nil, OpText, []byte(strings.Repeat("é", 64)), [4]byte{1, 2, 3, 4})
	ping := AppendMaskedFrame(nil, OpPing, []byte("are you there"), [4]byte{1, 2, 3, 4})
	tests := []struct {
		name string
		in   []byte
		cuts []int
	}{
		{"a whole message", text, nil},
		{"messages and pings", bytes.Repeat(append(bytes.Clone(text), ping...), 8), nil},
		{"headers cut off", text, []int{1, 3}},
		{"a ping cut off", ping, []int{1, 7, 9}},
	}
	for _, tt := range tests {
		var d Decoder
		buf := make([]byte, len(tt.in))
		cuts := append(tt.cuts, len(tt.in))
		allocs := testing.AllocsPerRun(100, func() {
			copy(buf, tt.in)
			start := 0
			for _, end := range cuts {
				for p := buf[start:end]; len(p) > 0; {
					_, n, err := d.Next(p, &fromClient)
					if err != nil {
						t.Fatal(err)
					}
					p = p[n:]
				}
				start = end
			}
		})
		if allocs != 0 || !d.Settle() {
			t.Errorf("%s: %v allocations, want none", tt.name, allocs)
		}
	}
}

// What is cut off takes a buffer from the pool and gives it back, at the end of
// the message and at the end of the connection. The pool may lose some: it does
// so on purpose under the race detector.
func TestBuffersComeBack(t *testing.T) {
	in := AppendMaskedFrame(nil, OpBinary, []byte(a126), [4]byte{})
	for name, over := range map[string]func(d *Decoder){
		"Settle": func(d *Decoder) { d.Settle() },
		"Reset":  (*Decoder).Reset,
		"Next":   func(*Decoder) {},
	} {
		var d Decoder
		allocs := testing.AllocsPerRun(1000, func() {
			for _, p := range [][]byte{in[:20], in[20:]} {
				if _, _, err := d.Next(p, &fromClient); err != nil {
					t.Fatal(err)
				}
			}
			over(&d)
		})
		d.Reset()
		if allocs >= 1 {
			t.Errorf("%s: %v allocations for each message, want none", name, allocs)
		}
	}
	var d Decoder
	allocs := testing.AllocsPerRun(1000, func() {
		if _, _, err := d.Next(in[:20], &fromClient); err != nil {
			t.Fatal(err)
		}
		d.Reset()
	})
	if allocs >= 1 {
		t.Errorf("Reset within a message: %v allocations, want none", allocs)
	}
}
