package hubbub

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"flag"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hubbub/internal/broadcast"
	"hubbub/internal/wire"
)

var (
	soakFor  = flag.Duration("soak", 4*time.Second, "how long TestSoak goes on")
	soakSeed = flag.Uint64("soak.seed", 0, "seed of TestSoak; 0 for a new one")
)

const (
	soakMembers = 40 // who stay on a topic and get every message of it
	soakChurn   = 24 // who come, do something, and leave in some way
	soakSlow    = 8  // who hardly read
	soakLarge   = 2  // who have large messages sent back
	soakTopics  = 4
	soakBig     = 2 << 20 // bytes
)

// TestSoak keeps a server busy with everything at once, and wants it to be afterwards
// what it was after a warm-up: as much memory, as many descriptors and
// goroutines, every buffer given back. `make soak` lets it go on for longer.
func TestSoak(t *testing.T) {
	seed := *soakSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d (replay with -soak.seed)", seed)
	endpoints := relayEndpoints()
	join := func(c *Conn, r *Request) error { c.Subscribe(r.Param("topic")); return nil }
	toTopic := func(c *Conn, p []byte) { c.Publish(soakTopic(p), Binary, p) }
	endpoints["/strict"] = Endpoint{OnOpen: join, OnBinary: toTopic, Keepalive: time.Second}
	endpoints["/lossy"] = Endpoint{OnOpen: join, OnBinary: toTopic, SlowPolicy: DropOldest}
	s, plain, secure := startTLS(t, Config{
		Endpoints: endpoints, Compress: true, MaxMessage: soakBig, MaxBacklog: 4 * soakBig,
	})
	k := &soak{t: t, s: s, plain: plain, secure: secure}
	rest := func() usage {
		waitFor(t, "the server to be empty", func() bool { return s.Connections() == 0 })
		waitFor(t, "all frames to be given back", func() bool { return broadcast.LiveFrames() == 0 })
		if n := s.stats.backlog.Load(); n != 0 {
			t.Errorf("%d bytes of backlog are left", n)
		}
		return measure()
	}
	k.run(*soakFor/5, seed)
	before := rest()
	k.run(*soakFor, seed+1)
	after := rest()
	t.Logf("%d messages checked, %d visits; before %+v, after %+v", k.checked.Load(), k.visits.Load(), before, after)
	if k.checked.Load() == 0 || k.visits.Load() == 0 {
		t.Error("nothing has happened")
	}
	if after.descriptors > before.descriptors || after.goroutines > before.goroutines {
		t.Errorf("before %+v, after %+v", before, after)
	}
	// The Go runtime keeps some of what it has had at the peak.
	if limit := before.rss + before.rss/4 + 16<<20; after.rss > limit {
		t.Errorf("%d bytes of memory, want at most %d", after.rss, limit)
	}
}

type usage struct{ rss, descriptors, goroutines int }

func measure() (u usage) {
	runtime.GC()
	debug.FreeOSMemory()
	status, _ := os.ReadFile("/proc/self/statm")
	fmt.Sscan(strings.Fields(string(status))[1], &u.rss)
	u.rss *= os.Getpagesize()
	fds, _ := os.ReadDir("/proc/self/fd")
	u.descriptors, u.goroutines = len(fds), runtime.NumGoroutine()
	return u
}

type soak struct {
	t             *testing.T
	s             *Server
	plain, secure string
	nextSender    atomic.Uint32
	checked       atomic.Int64
	visits        atomic.Int64
}

// run lets everybody do their thing for a time.
func (k *soak) run(d time.Duration, seed uint64) {
	ctx, stop := context.WithTimeout(k.t.Context(), d)
	defer stop()
	var wg sync.WaitGroup
	each := func(n int, do func(context.Context, *rand.Rand)) {
		for range n {
			seed++
			rng := rand.New(rand.NewPCG(seed, 1))
			wg.Go(func() {
				for ctx.Err() == nil {
					do(ctx, rng)
				}
			})
		}
	}
	each(soakMembers, k.member)
	each(soakChurn, k.visitor)
	each(soakSlow, k.slow)
	each(soakLarge, k.large)
	wg.Wait()
}

// member stays, publishes now and then, and wants what it gets of each sender to
// be whole and in order.
func (k *soak) member(ctx context.Context, rng *rand.Rand) {
	topic := rng.IntN(soakTopics)
	c := k.dial(rng, fmt.Sprintf("/strict?topic=%d", topic))
	defer c.end(rng)
	defer context.AfterFunc(ctx, func() { c.conn.SetDeadline(time.Now()) })()
	last := map[uint32]uint32{}
	sender := k.nextSender.Add(1)
	own := rand.New(rand.NewPCG(rng.Uint64(), 2))
	var sending sync.WaitGroup
	defer sending.Wait()
	sending.Go(func() {
		for n := uint32(1); ctx.Err() == nil; n++ {
			if c.send(message(topic, sender, n, own.IntN(3000))) != nil {
				return
			}
			// How fast it talks, which is part of the load; nothing is waited for.
			time.Sleep(time.Duration(own.IntN(20)) * time.Millisecond)
		}
	})
	for ctx.Err() == nil {
		p, err := c.receive()
		if err != nil {
			if ctx.Err() == nil {
				k.t.Errorf("a member was cut off: %v", err)
			}
			return
		}
		onTopic, from, number, ok := parseMessage(p)
		if !ok || onTopic != topic {
			k.t.Errorf("a message of topic %d for one of %d, intact: %t", onTopic, topic, ok)
			return
		}
		if was := last[from]; was != 0 && number != was+1 {
			k.t.Errorf("message %d of sender %d after %d", number, from, was)
			return
		}
		last[from] = number
		k.checked.Add(1)
	}
}

// visitor comes, does something, and leaves in some way, without a word too.
func (k *soak) visitor(ctx context.Context, rng *rand.Rand) {
	k.visits.Add(1)
	if rng.IntN(10) == 0 { // doesn't even finish its handshake
		if conn, err := net.Dial("tcp", []string{k.plain, k.secure}[rng.IntN(2)]); err == nil {
			fmt.Fprintf(conn, "GET /strict HTTP/1.1\r\nHost: x\r\n%s", strings.Repeat("A: b\r\n", rng.IntN(300)))
			conn.Close()
		}
		return
	}
	c := k.dial(rng, fmt.Sprintf("/lossy?topic=%d", rng.IntN(soakTopics)))
	defer c.end(rng)
	defer context.AfterFunc(ctx, func() { c.conn.SetDeadline(time.Now()) })()
	sender := k.nextSender.Add(1)
	for n := range uint32(rng.IntN(10)) {
		if c.send(message(soakTopics, sender, n, rng.IntN(100))) != nil { // to a topic that nobody is on
			return
		}
		if rng.IntN(2) == 0 {
			if _, err := c.receive(); err != nil {
				return
			}
		}
	}
	if rng.IntN(5) == 0 {
		c.conn.Write([]byte{0xff, 0xff, 0xff}) // no frame
	}
}

// slow hardly reads.
func (k *soak) slow(ctx context.Context, rng *rand.Rand) {
	c := k.dial(rng, []string{"/strict", "/lossy"}[rng.IntN(2)]+fmt.Sprintf("?topic=%d", rng.IntN(soakTopics)))
	defer c.end(rng)
	c.conn.SetDeadline(time.Now().Add(3 * time.Second))
	buf := make([]byte, 64)
	for ctx.Err() == nil {
		if _, err := c.conn.Read(buf); err != nil {
			return
		}
		time.Sleep(time.Duration(rng.IntN(50)) * time.Millisecond) // this is what makes it slow; nothing is waited for
	}
}

// large has a large message sent back.
func (k *soak) large(_ context.Context, rng *rand.Rand) {
	c := k.dial(rng, "/echo")
	defer c.end(rng)
	want := message(0, 0, 0, soakBig-soakHeader-rng.IntN(soakBig/2))
	var sending sync.WaitGroup
	defer sending.Wait()
	sending.Go(func() { c.send(want) }) // while it is read
	if got, err := c.receive(); err != nil || string(got) != string(want) {
		k.t.Errorf("%d of %d bytes came back, %v", len(got), len(want), err)
	}
}

// A message says where it belongs: topic, sender, number, checksum; 16 bytes
// before the rest.
const soakHeader = 16

func message(topic int, sender, n uint32, size int) []byte {
	p := make([]byte, soakHeader+size)
	for i := range p[soakHeader:] {
		p[soakHeader+i] = byte(n) + byte(i/97)
	}
	binary.BigEndian.PutUint32(p, uint32(topic))
	binary.BigEndian.PutUint32(p[4:], sender)
	binary.BigEndian.PutUint32(p[8:], n)
	binary.BigEndian.PutUint32(p[12:], crc32.ChecksumIEEE(p[soakHeader:]))
	return p
}

func soakTopic(p []byte) string { return fmt.Sprint(binary.BigEndian.Uint32(p)) }

func parseMessage(p []byte) (topic int, sender, n uint32, ok bool) {
	if len(p) < soakHeader {
		return 0, 0, 0, false
	}
	return int(binary.BigEndian.Uint32(p)), binary.BigEndian.Uint32(p[4:]), binary.BigEndian.Uint32(p[8:]),
		binary.BigEndian.Uint32(p[12:]) == crc32.ChecksumIEEE(p[soakHeader:])
}

// soakClient is one end of a connection: plain or encrypted, compressed or not.
type soakClient struct {
	conn  net.Conn
	tcp   *net.TCPConn
	rules wire.Rules
	dec   wire.Decoder
	rest  []byte // read, and not yet decoded
	buf   []byte
}

func (k *soak) dial(rng *rand.Rand, target string) *soakClient {
	c := &soakClient{rules: wire.Rules{Client: true, MaxMessage: soakBig, Deflate: rng.IntN(2) == 0}, buf: make([]byte, 32<<10)}
	addr, encrypted := k.plain, rng.IntN(3) == 0
	if encrypted {
		addr = k.secure
	}
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		k.t.Fatal(err)
	}
	c.conn, c.tcp = conn, conn.(*net.TCPConn)
	if encrypted {
		_, trust := identity()
		c.conn = tls.Client(conn, trust)
	}
	c.conn.SetDeadline(time.Now().Add(patience))
	extension := ""
	if c.rules.Deflate {
		extension = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
	}
	fmt.Fprintf(c.conn, "GET %s HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n", target, extension)
	for {
		n, err := c.conn.Read(c.buf[len(c.rest):])
		if err != nil {
			k.t.Errorf("handshake: %v after %q", err, c.rest)
			return c
		}
		c.rest = c.buf[:len(c.rest)+n]
		if head, rest, ok := strings.Cut(string(c.rest), "\r\n\r\n"); ok {
			if !strings.HasPrefix(head, "HTTP/1.1 101 ") {
				k.t.Errorf("handshake: %q", head)
			}
			c.rest = []byte(rest)
			c.conn.SetDeadline(time.Time{})
			return c
		}
	}
}

func (c *soakClient) send(p []byte) error {
	_, err := c.conn.Write(wire.AppendMaskedFrame(nil, wire.OpBinary, p, [4]byte{1, 2, 3, 4}))
	return err
}

// receive returns the next message, and answers pings on the way.
func (c *soakClient) receive() ([]byte, error) {
	for {
		m, n, err := c.dec.Next(c.rest, &c.rules)
		c.rest = c.rest[n:]
		switch {
		case err != nil:
			return nil, err
		case m.Op == wire.OpPing:
			if _, err := c.conn.Write(wire.AppendMaskedFrame(nil, wire.OpPong, m.Payload, [4]byte{})); err != nil {
				return nil, err
			}
		case m.Op == wire.OpClose:
			code, reason, _ := wire.ParseClose(m.Payload)
			return nil, fmt.Errorf("closed with %d %s", code, reason)
		case m.Op != 0:
			return m.Payload, nil
		default:
			n, err := c.conn.Read(c.buf)
			if err != nil {
				return nil, err
			}
			c.rest = c.buf[:n]
		}
	}
}

// end leaves: with a close frame, with FIN, or with RST.
func (c *soakClient) end(rng *rand.Rand) {
	switch rng.IntN(3) {
	case 0:
		c.conn.SetWriteDeadline(time.Now().Add(time.Second))
		c.conn.Write(wire.AppendMaskedFrame(nil, wire.OpClose, []byte{3, 232}, [4]byte{}))
	case 1:
		c.tcp.SetLinger(0)
	}
	c.conn.Close()
	c.dec.Reset()
}
