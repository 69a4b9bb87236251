//go:build amd64 || arm64

package prefetch

import "unsafe"

// Line asks for the cache line that p points into, for reading and writing it
// soon. It doesn't wait, and never faults.
//
//go:noescape
func Line(p unsafe.Pointer)
