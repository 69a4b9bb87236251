package broadcast

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// modelBacklog is the Backlog as simply as it can be said: frames with what is
// left of each.
type modelBacklog struct {
	items []modelItem
}

type modelItem struct {
	left  []byte
	begun bool
	ctl   bool
}

func (m *modelBacklog) push(p []byte) {
	m.items = append(m.items, modelItem{left: p})
}

func (m *modelBacklog) pushControl(p []byte) {
	at := 0
	if len(m.items) > 0 && m.items[0].begun {
		at = 1
	}
	n := 0
	for at+n < len(m.items) && m.items[at+n].ctl {
		n++
	}
	it := modelItem{left: p, ctl: true}
	if n == maxControl {
		m.items[at+n-1] = it
		return
	}
	m.items = append(m.items[:at+n], append([]modelItem{it}, m.items[at+n:]...)...)
}

func (m *modelBacklog) dropOldest(limit int) (dropped int) {
	for i := 0; i < len(m.items) && m.size()+len(m.items)*FrameCost > limit; {
		if m.items[i].begun || m.items[i].ctl {
			i++
			continue
		}
		m.items = append(m.items[:i:i], m.items[i+1:]...)
		dropped++
	}
	return dropped
}

func (m *modelBacklog) dropAll() (dropped int) {
	var keep []modelItem
	for _, it := range m.items {
		if it.begun {
			keep = append(keep, it)
		} else {
			dropped++
		}
	}
	m.items = keep
	return dropped
}

func (m *modelBacklog) bytes() (all []byte) {
	for _, it := range m.items {
		all = append(all, it.left...)
	}
	return all
}

func (m *modelBacklog) size() int { return len(m.bytes()) }

func (m *modelBacklog) advance(n int) {
	for n > 0 || len(m.items) > 0 && len(m.items[0].left) == 0 {
		it := &m.items[0]
		if n < len(it.left) {
			it.left, it.begun = it.left[n:], true
			return
		}
		n -= len(it.left)
		m.items = m.items[1:]
	}
}

// drive runs an operation on both and compares them. Frames are never empty,
// as none of WebSocket's is.
func drive(t *testing.T, ops []byte) {
	var b Backlog
	var m modelBacklog
	scratch := make([]byte, 16)
	next := byte('a')
	payload := func(n byte) []byte {
		p := bytes.Repeat([]byte{next}, int(n)%7+1)
		if next++; next > 'z' {
			next = 'a'
		}
		return p
	}
	for i := 0; i+1 < len(ops); i += 2 {
		arg := ops[i+1]
		switch ops[i] % 6 {
		case 0:
			p := payload(arg)
			f := NewFrame(nil, p)
			written := 0
			if b.Len() == 0 && len(p) > 1 {
				written = int(arg) % len(p)
			}
			b.Push(f, written)
			f.Release()
			m.push(p)
			m.items[len(m.items)-1].begun = written > 0
			m.items[len(m.items)-1].left = p[written:]
		case 1:
			p := payload(arg)
			f := NewFrame(nil, p)
			b.PushControl(f)
			f.Release()
			m.pushControl(p)
		case 2, 3:
			p := b.Next(scratch)
			if want := m.bytes(); !bytes.HasPrefix(want, p) || len(want) > 0 && len(p) == 0 {
				t.Fatalf("op %d: next bytes are %q of %q", i, p, want)
			}
			n := len(p)
			if n > 0 {
				n = int(arg) % (n + 1)
			}
			b.Advance(n)
			m.advance(n)
		case 4:
			limit := int(arg) * 8
			if got, want := b.DropOldest(limit), m.dropOldest(limit); got != want {
				t.Fatalf("op %d: DropOldest(%d) dropped %d, want %d", i, limit, got, want)
			}
		case 5:
			if arg%4 != 0 { // rare, or nothing else would be reached
				continue
			}
			if got, want := b.DropAll(), m.dropAll(); got != want {
				t.Fatalf("op %d: DropAll dropped %d, want %d", i, got, want)
			}
		}
		if b.Size() != m.size() || b.Len() != len(m.items) {
			t.Fatalf("op %d (%d, %d): %d bytes in %d frames, want %d in %d (%q)", i, ops[i]%6, arg, b.Size(), b.Len(), m.size(), len(m.items), m.bytes())
		}
	}
	b.Abandon()
	if b.Size() != 0 || b.Len() != 0 {
		t.Fatalf("abandoned, the backlog has %d bytes in %d frames", b.Size(), b.Len())
	}
}

func TestBacklogLikeItsModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	before := LiveFrames()
	for range 2000 {
		ops := make([]byte, 2*(1+r.IntN(60)))
		for i := range ops {
			ops[i] = byte(r.Uint32())
		}
		drive(t, ops)
	}
	if n := LiveFrames() - before; n != 0 {
		t.Errorf("%d frames were not released", n)
	}
}

func FuzzBacklog(f *testing.F) {
	f.Add([]byte{0, 3, 0, 5, 1, 2, 2, 1, 1, 1, 2, 9, 4, 7})
	f.Add([]byte{0, 6, 2, 2, 1, 1, 1, 2, 1, 3, 2, 200, 5, 0})
	f.Fuzz(drive)
}

// Ten thousand slow readers of one message hold one copy of it.
func TestBacklogShares(t *testing.T) {
	before := LiveFrames()
	f := NewFrame(nil, make([]byte, 1000))
	readers := make([]Backlog, 10000)
	for i := range readers {
		readers[i].Push(f, 0)
	}
	f.Release()
	if n := LiveFrames() - before; n != 1 {
		t.Errorf("%d frames are live, want 1", n)
	}
	for i := range readers {
		readers[i].Abandon()
	}
}

func TestBacklogLeavesBigFramesInPlace(t *testing.T) {
	var b Backlog
	f := NewFrame(nil, make([]byte, gatherLimit))
	b.Push(f, 0)
	b.Push(f, 0)
	if p := b.Next(make([]byte, 2*gatherLimit)); &p[0] != &f.Bytes()[0] {
		t.Error("a big frame was copied")
	}
	b.Abandon()
	f.Release()
}
