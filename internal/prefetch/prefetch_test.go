package prefetch

import (
	"testing"
	"unsafe"
)

// It is a hint: whatever it is given, nothing changes.
func TestLine(t *testing.T) {
	b := []byte{1, 2, 3}
	for i := range b {
		Line(unsafe.Pointer(&b[i]))
	}
	Line(nil)
	Line(unsafe.Add(unsafe.Pointer(&b[0]), uintptr(1)<<40)) // no memory of ours
	if b[0] != 1 || b[1] != 2 || b[2] != 3 {
		t.Errorf("the memory is %v", b)
	}
}

func BenchmarkLine(b *testing.B) {
	var x [64]byte
	for b.Loop() {
		Line(unsafe.Pointer(&x))
	}
}
