// Package prefetch asks the processor for memory that is about to be used, for
// loops that come to much of it in between long system calls: an ordinary load
// that misses the caches is waited for when the call begins, a prefetch isn't.
//
// It rests on an instruction of amd64 and arm64. Elsewhere it does nothing.
package prefetch
