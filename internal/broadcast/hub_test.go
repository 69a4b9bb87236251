package broadcast

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// recorder is a Sink that takes everything and remembers it.
type recorder struct {
	mu  sync.Mutex
	got []string
}

func (r *recorder) Deliver(b *Batch, sub *Subscription) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !sub.Active() {
		return 0
	}
	var all strings.Builder
	for _, f := range b.Frames() {
		all.Write(f.Bytes())
		r.got = append(r.got, string(f.Bytes()))
	}
	if all.String() != string(b.Bytes()) {
		panic("a batch's bytes are not its frames'")
	}
	return len(b.Bytes())
}

func (r *recorder) subscribe(h *Hub, topic string) *Subscription {
	r.mu.Lock()
	defer r.mu.Unlock()
	sub := new(Subscription)
	h.Subscribe(topic, sub, r)
	return sub
}

// unsubscribe returns what had been received by then.
func (r *recorder) unsubscribe(h *Hub, sub *Subscription) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	h.Unsubscribe(sub)
	return slices.Clone(r.got)
}

func (h *Hub) send(topic, text string) {
	f := frame(text)
	h.Publish(topic, f)
	f.Release()
}

func TestPublishReachesSubscribersInOrder(t *testing.T) {
	h := New(Config{Workers: 4, Segment: 3})
	readers := make([]recorder, 10)
	for i := range readers {
		readers[i].subscribe(h, "news")
	}
	var want []string
	for i := range 500 {
		want = append(want, fmt.Sprint(i))
		h.send("news", want[i])
		h.send("other", "nobody is there")
	}
	h.Close()
	for i := range readers {
		if !slices.Equal(readers[i].got, want) {
			t.Errorf("reader %d received %d messages %.60q, want %d in order", i, len(readers[i].got), readers[i].got, len(want))
		}
	}
}

// stay is the time that a reader spends on a topic, in the model.
type stay struct {
	sub       *Subscription
	published []string // meanwhile
}

// driveHub runs a sequence of operations on a Hub and on a model of it. Each
// pair of bytes is an operation: the kind and the topic, the reader.
//
// A reader who stays has to receive all that is published meanwhile; one who
// leaves, the beginning of that; nobody anything else, and all in order.
func driveHub(t *testing.T, ops []byte) {
	const readers, topics = 12, 4
	h := New(Config{Workers: 3, Segment: 2})
	type place struct{ topic, reader int }
	sinks := make([][topics]recorder, readers)
	stays := map[place]*stay{}
	settled := map[place]int{} // messages that former stays have brought
	size := func(topic int) (n int) {
		for p := range stays {
			if p.topic == topic {
				n++
			}
		}
		return n
	}
	for i := 0; i+1 < len(ops); i += 2 {
		p := place{int(ops[i]/3) % topics, int(ops[i+1]) % readers}
		topic := fmt.Sprint("t", p.topic)
		sink := &sinks[p.reader][p.topic]
		switch st := stays[p]; ops[i] % 3 {
		case 0:
			text := fmt.Sprint(topic, ":", i)
			h.send(topic, text)
			for q, st := range stays {
				if q.topic == p.topic {
					st.published = append(st.published, text)
				}
			}
		case 1:
			if st == nil {
				stays[p] = &stay{sub: sink.subscribe(h, topic)}
			}
		case 2:
			if st != nil {
				got := sink.unsubscribe(h, st.sub)
				sink.unsubscribe(h, st.sub) // the second time is no error
				if mine := got[settled[p]:]; len(mine) > len(st.published) || !slices.Equal(mine, st.published[:len(mine)]) {
					t.Fatalf("reader %d of %s received %q of %q", p.reader, topic, mine, st.published)
				}
				settled[p] = len(got)
				delete(stays, p)
			}
		}
		if got, want := h.Subscribers(topic), size(p.topic); got != want {
			t.Fatalf("op %d: %s has %d subscribers, want %d", i, topic, got, want)
		}
	}
	inUse := 0
	for topic := range topics {
		if size(topic) > 0 {
			inUse++
		}
	}
	if got := h.Topics(); got != inUse {
		t.Fatalf("%d topics exist, want %d", got, inUse)
	}
	h.Close()
	for r := range sinks {
		for topic := range topics {
			p := place{topic, r}
			got := sinks[r][topic].got[settled[p]:]
			var want []string
			if st := stays[p]; st != nil {
				want = st.published
			}
			if !slices.Equal(got, want) {
				t.Fatalf("reader %d of t%d received %q, want %q", r, topic, got, want)
			}
		}
	}
}

func TestTopicsLikeTheirModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 2))
	for range 300 {
		ops := make([]byte, 2*(1+r.IntN(150)))
		for i := range ops {
			ops[i] = byte(r.Uint32())
		}
		driveHub(t, ops)
	}
}

func FuzzTopics(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 1, 1, 0, 0, 2, 0, 0, 0, 2, 1, 0, 0, 1, 1, 0, 0})
	f.Add([]byte{1, 0, 1, 1, 1, 2, 1, 3, 0, 0, 2, 0, 2, 1, 0, 0, 1, 4, 0, 0})
	f.Fuzz(driveHub)
}

// Subscribing, unsubscribing and publishing from many goroutines at once: no
// reader gets a publisher's messages out of order or twice.
func TestTopicsUnderConcurrency(t *testing.T) {
	h := New(Config{Workers: 4, Segment: 4})
	const publishers, readers, messages = 4, 16, 300
	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() {
			for i := range messages {
				h.send("t", fmt.Sprintf("%d:%d", p, i))
			}
		})
	}
	var mu sync.Mutex
	var all []*recorder
	for range readers {
		wg.Go(func() {
			for range 20 {
				r := &recorder{}
				r.unsubscribe(h, r.subscribe(h, "t"))
				last := r.subscribe(h, "t")
				r.unsubscribe(h, last)
				mu.Lock()
				all = append(all, r)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	h.Close()
	if n := h.Topics(); n != 0 {
		t.Errorf("%d topics are left without a subscriber", n)
	}
	for _, r := range all {
		last := map[int]int{}
		for _, m := range r.got {
			var p, i int
			fmt.Sscanf(m, "%d:%d", &p, &i)
			if before, ok := last[p]; ok && i <= before { // it has left in between, so there may be a gap
				t.Fatalf("after message %d of publisher %d came %d", before, p, i)
			}
			last[p] = i
		}
	}
}

// gate is a Sink that holds its worker until it is opened.
type gate struct {
	entered chan struct{}
	open    chan struct{}
}

func newGate() *gate { return &gate{make(chan struct{}, 1), make(chan struct{})} }

func (g *gate) Deliver(b *Batch, _ *Subscription) int {
	select {
	case g.entered <- struct{}{}:
	default:
	}
	<-g.open
	return len(b.Bytes())
}

// holdAll keeps a Hub's only worker and its express worker busy until the channel is closed.
func (h *Hub) holdAll() chan struct{} {
	open := make(chan struct{})
	for _, topic := range []string{"one", "other"} {
		g := &gate{make(chan struct{}, 1), open}
		h.Subscribe(topic, new(Subscription), g)
		h.send(topic, "x")
		<-g.entered
	}
	return open
}

// While all workers are in the middle of a big topic's segments, a small topic is served.
func TestSmallTopicPassesBusyWorkers(t *testing.T) {
	for _, threads := range []bool{false, true} {
		h := New(Config{Workers: 1, Segment: 1, Threads: threads})
		hold := newGate()
		for range 2 {
			h.Subscribe("big", new(Subscription), hold)
		}
		small := newGate()
		close(small.open)
		h.Subscribe("small", new(Subscription), small)
		h.send("big", "x")
		<-hold.entered
		h.send("small", "x")
		select {
		case <-small.entered:
		case <-time.After(30 * time.Second):
			t.Errorf("threads %v: the small topic waits for the big one's segment", threads)
		}
		close(hold.open)
		h.Close()
	}
}

// Each worker but the express one begins by saying so, on a thread that is its own.
func TestOnThread(t *testing.T) {
	for _, threads := range []bool{false, true} {
		const workers = 3
		said := make(chan int, workers+1)
		h := New(Config{Workers: workers, Threads: threads, OnThread: func() { said <- unix.Gettid() }})
		h.Close()
		close(said)
		var tids []int
		for tid := range said {
			tids = append(tids, tid)
		}
		slices.Sort(tids)
		if len(tids) != workers || len(slices.Compact(tids)) != workers {
			t.Errorf("threads %v: said on threads %v, want three", threads, tids)
		}
	}
}

// While workers are busy, what is published waits and goes out as one batch.
func TestWaitingMessagesMerge(t *testing.T) {
	h := New(Config{Workers: 1})
	hold := h.holdAll()
	counter := &batches{}
	h.Subscribe("t", new(Subscription), counter)
	for range 10 {
		h.send("t", "m")
	}
	close(hold)
	h.Close()
	if !slices.Equal(counter.sizes, []int{10}) {
		t.Errorf("ten waiting messages came in batches of %v, want one of 10", counter.sizes)
	}
}

type batches struct{ sizes []int }

func (c *batches) Deliver(b *Batch, _ *Subscription) int {
	c.sizes = append(c.sizes, len(b.Frames()))
	return 0
}

func TestOverload(t *testing.T) {
	relieved := make(chan struct{}, 1)
	h := New(Config{Workers: 1, HighWater: 400, LowWater: 50, Relieved: func() { relieved <- struct{}{} }})
	hold := newGate()
	h.Subscribe("t", new(Subscription), hold)
	h.send("t", strings.Repeat("x", 60))
	if h.Overloaded() {
		t.Error("one message of two is called an overload")
	}
	<-hold.entered
	h.send("t", strings.Repeat("x", 60))
	if !h.Overloaded() {
		t.Error("two messages, where there is room for one and a half, are not called an overload")
	}
	close(hold.open)
	select {
	case <-relieved:
	case <-time.After(30 * time.Second):
		t.Fatal("nobody was told that the overload has passed")
	}
	if h.Overloaded() {
		t.Error("the overload doesn't end")
	}
	h.Close()
}

func TestObserver(t *testing.T) {
	o := &tally{}
	h := New(Config{Workers: 1, Segment: 2, Observer: o})
	for range 5 {
		new(recorder).subscribe(h, "t")
	}
	h.send("t", "hello")
	h.Close()
	if o.deliveries != 5 || o.written != 25 || o.frames != 1 {
		t.Errorf("observed %d deliveries of %d bytes and %d frames fanned out, want 5, 25 and 1", o.deliveries, o.written, o.frames)
	}
}

type tally struct{ deliveries, written, frames int }

func (o *tally) Flushed(members, frames, written int) {
	o.deliveries += members * frames
	o.written += written
}
func (o *tally) FannedOut(time.Duration) { o.frames++ }
