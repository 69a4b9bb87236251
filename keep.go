package hubbub

import (
	"container/list"
	"context"
	"slices"
	"sync"

	"hubbub/internal/broadcast"
)

// keeper holds the last messages of topics: those that PublishKept has sent, for SubscribeLast. What isn't kept
// doesn't come near it.
//
// One lock orders keeping and publishing against subscribing, so that what a subscriber gets of the past and what
// comes then have neither a gap nor anything twice between them. It is held for as long as it takes to post a
// message or a subscription to a topic, never while something is written.
type keeper struct {
	// Static after construction.
	hub      *broadcast.Hub
	messages int // of a topic, at most
	limit    int // bytes, of all
	factor   int // what a message may take in bytes for each it has: its compressed forms are kept beside it
	bus      asker
	ctx      context.Context // done when the server ends
	end      context.CancelFunc
	asked    sync.WaitGroup // the goroutine that asks, if there is one

	mu      sync.Mutex // guards what follows; taken after a connection's lock and before the topic index's
	topics  map[string]*list.Element
	recent  list.List // of *past, the one that was published to last in front
	bytes   int
	dropped uint64 // topics that were given up for others
	ended   bool

	asking  bool
	queue   []string            // topics that the others are to be asked about
	waiting map[string][]func() // by topic: called when they have been
}

// past is what is kept of a topic.
type past struct {
	topic    string
	messages []keptMessage // oldest first
	settled  bool          // the other servers have been asked for what came before
}

// keptMessage is one of them. Its ID is the same in all servers of a bus.
type keptMessage struct {
	id    uint64
	frame *broadcast.Frame
}

// pastCost is about what a past takes in bytes beside its messages and its name, which is there twice.
const pastCost = 256

func newKeeper(cfg Config, hub *broadcast.Hub) *keeper {
	k := &keeper{
		hub:      hub,
		messages: cfg.KeepMessages,
		limit:    cfg.KeepBytes,
		factor:   1,
		topics:   map[string]*list.Element{},
		waiting:  map[string][]func(){},
	}
	if cfg.Compress {
		k.factor = broadcast.Encodings
	}
	k.ctx, k.end = context.WithCancel(context.Background())
	return k
}

// publish hands a message to the subscribers of its topic, and keeps it.
func (k *keeper) publish(topic string, id uint64, t MessageType, payload []byte) {
	f := newLastingFrame(t, payload)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.hub.Publish(topic, f)
	if k.ended {
		f.Release()
		return
	}
	p := k.openLocked(topic)
	k.addLocked(p, keptMessage{id, f})
	k.trimLocked()
}

// openLocked returns the past of a topic, as that which is to be dropped last.
func (k *keeper) openLocked(topic string) *past {
	e := k.topics[topic]
	if e != nil {
		k.recent.MoveToFront(e)
		return e.Value.(*past)
	}
	p := &past{topic: topic}
	k.topics[topic] = k.recent.PushFront(p)
	k.bytes += p.cost()
	return p
}

// findLocked returns the past of a topic, nil if there is none.
func (k *keeper) findLocked(topic string) *past {
	if e := k.topics[topic]; e != nil {
		return e.Value.(*past)
	}
	return nil
}

func (p *past) cost() int { return pastCost + 2*len(p.topic) }

func (k *keeper) costOf(m keptMessage) int { return k.factor*m.frame.Len() + broadcast.FrameCost }

// addLocked puts m at the end, and takes over the reference to its frame.
func (k *keeper) addLocked(p *past, m keptMessage) {
	p.messages = append(p.messages, m)
	k.bytes += k.costOf(m)
	if len(p.messages) > k.messages {
		k.forgetLocked(p, 1)
	}
}

// forgetLocked lets go of the n oldest messages.
func (k *keeper) forgetLocked(p *past, n int) {
	for _, m := range p.messages[:n] {
		k.bytes -= k.costOf(m)
		m.frame.Release()
	}
	p.messages = slices.Delete(p.messages, 0, n)
}

// trimLocked keeps to the limit: whole topics go first, and if one is left, its oldest messages.
func (k *keeper) trimLocked() {
	for k.bytes > k.limit {
		e := k.recent.Back()
		if e == nil {
			return
		}
		p := e.Value.(*past)
		if k.recent.Len() == 1 && len(p.messages) > 0 {
			k.forgetLocked(p, 1)
			continue
		}
		k.dropLocked(e)
		k.dropped++
	}
}

// dropLocked forgets a topic.
func (k *keeper) dropLocked(e *list.Element) {
	p := e.Value.(*past)
	k.forgetLocked(p, len(p.messages))
	k.bytes -= p.cost()
	k.recent.Remove(e)
	delete(k.topics, p.topic)
}

// lastLocked returns the last n messages of a topic, or as many of them as take no more than so many bytes. The
// caller releases them.
func (k *keeper) lastLocked(topic string, n, room int) []*broadcast.Frame {
	p := k.findLocked(topic)
	if p == nil {
		return nil
	}
	from := len(p.messages)
	for from > max(0, len(p.messages)-n) {
		if room -= p.messages[from-1].frame.Len() + broadcast.FrameCost; room < 0 {
			break
		}
		from--
	}
	frames := make([]*broadcast.Frame, 0, len(p.messages)-from)
	for _, m := range p.messages[from:] {
		m.frame.Retain()
		frames = append(frames, m.frame)
	}
	return frames
}

// held returns how many topics something is kept of, how many bytes that counts as, and how many were dropped.
func (k *keeper) held() (topics, bytes int, dropped uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.recent.Len(), k.bytes, k.dropped
}

// close lets go of everything.
func (k *keeper) close() {
	k.end()
	k.mu.Lock()
	k.ended = true
	k.queue = nil
	clear(k.waiting)
	for k.recent.Len() > 0 {
		k.dropLocked(k.recent.Back())
	}
	k.mu.Unlock()
	k.asked.Wait()
}
