package client

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hubbub/cmd/loadgen/internal/clock"
	"hubbub/cmd/loadgen/internal/plan"
	"hubbub/cmd/loadgen/internal/relay"
	"hubbub/internal/poller"
	"hubbub/internal/testcert"
)

// identity is a server's certificate, and what it takes to trust it.
func identity(t *testing.T, version uint16) (*tls.Config, *plan.TLS) {
	t.Helper()
	cert, ca := testcert.Loopback(time.Hour)
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
	expired, expiredCA := testcert.Loopback(-time.Hour)
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
	under := ask(f, func(l *lane) int { return l.inFlight })
	slices.Sort(under) // the lanes answer in any order
	if under[0] != 0 || under[1] != 10 {
		t.Errorf("%v attempts under way, want 0 and 10", under)
	}
	for _, delayed := range ask(f, func(l *lane) (n int) {
		for _, c := range l.conns {
			if c.fd < 0 {
				continue
			}
			if on, err := unix.GetsockoptInt(int(c.fd), unix.IPPROTO_TCP, unix.TCP_NODELAY); err != nil || on == 0 {
				n++
			}
		}
		return n
	}) {
		if delayed > 0 {
			t.Errorf("%d sockets have no TCP_NODELAY", delayed)
		}
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
			expectTwoLost(t, play(t, p), tt.reason)
		})
	}
}
