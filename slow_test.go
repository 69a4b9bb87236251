package hubbub

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"golang.org/x/sys/unix"

	"hubbub/internal/broadcast"
	"hubbub/internal/poller"
	"hubbub/internal/wire"
)

// moody is a kernel that takes and gives as little as it may: EAGAIN, short
// reads and short writes, by a seeded die.
type moody struct {
	poller.OS
	mu  sync.Mutex
	die *rand.Rand
}

func newMoody(t *testing.T) *moody {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return &moody{die: rand.New(rand.NewPCG(seed, 3))}
}

func (m *moody) roll(n int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.die.IntN(n)
}

func (m *moody) Read(fd int, p []byte) (int, error) {
	if m.roll(4) == 0 {
		return 0, unix.EAGAIN
	}
	return m.OS.Read(fd, p[:min(len(p), 1+m.roll(50))])
}

func (m *moody) Write(fd int, p []byte) (int, error) {
	if len(p) == 0 || m.roll(3) == 0 {
		return 0, unix.EAGAIN
	}
	return m.OS.Write(fd, p[:1+m.roll(len(p))])
}

func (m *moody) WriteMore(fd int, p []byte) (int, error) { return m.Write(fd, p) }

// Whatever the kernel takes at a time, every message arrives whole and in
// order, and pongs come between messages.
func TestShortReadsAndWrites(t *testing.T) {
	_, addr := startSys(t, Config{Endpoints: relayEndpoints(), Loops: 2}, newMoody(t))
	const n = 200
	var wg sync.WaitGroup
	for id := range 8 {
		c := dial(t, addr, "/ws")
		wg.Go(func() {
			pongs, last := 0, -1
			for last < n-1 {
				f, err := ws.ReadFrame(c.rw)
				if err != nil {
					t.Errorf("client %d: %v", id, err)
					return
				}
				switch f.Header.OpCode {
				case ws.OpPong:
					pongs++
				case ws.OpText:
					var from, i int
					var tail string
					if _, err := fmt.Sscanf(string(f.Payload), "%d %d %s", &from, &i, &tail); err != nil || len(tail) != i%90+1 {
						t.Errorf("client %d received %q", id, f.Payload)
						return
					}
					if from == id {
						if i != last+1 {
							t.Errorf("client %d received its message %d after %d", id, i, last)
						}
						last = i
					}
				default:
					t.Errorf("client %d received %v", id, f.Header)
					return
				}
			}
			// Pings in a hurry may be answered together.
			if pongs == 0 {
				t.Errorf("client %d received no pong", id)
			}
		})
		wg.Go(func() {
			for i := range n {
				wsutil.WriteClientMessage(c.conn, ws.OpText, fmt.Appendf(nil, "%d %d %s", id, i, strings.Repeat("x", i%90+1)))
				wsutil.WriteClientMessage(c.conn, ws.OpPing, []byte("p"))
			}
		})
	}
	wg.Wait()
}

// blocked is a kernel that takes nothing that is written to the connections it
// is told to block.
type blocked struct {
	poller.OS
	mu  sync.Mutex
	fds map[int]bool
	err error // returned for them, EAGAIN by default
}

func (b *blocked) block(c *Conn, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fds == nil {
		b.fds = map[int]bool{}
	}
	b.fds[int(c.fd)], b.err = true, err
}

func (b *blocked) unblock() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fds = nil
}

func (b *blocked) Write(fd int, p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fds[fd] {
		return 0, b.err
	}
	return b.OS.Write(fd, p)
}

// withSlowReader serves an endpoint with a policy, and has its one connection
// take nothing while messages are published to it: 60 of 100 bytes each, of
// which ten fit into the backlog.
func withSlowReader(t *testing.T, policy SlowPolicy) (*Server, *client) {
	sys := &blocked{}
	opened := make(chan *Conn, 1)
	s, addr := startSys(t, Config{MaxBacklog: 10 * (100 + broadcast.FrameCost), Loops: 1, Endpoints: map[string]Endpoint{"/": {
		OnOpen:     func(c *Conn, r *Request) error { c.Subscribe("t"); opened <- c; return nil },
		SlowPolicy: policy,
	}}}, sys)
	c := dial(t, addr, "/")
	sys.block(<-opened, unix.EAGAIN)
	for i := range 60 {
		s.Publish("t", Text, fmt.Appendf(nil, "%02d%s", i, strings.Repeat(".", 100-wire.FrameSize(0)-2)))
	}
	waitFor(t, "the messages to be handed out", func() bool {
		return s.stats.deliveries.Load() == 60 || s.hub.Topics() == 0
	})
	t.Cleanup(sys.unblock)
	sys.unblock()
	return s, c
}

func TestSlowReaderIsDisconnected(t *testing.T) {
	s, c := withSlowReader(t, Disconnect)
	c.expectClose(1008, "slow consumer")
	c.expectEOF()
	c.conn.Close()
	waitFor(t, "the connection to be counted", func() bool { return s.ended(endSlow) == 1 })
	waitFor(t, "the backlog to be given back", func() bool { return s.stats.backlog.Load() == 0 })
}

func TestSlowReaderMissesTheOldest(t *testing.T) {
	s, c := withSlowReader(t, DropOldest)
	for i := 50; i < 60; i++ {
		if _, got := c.read(); got[:2] != fmt.Sprintf("%02d", i) {
			t.Fatalf("received message %s, want %d", got[:2], i)
		}
	}
	if got := s.stats.droppedOldest.Load(); got != 50 {
		t.Errorf("%d drops were counted, want 50", got)
	}
}

func TestSlowReaderMissesTheNewest(t *testing.T) {
	s, c := withSlowReader(t, DropNewest)
	for i := range 10 {
		if _, got := c.read(); got[:2] != fmt.Sprintf("%02d", i) {
			t.Fatalf("received message %s, want %d", got[:2], i)
		}
	}
	if got := s.stats.droppedNewest.Load(); got != 50 {
		t.Errorf("%d drops were counted, want 50", got)
	}
	s.Publish("t", Text, []byte("again"))
	c.expect(ws.OpText, "again")
}

// A message that is larger than the backlog passes if nothing else waits.
func TestBigMessageToSlowReader(t *testing.T) {
	_, addr := start(t, Config{MaxBacklog: 1000, MaxMessage: 16 << 20, Endpoints: relayEndpoints()})
	c := dial(t, addr, "/echo")
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<19) // 8 MiB: more than the socket's buffers
	go wsutil.WriteClientMessage(c.conn, ws.OpBinary, big)
	if op, got := c.read(); op != ws.OpBinary || got != string(big) {
		t.Errorf("received %v of %d bytes", op, len(got))
	}
}

// A connection whose write fails is ended by its loop, whoever wrote.
func TestWriteFails(t *testing.T) {
	for _, errno := range []error{unix.ECONNRESET, unix.EPIPE, unix.ENOBUFS} {
		sys := &blocked{}
		opened := make(chan *Conn, 1)
		ep, words := lastWords(Endpoint{OnOpen: func(c *Conn, r *Request) error { opened <- c; return nil }})
		s, addr := startSys(t, Config{Endpoints: map[string]Endpoint{"/": ep}}, sys)
		dial(t, addr, "/")
		c := <-opened
		sys.block(c, errno)
		c.Send(Text, []byte("x"))
		if got := <-words; got != `1006 ""` {
			t.Errorf("%v: OnClose was told %s", errno, got)
		}
		waitFor(t, "the descriptor to be given back", func() bool { return s.Connections() == 0 })
		c.Send(Text, []byte("nothing happens"))
		c.Subscribe("t")
		c.Close(1000, "")
		if n := s.hub.Topics(); n != 0 {
			t.Errorf("%v: a closed connection subscribes", errno)
		}
	}
}

// Nobody receives what was meant for another, while connections come and go on
// few descriptor numbers: each client is alone on its topic, and everything it
// receives has to be its own.
func TestNoCrossDelivery(t *testing.T) {
	topic := func(r *Request) string { return r.Query().Get("topic") }
	_, addr := start(t, Config{Loops: 2, Workers: 4, Endpoints: map[string]Endpoint{"/": {
		OnOpen: func(c *Conn, r *Request) error {
			c.SetSession(topic(r))
			c.Subscribe(topic(r))
			return nil
		},
		OnBinary: func(c *Conn, p []byte) {
			for range 8 {
				c.Publish(c.Session().(string), Binary, p)
			}
			go c.Publish(c.Session().(string), Binary, bytes.Clone(p)) // late, maybe after the end
		},
	}}})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 60 {
				id := uint64(g)<<32 | uint64(i)
				conn, br, _, err := ws.Dial(t.Context(), fmt.Sprintf("ws://%s/?topic=%d", addr, id))
				if err != nil {
					t.Error(err)
					return
				}
				var r io.Reader = conn
				if br != nil {
					r = br
				}
				own := binary.BigEndian.AppendUint64(nil, id)
				wsutil.WriteClientBinary(conn, own)
				for range 1 + i%8 { // and leave before the rest has come
					f, err := ws.ReadFrame(r)
					if err != nil {
						t.Error(err)
						break
					}
					if !bytes.Equal(f.Payload, own) {
						t.Errorf("received %x, which is another's; ours is %x", f.Payload, own)
					}
				}
				if i%2 == 0 {
					conn.(*net.TCPConn).SetLinger(0)
				}
				conn.Close()
			}
		})
	}
	wg.Wait()
}
