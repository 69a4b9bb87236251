package poller

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ListenerFD returns a duplicate of a listener's descriptor that is fit for
// Acceptors. It is the caller's to close.
//
// The duplicate shares its O_NONBLOCK with every other descriptor of the
// socket, in whatever process. So it isn't made with the listener's File
// method: what comes from that clears the flag in passing, and an Acceptor of
// another process could block in the meantime.
func ListenerFD(ln net.Listener) (int, error) {
	sc, ok := ln.(syscall.Conn)
	if !ok {
		return -1, fmt.Errorf("poller: a %T has no descriptor to share", ln)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return -1, fmt.Errorf("poller: sharing listener %s: %w", ln.Addr(), err)
	}
	dup := -1
	var failed error
	err = raw.Control(func(fd uintptr) {
		if dup, failed = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0); failed == nil {
			failed = prepare(dup)
		}
	})
	if err = errors.Join(err, failed); err != nil {
		if dup >= 0 {
			unix.Close(dup)
		}
		return -1, fmt.Errorf("poller: sharing listener %s: %w", ln.Addr(), err)
	}
	return dup, nil
}

// What an idle peer that is gone without a word costs the kernel, which looks
// after it in hubbub's stead: after keepIdle it is asked whether it is there, every
// keepInterval, and a connection on which nothing is acknowledged for userTimeout
// is broken (TCP_USER_TIMEOUT; RFC 5482), be that a question or data.
const (
	keepIdle     = 120 * time.Second
	keepInterval = 20 * time.Second
	userTimeout  = 180 * time.Second
)

// notSent is how many bytes the kernel takes of a socket before they are under way
// (TCP_NOTSENT_LOWAT). Without it a peer that doesn't read can have megabytes kept
// for it in the kernel, beyond all bounds on backlogs.
const notSent = 128 << 10

// prepare makes a listening socket's descriptor fit for an Acceptor: it sets
// O_NONBLOCK, and what on Linux every accepted socket inherits, which saves system
// calls per connection: TCP_NODELAY, how much is buffered, how the kernel finds
// dead peers, and that a request isn't acknowledged by a packet of its own, since it
// is answered at once (TCP_QUICKACK, off).
func prepare(fd int) error {
	if err := unix.SetNonblock(fd, true); err != nil {
		return err
	}
	for _, o := range []struct{ level, name, value int }{
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{unix.IPPROTO_TCP, unix.TCP_QUICKACK, 0},
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, int(keepIdle / time.Second)},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, int(keepInterval / time.Second)},
		{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout / time.Millisecond)},
		{unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, notSent},
	} {
		err := unix.SetsockoptInt(fd, o.level, o.name, o.value)
		if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOPROTOOPT) {
			return nil // not a TCP socket
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Listen listens on a TCP address. It does without Multipath TCP, Go's default,
// which doesn't know all of its options, and sets what accepted sockets inherit before
// the first of them can come.
func Listen(addr string) (net.Listener, error) {
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) { failed = prepare(int(fd)) })
		return errors.Join(err, failed)
	}}
	lc.SetMultipathTCP(false)
	return lc.Listen(context.Background(), "tcp", addr)
}

// Socket returns a non-blocking descriptor that is fit to Connect to raddr, from laddr
// if that is valid. With laddr's port zero the kernel picks the port at connect time
// (IP_BIND_ADDRESS_NO_PORT), so that the same local port can serve several source
// addresses. What is written first takes the last packet of TCP's handshake
// along, if it is written at once (TCP_QUICKACK, off).
//
// Like those of OS, its calls bypass the Go scheduler's bookkeeping.
func Socket(laddr, raddr netip.AddrPort) (int, error) {
	family := toKernel(raddr).addr.Family
	r, _, errno := syscall.RawSyscall(unix.SYS_SOCKET, uintptr(family), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if errno != 0 {
		return -1, fmt.Errorf("socket: %w", errno)
	}
	fd := int(r)
	if laddr.IsValid() {
		setOption(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1) // older kernels do without, with fewer ports
		local := toKernel(laddr)
		if errno := local.call(unix.SYS_BIND, fd); errno != 0 {
			unix.Close(fd)
			return -1, fmt.Errorf("bind to %s: %w", laddr, errno)
		}
	}
	setOption(fd, unix.IPPROTO_TCP, unix.TCP_QUICKACK, 0)
	return fd, nil
}

// NoDelay has what is written to a Socket sent at once, also while what was written
// before isn't acknowledged (TCP_NODELAY).
func NoDelay(fd int) { setOption(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) }

// Connect starts to connect a Socket to raddr. It becomes Writable when the attempt
// is over; ConnectError then tells how it went. The descriptor stays the caller's to
// close, also if there is an error.
func Connect(fd int, raddr netip.AddrPort) error {
	remote := toKernel(raddr)
	if errno := remote.call(unix.SYS_CONNECT, fd); errno != 0 && errno != unix.EINPROGRESS {
		return fmt.Errorf("connect to %s: %w", raddr, errno)
	}
	return nil
}

// setOption sets an option that every TCP socket has, or that can be done without.
func setOption(fd, level, name int, value int32) {
	_, _, _ = syscall.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), uintptr(level), uintptr(name),
		uintptr(unsafe.Pointer(&value)), unsafe.Sizeof(value), 0)
}

// ConnectError returns what came of a Connect whose descriptor has become
// Writable: nil when it is connected.
func ConnectError(fd int) error {
	n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	if n != 0 {
		return unix.Errno(n)
	}
	return nil
}

// PeerAddr returns the address of a connected socket's other end; the zero
// value if there is none to be had.
func PeerAddr(fd int) netip.AddrPort {
	sa, err := unix.Getpeername(fd)
	if err != nil {
		return netip.AddrPort{}
	}
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return netip.AddrPort{}
}

// sockaddr is an address as the kernel takes it; one of IPv4 takes up a part.
type sockaddr struct {
	addr unix.RawSockaddrInet6
	size uintptr
}

func toKernel(a netip.AddrPort) sockaddr {
	var network [2]byte
	binary.BigEndian.PutUint16(network[:], a.Port())
	port := binary.NativeEndian.Uint16(network[:])
	if a.Addr().Is4() {
		s := sockaddr{size: unix.SizeofSockaddrInet4}
		*(*unix.RawSockaddrInet4)(unsafe.Pointer(&s.addr)) = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: port, Addr: a.Addr().As4()}
		return s
	}
	return sockaddr{unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: port, Addr: a.Addr().As16()}, unix.SizeofSockaddrInet6}
}

// call makes a system call that takes a socket and an address.
func (s *sockaddr) call(number uintptr, fd int) unix.Errno {
	_, _, errno := syscall.RawSyscall(number, uintptr(fd), uintptr(unsafe.Pointer(&s.addr)), s.size)
	return errno
}
