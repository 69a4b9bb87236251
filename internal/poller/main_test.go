package poller

import (
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hubbub/internal/leak"
)

// patience bounds how long a test waits for what must come. Nothing is asserted
// about the time it takes.
const patience = 30 * time.Second

// TestMain fails the run if a test has left a goroutine or a descriptor behind.
func TestMain(m *testing.M) { os.Exit(leak.Main(m)) }

// newLoop starts a loop that is closed at the end of the test, if the test
// hasn't.
func newLoop(t *testing.T, sys Sys) *Loop {
	t.Helper()
	l, err := New(sys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return l
}

// on runs fn on the loop and waits for it. Twice in a row, it also waits until
// the loop has called back for all that was ready before.
func on(t *testing.T, l *Loop, fn func()) {
	t.Helper()
	done := make(chan struct{})
	if !l.Post(Func(func() { defer close(done); fn() })) {
		t.Fatal("the loop takes no task")
	}
	receive(t, done)
}

// stopClock leaves it to the test to turn the loop's wheel.
func stopClock(t *testing.T, l *Loop) {
	t.Helper()
	on(t, l, func() {
		l.SetTimer(new(Timer), time.Hour, func() {}) // so that no other is the first, which starts the clock
		l.wheel.arm(0)
	})
}

// settle waits until the loop has nothing left to call back for.
func settle(t *testing.T, l *Loop) {
	t.Helper()
	for range 3 {
		on(t, l, func() {})
	}
}

// receive waits for a value, or for ch to be closed.
func receive[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatal("it has not come")
		panic("unreachable")
	}
}

// socket is a descriptor that is closed at the end of the test, if the test
// hasn't.
type socket struct {
	t      *testing.T
	fd     int
	closed bool
}

func own(t *testing.T, fd int) *socket {
	s := &socket{t: t, fd: fd}
	t.Cleanup(s.close)
	return s
}

func (s *socket) close() {
	if !s.closed {
		s.closed = true
		unix.Close(s.fd)
	}
}

func (s *socket) write(p string) {
	s.t.Helper()
	if n, err := unix.Write(s.fd, []byte(p)); n != len(p) || err != nil {
		s.t.Fatalf("%d of %d bytes written, %v", n, len(p), err)
	}
}

// pair returns the two ends of a connection.
func pair(t *testing.T) (a, b *socket) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return own(t, fds[0]), own(t, fds[1])
}

// listen returns a listener on loopback, its descriptor for Acceptors and its
// address.
func listen(t *testing.T) (net.Listener, int, netip.AddrPort) {
	t.Helper()
	ln, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	fd, err := ListenerFD(ln)
	if err != nil {
		t.Fatal(err)
	}
	return ln, own(t, fd).fd, ln.Addr().(*net.TCPAddr).AddrPort()
}

// connect connects n times to addr.
func connect(t *testing.T, addr netip.AddrPort, n int) {
	t.Helper()
	for range n {
		c, err := net.DialTimeout("tcp4", addr.String(), patience)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
	}
}

// withDescriptors calls fn while the process can open no more than a few.
func withDescriptors(t *testing.T, free int, fn func()) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	low := limit
	low.Cur = uint64(len(leak.Descriptors())) + 40
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	var filling []int
	for {
		fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			break
		}
		filling = append(filling, fd)
	}
	for _, fd := range filling[:free] {
		unix.Close(fd)
	}
	fn()
	for _, fd := range filling[free:] {
		unix.Close(fd)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
}
