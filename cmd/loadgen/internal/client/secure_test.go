package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hubbub/cmd/loadgen/internal/clock"
	"hubbub/cmd/loadgen/internal/payload"
	"hubbub/cmd/loadgen/internal/plan"
	"hubbub/cmd/loadgen/internal/relay"
	"hubbub/internal/poller"
	"hubbub/internal/wire"
)

// identity is a server's certificate, and what it takes to trust it.
func identity(t *testing.T, version uint16) (*tls.Config, *plan.TLS) {
	t.Helper()
	cert, ca := relay.Certificate(t, time.Hour)
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: version, MaxVersion: version},
		&plan.TLS{ServerName: "127.0.0.1", CA: ca}
}

func eachVersion(t *testing.T, fn func(t *testing.T, version uint16)) {
	for _, v := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(v), func(t *testing.T) { fn(t, v) })
	}
}

// behindTLS is a relay that speaks TLS, with crypto/tls as it is meant to be
// used.
func behindTLS(cfg *tls.Config) *relay.Relay {
	return &relay.Relay{Wrap: func(c net.Conn) net.Conn { return tls.Server(c, cfg) }}
}

func TestSecureRuns(t *testing.T) {
	for _, tt := range []struct {
		name  string
		adapt func(*plan.Plan)
	}{
		{"fan-out", func(*plan.Plan) {}},
		{"fan-out of big messages", func(p *plan.Plan) { p.Size, p.Publishers = 70_000, 5 }},
		{"echo", func(p *plan.Plan) { p.Mode, p.Target, p.Window = plan.Echo, "/echo", 8 }},
		{"echo of big messages", func(p *plan.Plan) { p.Mode, p.Target, p.Window, p.Size = plan.Echo, "/echo", 8, 200_000 }},
		{"idle", func(p *plan.Plan) { p.Mode = plan.Idle }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachVersion(t, func(t *testing.T, version uint16) {
				server, trust := identity(t, version)
				p := newPlan(t, relay.Hubbub(t, server), 30)
				p.TLS, p.Timeout = trust, 30*time.Second
				if tt.adapt(p); p.Mode == plan.Echo {
					p.Duration = time.Second
				}
				res := play(t, p)
				c := res.Counts
				if c.Opened != 30 || c.Lost != 0 || c.Delivered != c.Expected || c.Missing+c.Duplicate+c.Reordered+c.Corrupt != 0 {
					t.Errorf("%+v: %v", c, res.Failures)
				}
				if p.Mode == plan.Fanout && c.Delivered != 300 || p.Mode == plan.Echo && c.Delivered == 0 {
					t.Errorf("%d deliveries", c.Delivered)
				}
			})
		})
	}
}

// Everything may come a byte at a time, the handshake included.
func TestSecureByteByByte(t *testing.T) {
	eachVersion(t, func(t *testing.T, version uint16) {
		server, trust := identity(t, version)
		r := &relay.Relay{Wrap: func(c net.Conn) net.Conn { return tls.Server(dribble{c}, server) }}
		p := newPlan(t, r.Start(t), 5)
		p.TLS, p.Timeout = trust, 30*time.Second
		res := play(t, p)
		if c := res.Counts; c.Delivered != 50 || c.Missing+c.Corrupt != 0 {
			t.Errorf("%+v: %v", c, res.Failures)
		}
	})
}

// dribble writes a byte at a time.
type dribble struct{ net.Conn }

func (d dribble) Write(p []byte) (int, error) {
	for i := range p {
		if _, err := d.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

// Each handshake is a full one.
func TestSecureSessionsAreNotResumed(t *testing.T) {
	eachVersion(t, func(t *testing.T, version uint16) {
		server, trust := identity(t, version)
		resumed := make(chan bool, 10)
		server.VerifyConnection = func(s tls.ConnectionState) error {
			resumed <- s.DidResume
			return nil
		}
		p := newPlan(t, behindTLS(server).Start(t), 10)
		p.TLS, p.Ramp, p.Mode = trust, 100, plan.Idle
		play(t, p)
		for range 10 {
			if <-resumed {
				t.Error("a session was resumed")
			}
		}
	})
}

func TestSecureFailures(t *testing.T) {
	server, trust := identity(t, 0)
	expired, expiredCA := relay.Certificate(t, -time.Hour)
	old := server.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	demanding := server.Clone()
	demanding.ClientAuth, demanding.MaxVersion = tls.RequireAnyClientCert, tls.VersionTLS12
	for _, tt := range []struct {
		name   string
		relay  *relay.Relay
		trust  plan.TLS
		reason string // its beginning
	}{
		{"nobody trusts it", behindTLS(server), plan.TLS{ServerName: "127.0.0.1"},
			"handshake: tls: failed to verify certificate: x509: certificate signed by unknown authority"},
		{"another host's", behindTLS(server), plan.TLS{ServerName: "example.com", CA: trust.CA},
			"handshake: tls: failed to verify certificate: x509: "},
		{"expired", behindTLS(&tls.Config{Certificates: []tls.Certificate{expired}}), plan.TLS{ServerName: "127.0.0.1", CA: expiredCA},
			"handshake: tls: failed to verify certificate: x509: certificate has expired or is not yet valid"},
		{"too old", behindTLS(old), *trust, "handshake: remote error: tls: protocol version not supported"},
		{"wants to know who we are", behindTLS(demanding), *trust, "handshake: remote error: tls: "},
		{"doesn't speak TLS", &relay.Relay{Wrap: func(c net.Conn) net.Conn {
			io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
			return c
		}}, *trust, "handshake: tls: first record does not look like a TLS handshake"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlan(t, tt.relay.Start(t), 40)
			p.TLS = &tt.trust
			res := play(t, p)
			if c := res.Counts; c.Failed != 40 || c.Opened != 0 || c.Retries != 0 {
				t.Errorf("failed %d, opened %d, retries %d; want 40, 0, 0", c.Failed, c.Opened, c.Retries)
			}
			n := 0
			for reason, k := range res.Failures {
				if strings.HasPrefix(reason, tt.reason) {
					n += k
				}
			}
			if n != 40 || len(res.Failures) != 1 {
				t.Errorf("failures %v, want 40 × %q", res.Failures, tt.reason)
			}
		})
	}
}

// What the parent has read is held against mistakes there; a worker doesn't go
// on without it.
func TestSecureWithNobodyToTrust(t *testing.T) {
	p := newPlan(t, "wss://127.0.0.1:1/ws", 1)
	p.TLS = &plan.TLS{ServerName: "127.0.0.1", CA: []byte("nonsense")}
	if f, err := New(p, p.Split(1, 1)[0]); err == nil {
		f.Close()
		t.Error("no error")
	}
}

func TestInsecure(t *testing.T) {
	server, _ := identity(t, 0)
	p := newPlan(t, behindTLS(server).Start(t), 5)
	p.TLS = &plan.TLS{ServerName: "example.com", Insecure: true}
	res := play(t, p)
	if c := res.Counts; c.Delivered != 50 || c.Missing != 0 {
		t.Errorf("%+v: %v", c, res.Failures)
	}
}

func TestSecureRetry(t *testing.T) {
	server, trust := identity(t, 0)
	r := behindTLS(server)
	r.HangUp = func(n int) bool { return n < 3 }
	p := newPlan(t, r.Start(t), 10)
	p.TLS = trust
	res := play(t, p)
	if c := res.Counts; c.Opened != 10 || c.Failed != 0 || c.Retries != 3 || c.Delivered != 100 {
		t.Errorf("opened %d, failed %d, retries %d, delivered %d; want 10, 0, 3, 100: %v", c.Opened, c.Failed, c.Retries, c.Delivered, res.Failures)
	}
}

// Handshakes that nobody answers end with their attempts, and those under way
// with the run: none of their goroutines is left, see TestMain.
func TestSecureServerStaysSilent(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() // whatever connects stays in its queue
	_, trust := identity(t, 0)
	p := newPlan(t, "wss://"+ln.Addr().String()+"/ws", 20)
	p.TLS = trust
	f, err := New(p, p.Split(1, 2)[0])
	if err != nil {
		t.Fatal(err)
	}
	silent, patient := f.lanes[0], f.lanes[1]
	silent.limit, silent.patience = 5, poller.Tick
	ctx, cancel := context.WithCancel(context.Background())
	connected := make(chan struct{})
	go func() {
		defer close(connected)
		f.Connect(ctx)
	}()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for failed := 0; failed < 10; <-tick.C {
		failed = f.Snapshot().Failed
	}
	cancel() // the other lane is still at it
	<-connected
	if n := ask(f, func(l *lane) int { return l.inFlight }); n[0] != 0 || n[1] != 10 {
		t.Errorf("%v attempts under way, want 0 and 10", n)
	}
	clk, err := clock.New()
	if err != nil {
		t.Fatal(err)
	}
	res := f.Finish(context.Background(), []uint32{0}, clk.Now())
	f.Close()
	if n := res.Failures["handshake: no answer in time"]; n != 5 {
		t.Errorf("%v, want 5 without an answer", res.Failures)
	}
	if len(silent.secure.tunnels)+len(patient.secure.tunnels) != 0 {
		t.Error("tunnels are left over")
	}
}

func TestSecureConnectionsAreLost(t *testing.T) {
	const at = 5 // message before which the connections are lost
	raw := func(c net.Conn) net.Conn { return c.(*tls.Conn).NetConn() }
	gone := []string{"lost: the server closed the connection without a close frame", "lost: connection reset by peer", "lost: broken pipe"}
	for _, tt := range []struct {
		name   string
		break_ func(net.Conn)
		reason []string // either of them
	}{
		{"hung up", func(c net.Conn) { raw(c).Close() }, gone},
		{"with a close_notify", func(c net.Conn) { c.(*tls.Conn).CloseWrite() }, gone},
		{"reset", func(c net.Conn) { raw(c).(*net.TCPConn).SetLinger(0); raw(c).Close() }, gone},
		{"nonsense inside", func(c net.Conn) { c.Write([]byte{0xff, 0xff}) }, []string{"lost: the server broke the protocol"}},
		{"nonsense outside", func(c net.Conn) { raw(c).Write([]byte("\x17\x03\x03\x00\x20nonsensenonsensenonsensenonsense")) },
			[]string{"lost: local error: tls: bad record MAC"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server, trust := identity(t, 0)
			r := behindTLS(server)
			r.Before = func(m int, subscribers []net.Conn) {
				if m == at {
					tt.break_(subscribers[3])
					tt.break_(subscribers[7])
				}
			}
			p := newPlan(t, r.Start(t), 10)
			p.TLS = trust
			p.Publishers = 10 // see TestLostConnections
			p.Rate = 1000
			p.Timeout = 500 * time.Millisecond
			res := play(t, p)
			c := res.Counts
			if c.Opened != 10 || c.Lost != 2 {
				t.Errorf("opened %d, lost %d; want 10, 2", c.Opened, c.Lost)
			}
			if c.Expected != 10*c.Sent || c.Delivered+c.Missing != c.Expected || c.Missing == 0 || c.Duplicate+c.Reordered+c.Corrupt != 0 {
				t.Errorf("%+v", c)
			}
			n := 0
			for reason, k := range res.Failures {
				if slices.ContainsFunc(tt.reason, func(want string) bool { return strings.HasPrefix(reason, want) }) {
					n += k
				}
			}
			if n != 2 {
				t.Errorf("failures %v, want 2 × %q", res.Failures, tt.reason)
			}
		})
	}
}

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
		fd, err := poller.Dial(netip.AddrPort{}, netip.MustParseAddrPort(ln.Addr().String()))
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
		codec := payload.NewCodec(l.plan.Run)
		rules := wire.Rules{MaxMessage: 1 << 20}
		var dec wire.Decoder
		buf := make([]byte, 10_000)
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
		for next := uint32(0); next < messages; {
			n, err := server.Read(buf)
			if err != nil || n == 0 {
				t.Fatalf("after %d messages: read %d, %v", next, n, err)
			}
			for p := buf[:n]; len(p) > 0; {
				m, used, err := dec.Next(p, &rules)
				if err != nil {
					t.Fatalf("after %d messages: %v", next, err)
				}
				p = p[used:]
				if m.Op == 0 {
					continue
				}
				h, err := codec.Parse(m.Payload)
				if err != nil || h.Seq != next {
					t.Fatalf("message %d, %v; want %d", h.Seq, err, next)
				}
				next++
			}
		}
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
