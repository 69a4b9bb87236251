//go:build !amd64 && !arm64

package prefetch

import "unsafe"

// Line does nothing: this processor isn't known.
func Line(unsafe.Pointer) {}
