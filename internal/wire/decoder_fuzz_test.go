package wire

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"slices"
	"sort"
	"testing"

	"github.com/gobwas/ws"
)

// cutsOf turns fuzzed bytes into places where n bytes are cut.
func cutsOf(steps []byte, n int) []int {
	var cuts []int
	at := 0
	for _, s := range steps {
		if at += int(s); at >= n {
			break
		}
		cuts = append(cuts, at)
	}
	return cuts
}

// The Decoder and the oracle agree on any input, however it is cut, and on the
// byte at which it is refused.
func FuzzDecoder(f *testing.F) {
	f.Fuzz(func(t *testing.T, in []byte, client bool, limit uint32, steps []byte) {
		if len(in) > 1<<16 {
			return
		}
		r := Rules{Client: client, MaxMessage: int(limit)}
		want := oracle(in, r)
		check := func(how string, want, got outcome) {
			t.Helper()
			if want.code != 0 {
				got.middle = want.middle
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("%s: got %v, want %v", how, got, want)
			}
		}
		var d Decoder
		defer d.Reset()
		check("whole", want, feed(t, &d, r, in))
		d.Reset()
		check("cut", want, feed(t, &d, r, in, cutsOf(steps, len(in))...))
		if want.code == 0 || len(in) > 1000 {
			return
		}
		bad := sort.Search(len(in), func(n int) bool { return oracle(in[:n], r).code != 0 })
		d.Reset()
		check("until just before the error", oracle(in[:bad-1], r), feed(t, &d, r, in[:bad-1], each(bad-1)...))
		d.Reset()
		check("until the error", want, feed(t, &d, r, in[:bad], each(bad)...))
	})
}

// gobwasMessages reads messages from in the way programs on gobwas/ws do. The
// error is io.ErrUnexpectedEOF when in ends within a frame.
func gobwasMessages(in []byte, client bool) (got []message, err error) {
	state := ws.StateServerSide
	if client {
		state = ws.StateClientSide
	}
	var op OpCode
	var data []byte
	for r := bytes.NewReader(in); r.Len() > 0; {
		start := r.Size() - int64(r.Len())
		h, err := ws.ReadHeader(r)
		if err != nil {
			return got, err
		}
		if err := ws.CheckHeader(h, state); err != nil {
			return got, err
		}
		if h.Length > int64(r.Len()) { // ReadFrame would allocate it
			return got, io.ErrUnexpectedEOF
		}
		r.Seek(start, io.SeekStart)
		frame, err := ws.ReadFrame(r)
		if err != nil {
			return got, err
		}
		if h.Masked {
			frame = ws.UnmaskFrameInPlace(frame)
		}
		if h.OpCode.IsControl() {
			got = append(got, message{h.OpCode, string(frame.Payload)})
			continue
		}
		if h.OpCode != ws.OpContinuation {
			op = h.OpCode
		}
		data = append(data, frame.Payload...)
		state = state.Set(ws.StateFragmented)
		if h.Fin {
			got = append(got, message{op, string(data)})
			data = nil
			state = state.Clear(ws.StateFragmented)
		}
	}
	return got, nil
}

// What the Decoder accepts, gobwas/ws's own reader accepts too and understands
// in the same way. It is less strict about lengths and text.
func FuzzDecoderAgainstGobwas(f *testing.F) {
	f.Fuzz(func(t *testing.T, in []byte, client bool, steps []byte) {
		if len(in) > 1<<16 {
			return
		}
		got := feed(t, new(Decoder), Rules{Client: client, MaxMessage: 1 << 30}, in, cutsOf(steps, len(in))...)
		want, err := gobwasMessages(in, client)
		if got.code != 0 {
			want = want[:min(len(want), len(got.got))] // it may go on for longer
		} else if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("got %v, but gobwas/ws refuses it: %v", got, err)
		}
		if !slices.Equal(got.got, want) {
			t.Fatalf("got %v, gobwas/ws %v", got.got, want)
		}
	})
}
