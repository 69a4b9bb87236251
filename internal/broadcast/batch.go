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

	encode Encoder
	forms  [Encodings - 1]*Batch // in other encodings, made when they are asked for; empty until then
}

// Frames returns the batch's frames.
func (b *Batch) Frames() []*Frame { return b.frames }

// Bytes returns the frames' bytes, one behind the other.
func (b *Batch) Bytes() []byte { return b.bytes }

// In returns the batch in an encoding, which lives as long as b does.
func (b *Batch) In(e Encoding) *Batch {
	if e == 0 {
		return b
	}
	form := b.forms[e-1]
	if form == nil {
		form = new(Batch)
		b.forms[e-1] = form
	}
	if len(form.frames) == 0 {
		for _, f := range b.frames {
			form.add(f.In(e, b.encode))
		}
	}
	return form
}

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
	tail.resetForms()
}

// reset empties the batch; the references must have been released or handed on.
func (b *Batch) reset() {
	clear(b.frames)
	b.frames, b.bytes = b.frames[:0], nil
	b.resetForms()
}

func (b *Batch) resetForms() {
	for _, form := range b.forms {
		if form != nil {
			form.reset()
		}
	}
}
