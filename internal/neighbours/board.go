// Package neighbours tells the processes that share a machine's processors which
// of them are busy, and whether any is in a hurry. A process that starts the others makes
// a Board, memory that all of them map, and passes it on as an open file; each has a
// place on it. To say something, and to look, is a load or a store of memory for each
// process.
package neighbours

import (
	"fmt"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// place is a process's: a cache line, so that what one says doesn't slow down
// the others.
type place struct {
	busy atomic.Bool
	_    [60]byte
}

// notice is for all of them, in a cache line of its own: the second, since 1970, in which one of
// them was last in a hurry. It changes once in a second at most, so that everybody's cache
// has it.
type notice struct {
	hurry atomic.Int64
	_     [56]byte
}

// Board is where they say it. Its methods may be called from any goroutine. It lives as
// long as the process.
type Board struct {
	notice *notice
	places []place
}

// Make makes a Board for n processes, at least 1, and returns the file by which they get
// it, for the caller to close. Nobody is busy at first.
func Make(n int) (*Board, *os.File, error) {
	fd, err := unix.MemfdCreate("hubbub-neighbours", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, nil, fmt.Errorf("making memory to share with workers: memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), "neighbours")
	if err := f.Truncate(size(n)); err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("making memory to share with workers: %w", err)
	}
	b, err := Open(f, n)
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return b, f, nil
}

// Open returns the Board for n processes that was made with f, which may be closed then.
func Open(f *os.File, n int) (*Board, error) {
	switch st, err := f.Stat(); {
	case err != nil:
		return nil, fmt.Errorf("sharing memory with other workers: %w", err)
	case st.Size() != size(n):
		return nil, fmt.Errorf("sharing memory with other workers: %s has %d bytes, and not the %d for %d of them", f.Name(), st.Size(), size(n), n)
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, int(size(n)), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("sharing memory with other workers: mmap: %w", err)
	}
	return &Board{
		notice: (*notice)(unsafe.Pointer(&mem[0])),
		places: unsafe.Slice((*place)(unsafe.Pointer(&mem[unsafe.Sizeof(notice{})])), n),
	}, nil
}

// size is that of the notice and the n places behind it, in bytes.
func size(n int) int64 {
	return int64(unsafe.Sizeof(notice{})) + int64(n)*int64(unsafe.Sizeof(place{}))
}

// SetBusy says of process i, counted from 0, whether it is busy. Who has started it says
// it for one that has ended.
func (b *Board) SetBusy(i int, busy bool) { b.places[i].busy.Store(busy) }

// Busy reports whether any of the processes is.
func (b *Board) Busy() bool {
	for i := range b.places {
		if b.places[i].busy.Load() {
			return true
		}
	}
	return false
}

// Hurry says that a process is in a hurry.
func (b *Board) Hurry() {
	if now := time.Now().Unix(); b.notice.hurry.Load() != now {
		b.notice.hurry.Store(now)
	}
}

// Hurried reports whether one was in this second or the last.
func (b *Board) Hurried() bool {
	ago := time.Now().Unix() - b.notice.hurry.Load()
	return ago == 0 || ago == 1 // and not if the clock has been set back
}

// As returns the Board as process i sees it.
func (b *Board) As(i int) Place { return Place{b, i} }

// Place is a process's own.
type Place struct {
	board *Board
	index int
}

// SetBusy tells the others whether this process is busy.
func (p Place) SetBusy(busy bool) { p.board.SetBusy(p.index, busy) }

// Busy reports whether any of them is, or this one.
func (p Place) Busy() bool { return p.board.Busy() }

// Hurry tells all that this process is in a hurry.
func (p Place) Hurry() { p.board.Hurry() }

// Hurried reports whether one of them was a moment ago.
func (p Place) Hurried() bool { return p.board.Hurried() }
