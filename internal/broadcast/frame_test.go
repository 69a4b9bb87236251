package broadcast

import (
	"strings"
	"testing"
)

func TestFrameIsHeadAndPayload(t *testing.T) {
	f := NewFrame([]byte("head"), []byte("payload"))
	defer f.Release()
	if got := string(f.Bytes()); got != "headpayload" || f.Len() != len(got) {
		t.Errorf("a frame of head and payload has %q, length %d", got, f.Len())
	}
}

func TestFrameLivesUntilLastRelease(t *testing.T) {
	before := LiveFrames()
	f := frame("shared")
	f.Retain()
	f.Release()
	if got := string(f.Bytes()); got != "shared" {
		t.Errorf("with a reference left, a frame has %q", got)
	}
	if n := LiveFrames() - before; n != 1 {
		t.Errorf("%d frames are live, want 1", n)
	}
	f.Release()
	if n := LiveFrames() - before; n != 0 {
		t.Errorf("%d frames are live after the last release, want 0", n)
	}
}

func TestFrameReleasedTooOften(t *testing.T) {
	f := &Frame{} // not from the pool: it must not come back from there
	f.refs.Store(0)
	mustPanic(t, "one Release too many", f.Release)
	mustPanic(t, "Retain after the last Release", (&Frame{}).Retain)
}

// With the build tag hubbubdebug a frame that is used after its return panics,
// and its bytes are spoilt.
func TestFrameUsedAfterRelease(t *testing.T) {
	if !debug {
		t.Log("frames are only watched with the build tag hubbubdebug")
		return
	}
	f := frame("secret")
	p := f.Bytes()
	f.Release()
	mustPanic(t, "Bytes after the last Release", func() { f.Bytes() })
	if strings.Contains(string(p), "secret") {
		t.Error("a released frame's bytes are still there")
	}
}

func TestBatchMergesWhatFits(t *testing.T) {
	var b, tail Batch
	for _, s := range []string{"one,", "two,", "three"} {
		f := frame(s)
		if !b.fits(f.Len()) {
			t.Fatalf("%q does not fit", s)
		}
		b.add(f)
	}
	if got := string(b.Bytes()); got != "one,two,three" {
		t.Errorf("the batch has %q", got)
	}
	b.after(1, &tail)
	if got := string(tail.Bytes()); got != "two,three" || len(tail.Frames()) != 2 {
		t.Errorf("after the first frame: %q, %d frames", got, len(tail.Frames()))
	}
	if b.fits(maxBatch) {
		t.Error("a big frame joins a batch that isn't empty")
	}
	for _, f := range b.Frames() {
		f.Release()
	}
	b.reset()
	if !b.fits(10 * maxBatch) {
		t.Error("a big frame doesn't fit into an empty batch")
	}
	big := NewFrame(nil, make([]byte, maxBatch+1))
	b.add(big)
	if &b.Bytes()[0] != &big.Bytes()[0] {
		t.Error("a lone frame was copied")
	}
	b.reset()
	big.Release()
}
