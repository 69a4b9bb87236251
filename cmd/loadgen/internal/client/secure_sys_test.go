package client

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"hubbub/cmd/loadgen/internal/plan"
	"hubbub/internal/poller"
)

// far is the server's end of a connection. What it writes can be kept.
type far struct {
	net.Conn
	kept *bytes.Buffer // nil: it goes out
}

func (f *far) Write(p []byte) (int, error) {
	if f.kept != nil {
		return f.kept.Write(p)
	}
	return f.Conn.Write(p)
}

// tunnelled gives the first connection of a lane a tunnel to the server that is
// returned. Its request has arrived there.
func tunnelled(t *testing.T, l *lane, version uint16) (*tls.Conn, *far) {
	t.Helper()
	server, trust := identity(t, version)
	enc, err := newEncryption(trust, 1)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	l.secure = newSecure(enc, l.loop)
	l.sys = l.secure
	c := &l.conns[0]
	shaken := make(chan struct{})
	on(l, func() {
		server := netip.MustParseAddrPort(ln.Addr().String())
		fd, err := poller.Socket(netip.AddrPort{}, server)
		if err == nil {
			err = poller.Connect(fd, server)
		}
		if err != nil {
			t.Error(err)
			return
		}
		c.fd, c.st = int32(fd), open
		first := true
		l.secure.open(fd, func(ev poller.Events) {
			if !first {
				c.event(ev)
				return
			}
			first = false
			if n, err := l.sys.Read(fd, make([]byte, 10)); n != 0 || !errors.Is(err, unix.EAGAIN) {
				t.Errorf("read %d, %v; want EAGAIN", n, err)
			}
			close(shaken)
		})
		if err := l.loop.Add(fd, toRead, c.shaking(shaken)); err != nil {
			t.Error(err)
		}
		if n, err := l.sys.Write(fd, []byte("request")); n != 7 || err != nil {
			t.Errorf("wrote %d, %v; want 7", n, err)
		}
	})
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	f := &far{Conn: conn}
	s := tls.Server(f, server)
	request := make([]byte, 7)
	if _, err := io.ReadFull(s, request); err != nil || string(request) != "request" {
		t.Fatalf("%q, %v", request, err)
	}
	<-shaken
	t.Cleanup(func() {
		on(l, func() { c.end(lost) })
		l.secure.shaking.Wait()
		conn.Close()
	})
	return s, f
}

// shaking is c.event, but for the time of the handshake: then it only reads.
func (c *conn) shaking(shaken chan struct{}) func(poller.Events) {
	return func(ev poller.Events) {
		select {
		case <-shaken:
			c.event(ev)
		default:
			if ev != poller.Stopped {
				c.lane.sys.Read(int(c.fd), c.lane.loop.Scratch())
			}
		}
	}
}

// on runs fn on a lane's loop.
func on(l *lane, fn func()) {
	done := make(chan struct{})
	l.loop.Post(task(func() {
		defer close(done)
		fn()
	}))
	<-done
}

// A short count means that nothing is left, and a full one may mean anything.
func TestSecureShortCountMeansDry(t *testing.T) {
	eachVersion(t, func(t *testing.T, version uint16) {
		l := testLane(t, 1)
		server, f := tunnelled(t, l, version)
		for _, size := range []int{1, 100, 5000, maxRecord, maxRecord + 1, 200_000} {
			for _, room := range []int{1, 99, 100, 4096, 16384, 65536} {
				f.kept = &bytes.Buffer{}
				want := bytes.Repeat([]byte("0123456789"), size/10+1)[:size]
				if _, err := server.Write(want); err != nil {
					t.Fatal(err)
				}
				on(l, func() {
					l.secure.Sys = &stream{data: f.kept.Bytes()}
					var got []byte
					for buf := make([]byte, room); ; {
						n, err := l.sys.Read(int(l.conns[0].fd), buf)
						got = append(got, buf[:n]...)
						if err != nil {
							if n > 0 || !errors.Is(err, unix.EAGAIN) {
								t.Errorf("%d bytes, %d at a time: %d, %v", size, room, n, err)
							}
							break
						}
						if n < room && len(got) < size {
							t.Errorf("%d bytes, %d at a time: a short count after %d", size, room, len(got))
						}
					}
					if !bytes.Equal(got, want) {
						t.Errorf("%d bytes, %d at a time: got %d", size, room, len(got))
					}
					l.secure.Sys = poller.OS{}
				})
			}
		}
	})
}

// A record may come in any number of pieces.
func TestSecureRecordInPieces(t *testing.T) {
	eachVersion(t, func(t *testing.T, version uint16) {
		l := testLane(t, 1)
		server, f := tunnelled(t, l, version)
		var want int64
		for seq := range uint32(40) {
			f.kept = &bytes.Buffer{}
			if _, err := server.Write(message(l, seq)); err != nil {
				t.Fatal(err)
			}
			want++
			on(l, func() {
				raw := f.kept.Bytes()
				for len(raw) > 0 {
					n := min(len(raw), int(seq)+1)
					l.secure.Sys = &stream{data: raw[:n]}
					raw = raw[n:]
					l.conns[0].event(poller.Readable)
				}
				l.secure.Sys = poller.OS{}
				if l.count.Delivered != want || l.count.Lost != 0 {
					t.Errorf("pieces of %d bytes: delivered %d, lost %d; want %d, 0", seq+1, l.count.Delivered, l.count.Lost, want)
				}
			})
		}
	})
}

// What is wrong behind data isn't forgotten when nothing else comes.
func TestSecureErrorBehindData(t *testing.T) {
	for _, tt := range []struct {
		name   string
		behind func(*tls.Conn, *far)
		reason string
	}{
		{"nonsense", func(_ *tls.Conn, f *far) { f.Write([]byte("\x17\x03\x03\x00\x20nonsensenonsensenonsensenonsense")) },
			"lost: local error: tls: bad record MAC"},
		{"close_notify", func(s *tls.Conn, _ *far) { s.CloseWrite() }, "lost: the server closed the connection without a close frame"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachVersion(t, func(t *testing.T, version uint16) {
				l := testLane(t, 1)
				server, f := tunnelled(t, l, version)
				f.kept = &bytes.Buffer{}
				if _, err := server.Write(message(l, 0)); err != nil {
					t.Fatal(err)
				}
				tt.behind(server, f)
				on(l, func() {
					l.secure.Sys = &stream{data: f.kept.Bytes()}
					l.conns[0].event(poller.Readable)
				})
				on(l, func() {
					if l.count.Delivered != 1 || l.count.Lost != 1 || l.fails[tt.reason] != 1 {
						t.Errorf("delivered %d, lost %d; want 1, 1: %v", l.count.Delivered, l.count.Lost, l.fails)
					}
				})
			})
		})
	}
}

// The event that brings the last bytes also brings the end of the stream.
func TestSecureEndBehindData(t *testing.T) {
	l := testLane(t, 1)
	server, f := tunnelled(t, l, 0)
	c := &l.conns[0]
	on(l, func() { l.loop.Del(int(c.fd)) }) // this test says what happened
	if _, err := server.Write(message(l, 0)); err != nil {
		t.Fatal(err)
	}
	if err := f.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	// On loopback both have arrived by now.
	on(l, func() {
		c.event(poller.Readable | poller.HalfClosed)
		if l.count.Delivered != 1 || l.count.Lost != 1 || c.fd >= 0 {
			t.Errorf("delivered %d, lost %d, descriptor %d; want 1, 1, closed", l.count.Delivered, l.count.Lost, c.fd)
		}
	})
}

// stuffed is a socket that takes what there is room for.
type stuffed struct {
	poller.OS
	room int
}

func (s *stuffed) Write(fd int, p []byte) (int, error) {
	if s.room == 0 {
		return 0, unix.EAGAIN
	}
	n, err := s.OS.Write(fd, p[:min(len(p), s.room)])
	s.room -= n
	return n, err
}

// What a socket doesn't take waits, and leaves whole and in order. While a
// record waits, what is in it doesn't count as taken.
func TestSecurePartialWrites(t *testing.T) {
	eachVersion(t, func(t *testing.T, version uint16) {
		const messages = 60
		l := testLane(t, 1)
		l.body = make([]byte, 30_001)
		server, _ := tunnelled(t, l, version)
		c := &l.conns[0]
		sock := &stuffed{room: 10_000}
		on(l, func() {
			l.secure.Sys = sock
			c.pub = &publisher{conn: c}
			l.pubs = append(l.pubs, c.pub)
			l.start = 1
			l.release(messages)
		})
		stuck := make(chan int, 1)
		go func() {
			n := 0
			for more := true; more; {
				on(l, func() {
					if more = l.rest[c] != nil; more && sock.room == 0 {
						n++
						sock.room = 7001
						c.event(poller.Writable)
					}
				})
			}
			stuck <- n
		}()
		expectInOrder(t, l, messages, server.Read)
		if n := <-stuck; n == 0 {
			t.Error("the socket took all: this test shows nothing")
		}
		on(l, func() {
			if n := l.unsent() + len(l.rest); n != 0 || l.secure.tunnels[int(c.fd)].out != nil {
				t.Errorf("%d are left over", n)
			}
		})
	})
}

// endless is a socket that always has more.
type endless struct{ poller.OS }

func (endless) Read(_ int, p []byte) (int, error) { return len(p), nil }

// A server that talks without end doesn't keep the loop.
func TestSecureServerSendsWithoutEnd(t *testing.T) {
	c := &tunnel{sys: &secure{Sys: endless{}}, shake: &shake{}}
	c.shake.more.L = &c.shake.mu
	if n, err := c.feed(make([]byte, 1000)); n != 0 || !errors.Is(err, unix.EAGAIN) || !errors.Is(c.shake.end, errTooEarly) {
		t.Errorf("read %d, %v, ended by %v", n, err, c.shake.end)
	}
}

func TestSecureSystemsTrust(t *testing.T) {
	e, err := newEncryption(&plan.TLS{ServerName: "x"}, 1)
	if err != nil || e.config.RootCAs != nil {
		t.Errorf("%v, want the system's", err)
	}
	_, trust := identity(t, 0)
	e, err = newEncryption(trust, 1)
	system, sysErr := x509.SystemCertPool()
	if err != nil || sysErr != nil || e.config.RootCAs.Equal(system) {
		t.Errorf("%v, %v: the CA isn't in it", err, sysErr)
	}
	if system.AppendCertsFromPEM(trust.CA); !e.config.RootCAs.Equal(system) {
		t.Error("it isn't the system's and the CA")
	}
}
