package poller

import (
	"syscall"
	"unsafe"

	"github.com/mailru/easygo/netpoll"
	"golang.org/x/sys/unix"
)

// Sys is the seam to the kernel: the calls on sockets and on epoll that can
// fail, or do half of what was asked, at run time. OS is the real one; tests
// put a fake in its place to produce what the kernel won't on demand.
//
// No call blocks. Counts are bytes; a count of zero without an error from Read
// is the end of the stream. Errors are unix.Errno values; EINTR is never
// returned.
type Sys interface {
	// Read reads what is there, up to len(p) bytes.
	Read(fd int, p []byte) (int, error)
	// Write writes what the socket takes of p. It never raises SIGPIPE.
	Write(fd int, p []byte) (int, error)
	// WriteMore is Write for what is followed at once by ShutdownWrite, which
	// sends it: together with FIN, in one packet.
	WriteMore(fd int, p []byte) (int, error)
	// Accept takes one connection from a listening socket: non-blocking,
	// close-on-exec.
	Accept(fd int) (int, error)
	// ShutdownWrite sends FIN after what was written.
	ShutdownWrite(fd int) error
	// Close gives the descriptor back.
	Close(fd int) error
	// NewEpoll starts to wait for events. onWaitError is told why if that ends
	// before the Epoll is closed.
	NewEpoll(onWaitError func(error)) (Epoll, error)
}

// Epoll is what a Loop uses of a netpoll.Epoll, which documents it. An Add that
// has failed may have to be undone by Del.
type Epoll interface {
	Add(fd int, events Events, fn func(Events)) error
	Mod(fd int, events Events) error
	Del(fd int) error
	Close() error
}

// OS is the Sys of the running kernel.
//
// Its calls bypass the Go scheduler's bookkeeping: they are non-blocking and
// take a few microseconds, less than handing the processor over would. Who
// makes many of them in a row has to yield in between (runtime.Gosched).
type OS struct{}

// Read implements Sys.
func (OS) Read(fd int, p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd),
			uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), unix.MSG_DONTWAIT, 0, 0)
		if errno == 0 {
			return int(n), nil
		}
		if errno != unix.EINTR {
			return 0, errno
		}
	}
}

// Write implements Sys.
func (OS) Write(fd int, p []byte) (int, error) { return send(fd, p, 0) }

// WriteMore implements Sys.
func (OS) WriteMore(fd int, p []byte) (int, error) { return send(fd, p, unix.MSG_MORE) }

func send(fd int, p []byte, flags uintptr) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd),
			uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), flags|unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		if errno == 0 {
			return int(n), nil
		}
		if errno != unix.EINTR {
			return 0, errno
		}
	}
}

// Accept implements Sys.
func (OS) Accept(fd int) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), 0, 0,
			unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
		if errno == 0 {
			return int(n), nil
		}
		if errno != unix.EINTR {
			return -1, errno
		}
	}
}

// ShutdownWrite implements Sys.
func (OS) ShutdownWrite(fd int) error { return unix.Shutdown(fd, unix.SHUT_WR) }

// Close implements Sys. EINTR is not retried: Linux has closed the descriptor
// by then, and the number may already be somebody else's.
func (OS) Close(fd int) error { return unix.Close(fd) }

// NewEpoll implements Sys.
func (OS) NewEpoll(onWaitError func(error)) (Epoll, error) {
	return netpoll.EpollCreate(&netpoll.EpollConfig{OnWaitError: onWaitError})
}
