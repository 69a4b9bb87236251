package broadcast

import (
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultSegment is the number of subscribers to a segment. A segment is what
// workers share a topic by, and what a worker finishes before it looks at the
// express lane: some 60 writes of about 8 µs make half a millisecond.
const DefaultSegment = 64

const shards = 64

// Observer is told what the workers did. Its methods are called by several
// workers at a time, often, and must be quick.
type Observer interface {
	// Flushed: a batch of so many frames went to so many members, and so many
	// bytes of it were written at once.
	Flushed(members, frames, written int)
	// FannedOut: the last segment has served a frame, so long after it was
	// published.
	FannedOut(took time.Duration)
}

// Config sets up a Hub.
type Config struct {
	Workers  int      // goroutines that write, beside one for small topics; at least 1
	Threads  bool     // each of them keeps a thread to itself, and Go has a processor for all
	OnThread func()   // each of the Workers calls it at first, with a thread to itself in any case; may be nil
	Segment  int      // subscribers to a segment; 0 means DefaultSegment
	Observer Observer // may be nil
	Encoder  Encoder  // for Sinks that ask for a Batch in another encoding
	// HighWater is the number of bytes published and not yet served, what it
	// takes to keep them included, above which Overloaded reports true;
	// LowWater is where Relieved is called. Zero means no bound.
	HighWater, LowWater int64
	// Relieved is called when an overload has passed, by a worker or, with the
	// topic locked, by a publisher: it must not block nor publish.
	Relieved   func()
	Neighbours Neighbours // may be nil
}

// Neighbours are processes that share the machine's processors with a Hub's own. The
// methods are called by many goroutines, often, with locks held: they must not block.
type Neighbours interface {
	SetBusy(busy bool) // the Hub is Busy, or isn't any more
	Hurry()            // the Hub has a message for a topic of one segment here
	Hurried() bool     // one of the processes has had one a moment ago
}

// nobody is who observes a Hub, and who its neighbours are, where there are none.
type nobody struct{}

func (nobody) Flushed(int, int, int)   {}
func (nobody) FannedOut(time.Duration) {}
func (nobody) SetBusy(bool)            {}
func (nobody) Hurry()                  {}
func (nobody) Hurried() bool           { return false }

// Hub holds the topics and serves them. All methods may be called from any
// goroutine; none waits for a subscriber.
type Hub struct {
	// Static after construction.
	segment   int
	observer  Observer
	encode    Encoder
	high, low int64
	relieved  func()
	seed      maphash.Seed

	runq runQueue
	wg   sync.WaitGroup

	pending    atomic.Int64
	overloaded atomic.Bool

	shard [shards]shard
}

type shard struct {
	mu     sync.RWMutex // guards the map; taken before a topic's lock
	topics map[string]*Topic
}

// Topic is a name and who is subscribed to it. It exists while it has
// subscribers.
type Topic struct {
	name string

	mu       sync.Mutex // guards what follows, and orders what is posted to the segments
	segments []*segment
	filling  *segment // where the last subscriber went
	size     int
	queued   []*segment // scratch of Publish
}

// New starts a Hub. The caller has to Close it.
func New(c Config) *Hub {
	h := &Hub{
		segment:  c.Segment,
		observer: c.Observer,
		encode:   c.Encoder,
		high:     c.HighWater,
		low:      c.LowWater,
		relieved: c.Relieved,
		seed:     maphash.MakeSeed(),
	}
	if h.segment == 0 {
		h.segment = DefaultSegment
	}
	if h.observer == nil {
		h.observer = nobody{}
	}
	for i := range h.shard {
		h.shard[i].topics = map[string]*Topic{}
	}
	if c.Neighbours == nil {
		c.Neighbours = nobody{}
	}
	h.runq.init(c.Threads, c.Neighbours)
	for range max(1, c.Workers) {
		h.wg.Go(func() { h.work(c) })
	}
	h.wg.Go(func() { h.express(c) })
	return h
}

// work serves both lanes.
func (h *Hub) work(c Config) {
	w := newWorker(h, c.Threads || c.OnThread != nil, courtesyOf(c))
	if c.OnThread != nil {
		c.OnThread()
	}
	served := 0
	for {
		s, express := h.runq.pop(served)
		if s == nil {
			return
		}
		w.express = express
		h.serve(w, s)
		served = 0
		if express {
			served = max(1, w.served)
		}
	}
}

// express serves the express lane while all workers are busy. Beside a giant topic they
// use up the time that the kernel gives their threads, and are made to wait for more,
// in the middle of a segment too; a thread that has slept gets it soon.
func (h *Hub) express(c Config) {
	w := newWorker(h, c.Threads, courtesyOf(c))
	w.express = true
	for {
		s := h.runq.popExpress()
		if s == nil {
			return
		}
		h.serve(w, s)
	}
}

// serve has w deliver one batch of what s has, and puts s back if there is more.
func (h *Hub) serve(w *worker, s *segment) {
	if w.serve(s) {
		h.runq.push(s.topic.small(), s)
	}
}

// Close serves what has been published and ends the workers. Nothing may be
// published after it.
func (h *Hub) Close() {
	h.runq.close()
	h.wg.Wait()
}

func (h *Hub) shardOf(topic string) *shard {
	return &h.shard[maphash.String(h.seed, topic)%shards]
}

// small reports whether the topic's segment goes to the express lane.
func (t *Topic) small() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.segments) <= 1
}

// Subscribe has sink receive what is published to topic from now on. sub must
// be fresh: a worker may still hold it long after an Unsubscribe.
func (h *Hub) Subscribe(topic string, sub *Subscription, sink Sink) {
	sh := h.shardOf(topic)
	sh.mu.Lock()
	t := sh.topics[topic]
	if t == nil {
		t = &Topic{name: topic}
		sh.topics[topic] = t
	}
	t.mu.Lock()
	sh.mu.Unlock()
	defer t.mu.Unlock()

	s := t.roomy(h.segment)
	s.size++
	t.size++
	sub.sink, sub.seg = sink, s
	s.change(join, sub)
}

// roomy returns a segment with room for another member.
func (t *Topic) roomy(limit int) *segment {
	if t.filling != nil && t.filling.size < limit {
		return t.filling
	}
	for _, s := range t.segments {
		if s.size < limit {
			t.filling = s
			return s
		}
	}
	t.filling = &segment{topic: t}
	if len(t.segments) > 0 { // it will be full, too
		t.filling.members = make([]*Subscription, 0, limit)
	}
	t.segments = append(t.segments, t.filling)
	return t.filling
}

// Unsubscribe ends a subscription: sub is no longer Active when it returns.
// Not being subscribed is no error. Calls that concern the same sub must not
// overlap; see Sink.
func (h *Hub) Unsubscribe(sub *Subscription) {
	s := sub.seg
	if s == nil {
		return
	}
	sub.seg = nil
	t := s.topic
	sh := h.shardOf(t.name)
	sh.mu.Lock()
	t.mu.Lock()
	s.size--
	t.size--
	if t.size == 0 {
		delete(sh.topics, t.name)
	}
	sh.mu.Unlock()
	if s.size == 0 && len(t.segments) > 1 {
		i := slices.Index(t.segments, s)
		t.segments = slices.Delete(t.segments, i, i+1)
		if t.filling == s {
			t.filling = t.segments[0]
		}
	}
	s.change(leave, sub)
	t.mu.Unlock()
}

// Publish hands f to everyone subscribed to topic. The caller keeps its
// reference; a frame can be published once.
func (h *Hub) Publish(topic string, f *Frame) {
	sh := h.shardOf(topic)
	sh.mu.RLock()
	t := sh.topics[topic]
	sh.mu.RUnlock()
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(t.segments)
	f.born = now()
	f.left.Store(int32(n))
	f.cost = int64(f.Len() + FrameCost + n*entrySize)
	if p := h.pending.Add(f.cost); h.high > 0 && p > h.high {
		h.overloaded.Store(true)
		h.relieve(h.pending.Load()) // the workers may have been faster
	}
	t.queued = t.queued[:0]
	for _, s := range t.segments {
		f.Retain()
		if s.publish(f) {
			t.queued = append(t.queued, s)
		}
	}
	if len(t.queued) > 0 {
		h.runq.push(n == 1, t.queued...)
	}
}

// served takes note that one more segment is done with f, and lets go of it.
func (h *Hub) served(f *Frame) {
	if f.left.Add(-1) == 0 {
		h.observer.FannedOut(time.Duration(now() - f.born))
		h.relieve(h.pending.Add(-f.cost))
	}
	f.Release()
}

// relieve ends an overload if no more than the low-water mark is pending.
func (h *Hub) relieve(pending int64) {
	if pending <= h.low && h.overloaded.Load() && h.overloaded.CompareAndSwap(true, false) && h.relieved != nil {
		h.relieved()
	}
}

// Busy reports whether a large fan-out is under way, of which at least so much is left
// that the workers have something to do for a while.
func (h *Hub) Busy() bool { return h.runq.busy.Load() }

// Overloaded reports whether more is waiting to be served than the high-water
// mark allows. Publishers should pause until Relieved is called.
func (h *Hub) Overloaded() bool { return h.overloaded.Load() }

// Active reports whether sub is subscribed. It must not overlap with Subscribe
// and Unsubscribe.
func (sub *Subscription) Active() bool { return sub.seg != nil }

// Topic returns the name of what sub is subscribed to, and whether it is. It
// must not overlap with Subscribe and Unsubscribe.
func (sub *Subscription) Topic() (name string, ok bool) {
	if sub.seg == nil {
		return "", false
	}
	return sub.seg.topic.name, true
}

// Subscribers returns the number of subscriptions to topic.
func (h *Hub) Subscribers(topic string) int {
	sh := h.shardOf(topic)
	sh.mu.RLock()
	t := sh.topics[topic]
	sh.mu.RUnlock()
	if t == nil {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.size
}

// Topics returns the number of topics, which is that of names with at least
// one subscriber.
func (h *Hub) Topics() (n int) {
	for i := range h.shard {
		sh := &h.shard[i]
		sh.mu.RLock()
		n += len(sh.topics)
		sh.mu.RUnlock()
	}
	return n
}
