package broadcast

// maxBatch is the size in bytes up to which frames are merged into one write.
// Larger frames go alone, and aren't copied.
const maxBatch = 64 << 10

// Batch is a run of frames, in order, and their bytes in one piece. It belongs
// to the worker that made it: a Sink may use it until it returns, and retains
// the frames it keeps.
type Batch struct {
	frames []*Frame
	bytes  []byte // the frames' bytes; what buf holds, or a lone frame's own
	buf    []byte
}

// Frames returns the batch's frames.
func (b *Batch) Frames() []*Frame { return b.frames }

// Bytes returns the frames' bytes, one behind the other.
func (b *Batch) Bytes() []byte { return b.bytes }

// fits reports whether another frame of n bytes may join.
func (b *Batch) fits(n int) bool {
	return len(b.frames) == 0 || len(b.bytes)+n <= maxBatch
}

// add takes over the caller's reference to f.
func (b *Batch) add(f *Frame) {
	p := f.Bytes()
	b.frames = append(b.frames, f)
	switch len(b.frames) {
	case 1:
		b.bytes = p
		return
	case 2: // only now is a copy worth it
		b.buf = append(b.buf[:0], b.bytes...)
	}
	b.buf = append(b.buf, p...)
	b.bytes = b.buf
}

// after makes tail the batch without its first n frames.
func (b *Batch) after(n int, tail *Batch) {
	skip := 0
	for _, f := range b.frames[:n] {
		skip += f.Len()
	}
	tail.frames, tail.bytes = b.frames[n:], b.bytes[skip:]
}

// reset empties the batch; the references must have been released or handed on.
func (b *Batch) reset() {
	clear(b.frames)
	b.frames, b.bytes = b.frames[:0], nil
}
