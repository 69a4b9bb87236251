package hubbub

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws/wsutil"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"hubbub/internal/poller"
)

// tcp is the socket below a client's connection.
func (c *client) tcp() *net.TCPConn {
	if s, ok := c.conn.(*tls.Conn); ok {
		return s.NetConn().(*net.TCPConn)
	}
	return c.conn.(*net.TCPConn)
}

// Peers that never read, that read a byte now and then, that reset the connection
// in the middle of a write, or that go without a word: everybody else gets every
// message, in order, and each end is counted as what it was.
func TestFanOutAmongHostilePeers(t *testing.T) {
	s, plain, secure := startTLS(t, Config{Endpoints: relayEndpoints(), MaxBacklog: 256 << 10, Loops: 2, Workers: 2})
	reg := prometheus.NewRegistry()
	reg.MustRegister(s)
	join := func(i int) *client {
		if i%4 == 3 {
			return dialTLS(t, secure, "/ws", 0)
		}
		return dial(t, plain, "/ws")
	}
	const good, each = 20, 8
	var readers, silent, slow, resetting, vanishing []*client
	for i := range good {
		readers = append(readers, join(i))
	}
	for i := range each {
		for _, kind := range []*[]*client{&silent, &slow, &resetting, &vanishing} {
			c := join(i)
			c.tcp().SetReadBuffer(4 << 10)
			*kind = append(*kind, c)
		}
	}
	waitFor(t, "everybody to be subscribed", func() bool { return s.hub.Subscribers("lobby") == good+4*each })
	s.onShards(func(sh *shard) { // the kernel would keep megabytes for each
		for _, c := range sh.lists[s.paths["/ws"]] {
			if err := unix.SetsockoptInt(int(c.fd), unix.SOL_SOCKET, unix.SO_SNDBUF, 16<<10); err != nil {
				t.Error(err)
			}
		}
	})
	var wg sync.WaitGroup
	for _, c := range slow {
		wg.Go(func() {
			now := time.NewTicker(5 * time.Millisecond)
			defer now.Stop()
			for err := error(nil); err == nil; <-now.C {
				_, err = c.tcp().Read(make([]byte, 1))
			}
		})
	}

	// A batch goes out when those who behave have the one before: it is only the
	// others that can be behind.
	next := 0
	message := func(i int) []byte { return fmt.Appendf(nil, "%06d%s", i, strings.Repeat("f", 16<<10)) }
	batch := func() {
		const size = 10
		for i := range size {
			s.Publish("lobby", Text, message(next+i))
		}
		var all sync.WaitGroup
		for k, c := range readers {
			all.Go(func() {
				for i := range size {
					p, _, err := wsutil.ReadServerData(c.rw)
					if err != nil || !bytes.Equal(p, message(next+i)) {
						t.Errorf("reader %d received %.6q of %d bytes instead of message %d, %v", k, p, len(p), next+i, err)
						return
					}
				}
			})
		}
		all.Wait()
		next += size
	}
	batch()
	for _, c := range resetting { // what waits for them is cut off in the middle
		c.tcp().SetLinger(0)
		c.tcp().Close()
	}
	for _, c := range vanishing {
		c.tcp().CloseWrite()
		c.tcp().Close()
	}
	waitFor(t, "those who left to be gone", func() bool { return s.hub.Subscribers("lobby") == good+2*each })
	for s.hub.Subscribers("lobby") > good && !t.Failed() {
		batch()
	}
	for _, c := range append(silent, slow...) {
		c.tcp().Close() // the close frame would wait for them
	}
	wg.Wait()
	waitFor(t, "all of them to be counted", func() bool {
		return s.ended(endSlow) == 2*each && s.ended(endReset)+s.ended(endEOF) == 2*each
	})
	if got := s.ended(endReset); got < each {
		t.Errorf("%d resets were counted, want at least %d", got, each)
	}
	if got := metric(t, reg, `hubbub_disconnects_total{reason="slow_consumer"}`); got != float64(s.ended(endSlow)) {
		t.Errorf("the metric says %v, want %d", got, s.ended(endSlow))
	}
	batch()
	if got := s.hub.Subscribers("lobby"); got != good {
		t.Errorf("%d are subscribed, want %d", got, good)
	}
	waitFor(t, "the backlogs to be empty", func() bool { return s.stats.backlog.Load() == 0 })
}

// A peer that resets the connection while it is written to takes nothing with it
// but itself, and is counted as that.
func TestResetInTheMiddleOfAWrite(t *testing.T) {
	ep, words := lastWords(relayEndpoints()["/echo"])
	s, plain, secure := startTLS(t, Config{Endpoints: map[string]Endpoint{"/": ep}, MaxMessage: 8 << 20, MaxBacklog: 64 << 20})
	reg := prometheus.NewRegistry()
	reg.MustRegister(s)
	for i, c := range []*client{dial(t, plain, "/"), dialTLS(t, secure, "/", 0)} {
		wsutil.WriteClientBinary(c.conn, make([]byte, 8<<20)) // its echo fills the socket
		if _, err := io.ReadFull(c.rw, make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		c.tcp().SetLinger(0)
		c.tcp().Close()
		if got := <-words; got != `1006 ""` {
			t.Errorf("OnClose was told %s", got)
		}
		waitFor(t, "the reset to be counted", func() bool {
			return metric(t, reg, `hubbub_disconnects_total{reason="reset"}`) == float64(i+1)
		})
	}
	waitFor(t, "the connections to be gone", func() bool { return s.Connections() == 0 && s.stats.backlog.Load() == 0 })
}

// What the kernel does for a connection, it does for every one that is accepted,
// also for those that have come before the server was ready: small messages go out
// at once, and who is gone without a word is found out.
func TestSocketOptions(t *testing.T) {
	s, _ := start(t, Config{Endpoints: relayEndpoints()})
	listen := func() (net.Listener, string) {
		ln, err := poller.Listen("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return ln, ln.Addr().String()
	}
	ln, plain := listen()
	early := raw(t, plain)
	go s.Serve(ln) // ends with the server
	ln, secure := listen()
	server, _ := identity()
	go s.ServeTLS(ln, server) // likewise
	dialWith(t, over(early), "ws://x/echo")
	dialTLS(t, secure, "/echo", 0)
	raw(t, plain) // in handshake
	waitFor(t, "all to be accepted", func() bool { return s.young() == 1 })
	var mu sync.Mutex
	var fds []int
	s.onShards(func(sh *shard) {
		mu.Lock()
		defer mu.Unlock()
		for _, l := range sh.lists {
			for _, c := range l {
				fds = append(fds, int(c.fd))
			}
		}
		for c := sh.young.oldest; c != nil; c = c.phase.newer {
			fds = append(fds, int(c.fd))
		}
	})
	if len(fds) != 3 {
		t.Fatalf("there are %d connections, want 3", len(fds))
	}
	for _, o := range []struct {
		name                string
		level, option, want int
	}{
		{"TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{"TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 120},
		{"TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 20},
		{"TCP_USER_TIMEOUT", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 180_000},
	} {
		for _, fd := range fds {
			if got, err := unix.GetsockoptInt(fd, o.level, o.option); err != nil || got != o.want {
				t.Errorf("%s is %d, %v, want %d", o.name, got, err, o.want)
			}
		}
	}
	for _, fd := range fds {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		if err != nil || flags&unix.O_NONBLOCK == 0 {
			t.Errorf("the descriptor's flags are %x, %v: it can block a loop", flags, err)
		}
	}
}
