package poller

import "golang.org/x/sys/unix"

const (
	// maxRoom bounds what MakeRoom takes of the kernel's memory: 1 MiB, at 8 bytes for
	// a descriptor.
	maxRoom = 128 << 10
	// others is how many descriptors a process has beside its sockets, at most.
	others = 128
)

// MakeRoom has the kernel make its table of the process's descriptors large enough for
// n sockets, or for some 131,000 if that is less. By itself it doubles the table
// whenever it is full, and where threads share one, they all wait then until each
// processor has taken notice (expand_fdtable in fs/file.c; synchronize_rcu): 8 to 24 ms
// each time, in which none of them can accept a connection or open one. It is a hint:
// where it can't be followed, as with an RLIMIT_NOFILE of less, the table grows by itself.
func MakeRoom(n int) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	last := min(n+others, maxRoom) - 1
	if dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, last); err == nil {
		unix.Close(dup)
	}
}
