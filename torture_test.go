package hubbub

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"runtime/pprof"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"hubbub/internal/broadcast"
	"hubbub/internal/leak"
)

var (
	tortureSeed = flag.Uint64("torture.seed", 0, "run this schedule of TestTorture alone")
	tortureFor  = flag.Duration("torture.for", 0, "run schedules of TestTorture for so long")
)

const (
	tortureRound  = 512 // schedules, after which it is looked for what they have left behind
	tortureRounds = 2
	tortureAtOnce = 128
)

// Whatever system call fails, and whenever, the others don't notice and nothing
// is left behind. A schedule is a server on a chaos and some clients, who do
// random things while the storm lasts and look at what they have got when it
// has passed. The same seed draws the same clients and has the same calls fail;
// in which order they come is up to the machine, so that a rare failure may
// take more than one -count to show again.
func TestTorture(t *testing.T) {
	// A panic on a loop or a worker ends the process, and says whose it was.
	t.Setenv("GODEBUG", "tracebacklabels=1")
	if *tortureSeed != 0 {
		torture(t, []uint64{*tortureSeed})
		return
	}
	start := time.Now()
	n := 0
	for ; !t.Failed() && (n < tortureRounds*tortureRound && *tortureFor == 0 || time.Since(start) < *tortureFor); n += tortureRound {
		seeds := make([]uint64, tortureRound)
		for i := range seeds {
			seeds[i] = max(1, rand.Uint64())
		}
		torture(t, seeds)
	}
	t.Logf("%d schedules in %v", n, time.Since(start).Round(time.Second))
}

// torture runs schedules, and finds those that leave something behind.
func torture(t *testing.T, seeds []uint64) {
	t.Helper()
	if ln, err := net.Listen("tcp", "127.0.0.1:0"); err == nil { // so that Go's poller has its descriptors
		ln.Close()
	}
	goroutines, fds, frames := runtime.NumGoroutine(), len(leak.Descriptors()), broadcast.LiveFrames()
	var wg sync.WaitGroup
	var next atomic.Int64
	for range min(tortureAtOnce, len(seeds)) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(seeds)) && !t.Failed(); i = next.Add(1) - 1 {
				pprof.Do(t.Context(), pprof.Labels("torture.seed", strconv.FormatUint(seeds[i], 10)), func(context.Context) {
					schedule(t, seeds[i])
				})
			}
		})
	}
	wg.Wait()
	left := func() string {
		return fmt.Sprintf("%d goroutines, %d descriptors and %d frames", max(0, runtime.NumGoroutine()-goroutines),
			len(leak.Descriptors())-fds, broadcast.LiveFrames()-frames)
	}
	if t.Failed() || until(func() bool { return left() == "0 goroutines, 0 descriptors and 0 frames" }) {
		return
	}
	what := left()
	for _, seed := range seeds { // whose is it?
		if len(seeds) > 1 && !t.Failed() {
			torture(t, []uint64{seed})
		}
	}
	if !t.Failed() {
		t.Errorf("-torture.seed %d has left %s", seeds, what)
	}
}

// until waits for cond, for a generous time.
func until(cond func() bool) bool {
	limit := time.Now().Add(patience)
	for pause := time.Millisecond; !cond(); pause = min(2*pause, 50*time.Millisecond) { // many wait at a time
		if time.Now().After(limit) {
			return false
		}
		<-time.After(pause)
	}
	return true
}

const numTopics = 3

var topicNames = [numTopics]string{"a", "b", "c"}

// world is one schedule.
type world struct {
	t       *testing.T
	seed    uint64
	die     *rand.Rand
	sys     *chaos
	server  *Server
	addr    string
	policy  SlowPolicy
	hasty   bool // the server's patience with handshakes is short
	players []*player
	witness witness
	readers sync.WaitGroup

	began, done atomic.Int64 // publications
	failed      atomic.Bool  // Serve has
	complaints  atomic.Int64

	mu     sync.Mutex     // guards what follows, and some of the players
	count  [numTopics]int // notes of which the publication has begun
	when   map[uint64]int // how many had begun before, in its topic
	posted map[uint64]int // how many were done before, in all topics
	dialed int
	opened int
	closed int
}

func (w *world) problem(format string, args ...any) {
	if w.complaints.Add(1) > 5 { // the rest follows from these
		return
	}
	w.t.Errorf("-torture.seed %d: %s (policy %d, %v)", w.seed, fmt.Sprintf(format, args...), w.policy, &w.sys.weather)
}

// schedule runs one schedule.
func schedule(t *testing.T, seed uint64) {
	die := rand.New(rand.NewPCG(seed, 0))
	w := &world{t: t, seed: seed, die: die, policy: SlowPolicy(die.IntN(3)), hasty: die.IntN(8) == 0, when: map[uint64]int{}, posted: map[uint64]int{}}
	w.sys = &chaos{seed: seed, weather: newWeather(die), problem: w.problem, fds: map[int]*descriptor{}}
	served := w.start()
	if served == nil {
		return
	}
	var scripts sync.WaitGroup
	for _, p := range w.players {
		scripts.Go(p.play)
	}
	inStorm := die.IntN(6) == 0
	if add := callAdd; !inStorm && w.sys.weather.hard[add] == 0 && w.sys.weather.nth[add] == 0 { // nothing may be published after Shutdown
		scripts.Go(w.publishToo)
	}
	if inStorm {
		<-w.players[die.IntN(len(w.players))].halfway
		w.shutdown()
	}
	scripts.Wait()
	w.sys.pass()
	if !inStorm && !w.failed.Load() {
		w.afterTheStorm()
		if die.IntN(3) != 0 {
			w.leaveAll()
		}
	}
	w.shutdown()
	if err := <-served; !errors.Is(err, ErrServerClosed) {
		w.problem("Serve: %v", err)
	}
	w.readers.Wait()
	w.settle()
	for _, p := range w.players {
		w.judge(p, inStorm || w.failed.Load())
	}
}

var worlds atomic.Uint32

// ownHost returns a loopback address that few other schedules have, and none at the same time: a client that comes
// late, when its server is gone, is not to find another one at the same port.
func ownHost() string {
	n := worlds.Add(1)
	return netip.AddrFrom4([4]byte{127, 1 + byte(n>>16)%200, byte(n >> 8), byte(n)}).String()
}

// start makes the server and its clients. What Serve returns can be received
// from served; nil if the server couldn't be made.
func (w *world) start() (served chan error) {
	die, loops := w.die, 1+w.die.IntN(2)
	if die.IntN(8) != 0 {
		w.sys.weather.spared = 3 * loops
	}
	cfg := Config{
		Endpoints: map[string]Endpoint{"/": {
			OnOpen: w.onOpen, OnText: w.onText, OnBinary: w.onBinary, OnClose: w.onClose, SlowPolicy: w.policy,
		}},
		Loops: loops, Workers: 1 + die.IntN(2), Logger: quiet(),
		MaxBacklog: 1 << (8 + die.IntN(13)),
		MaxPending: 1 << (9 + die.IntN(18)),
	}
	if w.hasty {
		cfg.HandshakeTimeout = 200 * time.Millisecond
	}
	for i := range 6 + die.IntN(7) {
		p := &player{
			w: w, id: byte(i), topic: byte(die.IntN(numTopics)), die: rand.New(rand.NewPCG(w.seed, uint64(i+1))),
			opened: make(chan struct{}), halfway: make(chan struct{}),
			greeted: die.IntN(2) == 0, eager: die.IntN(2) == 0,
		}
		if die.IntN(2) == 0 {
			p.fate = fate(die.IntN(int(numFates)))
		}
		if i > 0 && die.IntN(2) == 0 {
			p.after = w.players[die.IntN(i)]
		}
		w.players = append(w.players, p)
	}
	var err error
	if w.server, err = newServer(cfg, w.sys); err != nil {
		if w.sys.weather.spared > 0 {
			w.problem("%v", err)
		}
		return nil
	}
	// The same hub, with small segments.
	w.server.hub.Close()
	w.server.hub = broadcast.New(broadcast.Config{
		Workers: cfg.Workers, Segment: 1 + die.IntN(4), Observer: observer{&w.server.stats, w},
		HighWater: int64(cfg.MaxPending), LowWater: int64(cfg.MaxPending / 2), Relieved: w.server.relieved,
	})
	w.witness.world = w
	for i := range w.witness.subs {
		w.server.hub.Subscribe(topicNames[i], &w.witness.subs[i], &w.witness)
	}
	ln, err := net.Listen("tcp", ownHost()+":0")
	if err != nil {
		w.t.Error(err)
		return nil
	}
	w.addr = ln.Addr().String()
	served = make(chan error, 1)
	go func() {
		err := w.server.Serve(ln)
		if !errors.Is(err, ErrServerClosed) && w.sys.weather.breaks() { // a loop couldn't watch the listener
			w.failed.Store(true)
			w.shutdown()
			err = ErrServerClosed
		}
		served <- err
	}()
	return served
}

// observer counts the frames that are served.
type observer struct {
	*serverStats
	w *world
}

func (o observer) FannedOut(took time.Duration) {
	o.serverStats.FannedOut(took)
	o.w.done.Add(1)
}

// witness is subscribed to all topics, and never slow.
type witness struct {
	world *world

	mu     sync.Mutex
	subs   [numTopics]broadcast.Subscription
	stream [numTopics][]uint64
	lasts  [numTopics]int
}

func (x *witness) Deliver(b *broadcast.Batch, sub *broadcast.Subscription) int {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, f := range b.Frames() {
		r := bytes.NewReader(f.Bytes())
		h, err := ws.ReadHeader(r)
		n, ok := decodeNote(f.Bytes()[len(f.Bytes())-r.Len():])
		if err != nil || !ok || n.topic >= numTopics || int(h.Length) != r.Len() || sub != &x.subs[n.topic] {
			x.world.problem("a worker has the frame %.30x", f.Bytes())
			continue
		}
		x.stream[n.topic] = append(x.stream[n.topic], n.key())
		if n.last {
			x.lasts[n.topic]++
		}
	}
	return 0
}

func (w *world) shutdown() {
	w.sys.relent()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := w.server.Shutdown(ctx); err != nil && !errors.Is(err, ErrServerClosed) {
		w.problem("Shutdown: %v", err)
	}
}
