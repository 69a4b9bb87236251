package poller

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"hubbub/internal/leak"
)

var loopback = netip.MustParseAddr("127.0.0.1")

func isNonblocking(t *testing.T, fd int) bool {
	t.Helper()
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		t.Error(err)
	}
	return flags&unix.O_NONBLOCK != 0
}

func isCloseOnExec(t *testing.T, fd int) bool {
	t.Helper()
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	if err != nil {
		t.Error(err)
	}
	return flags&unix.FD_CLOEXEC != 0
}

// fdOf returns a listener's own descriptor.
func fdOf(t *testing.T, ln *net.TCPListener) (own int) {
	t.Helper()
	raw, err := ln.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) { own = int(fd) }); err != nil {
		t.Fatal(err)
	}
	return own
}

func TestListenerFD(t *testing.T) {
	ln, fd, addr := listen(t)
	if !isNonblocking(t, fd) {
		t.Error("the duplicate blocks")
	}
	if !isCloseOnExec(t, fd) {
		t.Error("the duplicate outlives exec")
	}
	if fd == fdOf(t, ln.(*net.TCPListener)) {
		t.Error("it is the listener's own descriptor")
	}
	ln.Close()
	connect(t, addr, 1) // the duplicate still listens
}

// The listener's other descriptors, in whatever process, never block while it
// is shared: their Acceptors rely on it.
func TestListenerFDNeverClearsNonblock(t *testing.T) {
	l, _, _ := listen(t)
	ln := l.(*net.TCPListener)
	fd := fdOf(t, ln)
	var stop atomic.Bool
	var blocking atomic.Int64
	var wg sync.WaitGroup
	wg.Go(func() {
		for !stop.Load() {
			if !isNonblocking(t, fd) {
				blocking.Add(1)
			}
		}
	})
	for range 3000 {
		dup, err := ListenerFD(ln)
		if err != nil {
			t.Error(err)
			break
		}
		unix.Close(dup)
	}
	stop.Store(true)
	wg.Wait()
	if n := blocking.Load(); n > 0 {
		t.Errorf("%d times it was seen to block", n)
	}
}

func TestListenerFDOfAUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	fd, err := ListenerFD(ln)
	if err != nil {
		t.Fatal(err)
	}
	own(t, fd)
	l := newLoop(t, nil)
	k := newTaker(t, 1)
	accept(t, l, fd, k)
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	receive(t, k.taken)
}

// oddListener gives access to another descriptor than its own.
type oddListener struct {
	net.Listener
	raw syscall.RawConn
	err error
}

func (l oddListener) SyscallConn() (syscall.RawConn, error) { return l.raw, l.err }

func TestListenerFDFails(t *testing.T) {
	ln, _, _ := listen(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	pipe, err := r.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	closed, _, _ := listen(t)
	closed.Close()
	before := len(leak.Descriptors())
	for _, tt := range []struct {
		name string
		ln   net.Listener
		want error // nil for any
	}{
		{"closed", closed, net.ErrClosed},
		{"closed, as it says itself", oddListener{ln, nil, net.ErrClosed}, net.ErrClosed},
		{"not a socket", oddListener{ln, pipe, nil}, unix.ENOTSOCK},
		{"without a descriptor", struct{ net.Listener }{ln}, nil},
	} {
		if fd, err := ListenerFD(tt.ln); err == nil || fd != -1 || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s: descriptor %d, %v", tt.name, fd, err)
		}
	}
	withDescriptors(t, 0, func() {
		if fd, err := ListenerFD(ln); fd != -1 || !errors.Is(err, unix.EMFILE) {
			t.Errorf("when none is to be had, the descriptor is %d, %v", fd, err)
		}
		if fd, err := Socket(netip.AddrPort{}, netip.AddrPortFrom(loopback, 1)); fd != -1 || !errors.Is(err, unix.EMFILE) {
			t.Errorf("when none is to be had, Socket's descriptor is %d, %v", fd, err)
		}
	})
	if after := len(leak.Descriptors()); after != before {
		t.Errorf("%d descriptors are left", after-before)
	}
}

// connecting returns a Socket that connects.
func connecting(t *testing.T, laddr, raddr netip.AddrPort) (int, error) {
	t.Helper()
	fd, err := Socket(laddr, raddr)
	if err != nil {
		if fd != -1 {
			t.Errorf("a failed Socket returns descriptor %d", fd)
		}
		return -1, err
	}
	if err := Connect(fd, raddr); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// dial connects on l and returns the descriptor and what came of it.
func dial(t *testing.T, l *Loop, laddr, raddr netip.AddrPort) (*socket, error) {
	t.Helper()
	fd, err := connecting(t, laddr, raddr)
	if err != nil {
		return nil, err
	}
	s := own(t, fd)
	done := make(chan error, 1)
	on(t, l, func() {
		if err := l.Add(fd, Writable, func(Events) {
			l.Del(fd)
			done <- ConnectError(fd)
		}); err != nil {
			t.Error(err)
		}
	})
	return s, receive(t, done)
}

func TestConnect(t *testing.T) {
	l := newLoop(t, nil)
	ln, _, addr := listen(t)
	source := netip.MustParseAddrPort("127.0.0.2:0")
	for _, laddr := range []netip.AddrPort{{}, source} {
		s, err := dial(t, l, laddr, addr)
		if err != nil {
			t.Fatalf("from %v: %v", laddr, err)
		}
		if !isNonblocking(t, s.fd) || !isCloseOnExec(t, s.fd) {
			t.Errorf("from %v, the socket blocks or outlives exec", laddr)
		}
		NoDelay(s.fd)
		if nodelay, err := unix.GetsockoptInt(s.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY); err != nil || nodelay == 0 {
			t.Errorf("from %v, the socket has no TCP_NODELAY (%d, %v)", laddr, nodelay, err)
		}
		if got := PeerAddr(s.fd); got != addr {
			t.Errorf("from %v, the peer is %v, want %v", laddr, got, addr)
		}
		c, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		want := loopback
		if laddr.IsValid() {
			want = laddr.Addr()
			if late, err := unix.GetsockoptInt(s.fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT); err != nil || late == 0 {
				t.Errorf("the port is picked before the connection (%d, %v)", late, err)
			}
		}
		if from := c.RemoteAddr().(*net.TCPAddr).AddrPort(); from.Addr() != want {
			t.Errorf("from %v, the connection comes from %v", laddr, from)
		}
	}
}

// A source port that is given is used, and one that is taken isn't.
func TestConnectFromAPort(t *testing.T) {
	l := newLoop(t, nil)
	ln, _, addr := listen(t)
	first, err := dial(t, l, netip.MustParseAddrPort("127.0.0.3:0"), addr)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := dial(t, l, c.RemoteAddr().(*net.TCPAddr).AddrPort(), addr); !errors.Is(err, unix.EADDRINUSE) && !errors.Is(err, unix.EADDRNOTAVAIL) {
		t.Errorf("a source port that is taken: %v", err)
	}
	first.close()
}

func TestConnectFails(t *testing.T) {
	l := newLoop(t, nil)
	ln, dup, addr := listen(t)
	ln.Close()
	unix.Shutdown(dup, unix.SHUT_RDWR) // nobody listens any more
	if _, err := dial(t, l, netip.AddrPort{}, addr); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("where nobody listens: %v", err)
	}
	foreign := netip.MustParseAddrPort("192.0.2.1:0") // RFC 5737: of no machine
	before := len(leak.Descriptors())
	if _, err := dial(t, l, foreign, addr); !errors.Is(err, unix.EADDRNOTAVAIL) {
		t.Errorf("from an address of no machine: %v", err)
	}
	if _, err := dial(t, l, netip.AddrPort{}, netip.MustParseAddrPort("255.255.255.255:1")); err == nil {
		t.Error("it is connected to everybody")
	}
	if after := len(leak.Descriptors()); after != before {
		t.Errorf("failures leave %d descriptors", after-before)
	}
}

func TestConnectErrorOfNoSocket(t *testing.T) {
	if err := ConnectError(-1); !errors.Is(err, unix.EBADF) {
		t.Errorf("got %v, want %v", err, unix.EBADF)
	}
}

func TestPeerAddr(t *testing.T) {
	a, _ := pair(t)
	for what, fd := range map[string]int{"of a Unix socket": a.fd, "of no socket": -1} {
		if addr := PeerAddr(fd); addr.IsValid() {
			t.Errorf("%s: %v", what, addr)
		}
	}
}

// The kernel's forms are those of ip(7) and ipv6(7).
func TestAddressesForTheKernel(t *testing.T) {
	for _, tt := range []struct {
		addr   string
		family uint16
		want   []byte // after the family
	}{
		{"192.0.2.1:8080", unix.AF_INET, append([]byte{0x1f, 0x90, 192, 0, 2, 1}, make([]byte, 8)...)},
		{"[2001:db8::1]:8080", unix.AF_INET6, append(append([]byte{0x1f, 0x90, 0, 0, 0, 0, 0x20, 0x01, 0x0d, 0xb8}, make([]byte, 11)...), 1, 0, 0, 0, 0)},
	} {
		s := toKernel(netip.MustParseAddrPort(tt.addr))
		got := unsafe.Slice((*byte)(unsafe.Pointer(&s.addr)), s.size)
		if family := binary.NativeEndian.Uint16(got); family != tt.family || !bytes.Equal(got[2:], tt.want) {
			t.Errorf("%s: family %d, %v; want %d, %v", tt.addr, family, got[2:], tt.family, tt.want)
		}
	}
}

// segments returns how many packets of TCP a socket has received.
func segments(t *testing.T, fd int) uint32 {
	t.Helper()
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		t.Fatal(err)
	}
	return info.Segs_in
}

// A request that is written at once and answered at once needs no packets but its own and the answer's: the last one of
// TCP's handshake comes with it, and the answer acknowledges it.
func TestRequestAndAnswerAreTwoPackets(t *testing.T) {
	l := newLoop(t, nil)
	_, fd, addr := listen(t)
	k := newTaker(t, 1000)
	accept(t, l, fd, k)
	exchange := func() (in, out uint32) {
		c, err := connecting(t, netip.AddrPort{}, addr)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(c)
		if _, err := (OS{}).Write(c, []byte("request")); err != nil {
			t.Fatal(err)
		}
		s := receive(t, k.taken)
		in = segments(t, s)
		if _, err := (OS{}).Write(s, []byte("answer")); err != nil {
			t.Fatal(err)
		}
		return in, segments(t, c)
	}
	best, in, out := false, uint32(0), uint32(0)
	for range 100 { // the kernel gives up waiting for what could go along if we are held up
		if in, out = exchange(); in == 2 && out == 2 {
			best = true
			break
		}
	}
	if !best {
		t.Errorf("with those of the handshake the server gets %d packets and the client %d, want 2 and 2", in, out)
	}
}

// What is written for FIN to follow leaves with it, in one packet.
func TestLastBytesAndFINAreOnePacket(t *testing.T) {
	l := newLoop(t, nil)
	_, fd, addr := listen(t)
	k := newTaker(t, 1)
	accept(t, l, fd, k)
	c, err := connecting(t, netip.AddrPort{}, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(c)
	s := receive(t, k.taken)
	before := segments(t, c)
	if n, err := (OS{}).WriteMore(s, []byte("goodbye")); n != 7 || err != nil {
		t.Fatalf("WriteMore: %d, %v", n, err)
	}
	if err := (OS{}).ShutdownWrite(s); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 100)
	if n, err := (OS{}).Read(c, got); string(got[:n]) != "goodbye" || err != nil {
		t.Errorf("got %q, %v", got[:n], err)
	}
	if n, err := (OS{}).Read(c, got); n != 0 || err != nil {
		t.Errorf("got %d bytes, %v behind it; want the end", n, err)
	}
	if n := segments(t, c) - before; n != 1 {
		t.Errorf("they took %d packets, want 1", n)
	}
}
