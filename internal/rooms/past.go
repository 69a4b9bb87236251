package rooms

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/centrifugal/protocol"

	"hubbub/internal/bus"
)

// Log keeps what is published in the channels of a namespace. *bus.Log is one.
type Log interface {
	Append(channel, key string, data []byte, done func(offset uint64, err error))
	Read(ctx context.Context, channel string) (bus.Past, error)
	Remove(ctx context.Context, channel string) (last uint64, err error)
	Follow(ctx context.Context, f bus.Follower) error
	Epoch() string
}

// past is what this process knows of the publications of a channel that has a log. The log is read when
// somebody asks, once for all who do at the time, and from then on the follower keeps the past up to date for
// as long as anybody is subscribed. Guarded by the lock of the channel's shard.
type past struct {
	told  bool // the next two are true
	epoch string
	top   uint64 // an offset that subscribers have everything up to, and whoever comes next begins at

	whole bool                    // what follows is true too; otherwise it was forgotten
	floor uint64                  // after it, nothing is missing in kept
	gone  uint64                  // the last one that is known to be missing, 0 for none
	kept  []*protocol.Publication // in order; they don't change: others look at them without the lock
	bytes int                     // that they take
	used  time.Time

	asked   bool // the log is to be read, for those who wait
	reading bool // it is being read
	stale   bool // what is being read isn't true any more
	early   []*protocol.Publication
	waiting []func(error)

	due    uint64        // an offset that was acknowledged by this process
	behind []func(error) // those who wait until the follower is there
	giveUp *time.Timer   // for them

	// Where there are deltas: the last publication, to which the next is one, and those who don't have it.
	last  *protocol.Publication
	fresh []*subscription
}

const (
	readTimeout = 5 * time.Second
	maxReaders  = 16 // of logs, at a time
	// Publications are forgotten when nobody has asked for them for idlePast; and after crowdedPast, where a shard has
	// more than shardBytes of them.
	idlePast    = 5 * time.Second
	crowdedPast = time.Second
	shardBytes  = 1 << 20
)

// consult has f called, with the lock of the channel's shard held, as soon as its past is told, and is whole unless less will
// do: at once, or later by way of later. What f returns is called without the lock. If the log can't be
// read, f gets no channel and the lock isn't held.
func (r *Rooms) consult(name string, log Log, want wanted, later func(func()), f func(*channel, error) func()) {
	if after := r.tryConsult(name, log, want, later, f); after != nil {
		after()
	}
}

func (r *Rooms) tryConsult(name string, log Log, want wanted, later func(func()), f func(*channel, error) func()) func() {
	sh := r.shardOf(name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	ch := sh.open(name)
	if ch.past == nil {
		ch.past = &past{}
	}
	p := ch.past
	p.used = time.Now()
	sh.forget(p.used)
	again := func(err error) {
		later(func() {
			if err == nil {
				r.consult(name, log, want, later, f)
			} else if after := f(nil, err); after != nil {
				after()
			}
		})
	}
	if p.told && (p.whole || want.enough(p)) {
		if (p.due > p.top || want.ahead(p)) && want.patient() {
			sh.waitBehind(p, again)
			return nil
		}
		return f(ch, nil)
	}
	p.waiting = append(p.waiting, again)
	if !p.asked {
		if p.asked = r.readers.add(func() { r.read(ch, log) }); !p.asked {
			p.waiting = nil
			return func() {
				if after := f(nil, errBusy); after != nil {
					after()
				}
			}
		}
	}
	return nil
}

// errBusy is why something is not even tried.
var errBusy = errors.New("rooms: too much waits for histories")

// problemOf is what a client is told of an error.
func problemOf(err error) *protocol.Error {
	if errors.Is(err, errBusy) {
		return errTooManyRequests
	}
	return errInternal
}

// read reads a channel's past, and tells those who wait for it.
func (r *Rooms) read(ch *channel, log Log) {
	ns, _ := r.cfg.Rules.of(ch.name)
	sh, p := r.shardOf(ch.name), ch.past
	var found bus.Past
	var publications []*protocol.Publication
	for again := true; again; {
		sh.mu.Lock()
		p.reading, p.stale, p.early = true, false, nil
		sh.mu.Unlock()
		var err error
		found, publications, err = r.readLog(ch.name, log)
		sh.mu.Lock()
		again = p.stale && err == nil
		if again {
			sh.mu.Unlock()
			continue
		}
		if err == nil {
			p.learn(found, publications)
			p.limit(ns.HistorySize)
			if n := len(p.kept); ns.Delta && n > 0 {
				p.last = p.kept[n-1]
			}
			sh.bytes += p.bytes
		}
		waiting := p.waiting
		p.asked, p.reading, p.early, p.waiting = false, false, nil, nil
		sh.mu.Unlock()
		tell(waiting, err)
	}
}

func (r *Rooms) readLog(channel string, log Log) (bus.Past, []*protocol.Publication, error) {
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	r.stats.reads.Add(1)
	found, err := log.Read(ctx, channel)
	var publications []*protocol.Publication
	if err == nil {
		publications, err = publicationsOf(found.Entries)
	}
	if err != nil {
		r.complain("a channel's history could not be read", err)
	}
	return found, publications, err
}

// learn takes over what was read. Who is subscribed already gets the rest from the follower.
func (p *past) learn(found bus.Past, publications []*protocol.Publication) {
	if !p.told {
		p.told, p.epoch, p.top = true, found.Epoch, found.End
		if n := len(p.early); n > 0 {
			p.top = max(p.top, p.early[n-1].Offset)
		}
	}
	p.whole, p.floor, p.gone, p.kept, p.bytes = true, found.Whole, found.Gone, nil, 0
	for _, pub := range append(publications, p.early...) {
		if pub.Offset <= p.top && (len(p.kept) == 0 || pub.Offset > p.kept[len(p.kept)-1].Offset) {
			p.keep(pub)
		}
	}
}

// keep adds a publication that is later than all others. One without data says that the others were removed.
func (p *past) keep(pub *protocol.Publication) {
	if len(pub.Data) == 0 {
		p.kept, p.bytes, p.floor, p.gone = nil, 0, pub.Offset, pub.Offset
		return
	}
	p.kept = append(p.kept, pub)
	p.bytes += pub.SizeVT()
}

// limit drops the oldest publications beyond a number.
func (p *past) limit(keep int) {
	if n := len(p.kept) - keep; n > 0 {
		p.gone = p.kept[n-1].Offset
		p.floor = max(p.floor, p.gone)
		for i, pub := range p.kept[:n] {
			p.bytes -= pub.SizeVT()
			p.kept[i] = nil
		}
		p.kept = p.kept[n:]
	}
}

// since returns the publications after a position that aren't older than a time, and whether that is all there were. Without an
// epoch, an offset is taken for one of this epoch; and 0 for that of somebody who has never had anything.
func (p *past) since(offset uint64, epoch string, oldest time.Time) (publications []*protocol.Publication, all bool) {
	publications = p.kept
	switch {
	case epoch == "" && offset == 0:
		all = p.gone == 0
	case epoch == "" || epoch == p.epoch:
		all = offset >= p.floor && offset <= p.top
	}
	for len(publications) > 0 && publications[0].Offset <= offset {
		publications = publications[1:]
	}
	for len(publications) > 0 && publications[0].Time < oldest.UnixMilli() {
		publications, all = publications[1:], false
	}
	return publications, all
}

// forget has the shard forget what nobody has asked for lately. It does nothing most of the time.
func (sh *shard) forget(now time.Time) {
	after := idlePast
	if sh.bytes > shardBytes {
		after = crowdedPast
	}
	if now.Sub(sh.swept) < after {
		return
	}
	sh.swept, sh.bytes = now, 0
	for name, ch := range sh.channels {
		p := ch.past
		switch {
		case p == nil || p.asked || len(p.behind) > 0:
		case now.Sub(p.used) < after:
			sh.bytes += p.bytes
		case len(ch.members) == 0:
			delete(sh.channels, name)
		default:
			p.whole, p.kept, p.bytes = false, nil, 0
		}
	}
}

// follower gets what the log of a namespace takes.
type follower struct {
	rooms     *Rooms
	namespace string
}

// Follow implements bus.Follower.
func (f follower) Follow(e bus.Entry) {
	f.rooms.server.Await()
	tell(f.follow(e), nil)
}

// follow returns those who have waited for this entry, or another one.
func (f follower) follow(e bus.Entry) (waiting []func(error)) {
	r := f.rooms
	sh := r.shardOf(e.Channel)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.forget(time.Now())
	ch := sh.channels[e.Channel]
	if ch == nil || ch.past == nil {
		return nil
	}
	p := ch.past
	pub, err := publicationOf(e)
	if err != nil {
		r.complain("a channel's history has something that can't be read", err)
		return nil
	}
	ns, _ := r.cfg.Rules.of(ch.name)
	if p.reading {
		// Those before the last HistorySize won't be kept; one more tells that they were there.
		if n := ns.HistorySize + 1; len(p.early) >= 2*n {
			p.early = append([]*protocol.Publication(nil), p.early[len(p.early)-n:]...)
		}
		p.early = append(p.early, pub)
	}
	if !p.told || pub.Offset <= p.top {
		return nil
	}
	p.top = pub.Offset
	waiting = p.caughtUp()
	if p.whole {
		sh.bytes += pub.SizeVT()
		p.keep(pub)
		p.limit(ns.HistorySize)
	}
	if len(pub.Data) == 0 {
		return waiting
	}
	r.deliver(&protocol.Push{Channel: e.Channel, Pub: ns.shown(pub)})
	if ns.Delta {
		r.deliverDelta(ch, pub)
	}
	return waiting
}

// Missed implements bus.Follower: subscribers are told to come again, by which they recover what there is.
func (f follower) Missed(name string) {
	r := f.rooms
	for i := range r.shards {
		sh := &r.shards[i]
		var waiting []func(error)
		sh.mu.Lock()
		for _, ch := range sh.channels {
			if p := ch.past; p != nil && (name == "" || name == ch.name) && namespaceOf(ch.name) == f.namespace {
				p.stale = p.reading
				p.told, p.whole, p.kept, p.bytes, p.last, p.fresh, p.due = false, false, nil, 0, nil, nil, 0
				waiting = append(waiting, p.caughtUp()...)
				for _, s := range ch.members {
					s.cut()
				}
				r.stats.cut.Add(uint64(len(ch.members)))
			}
		}
		sh.mu.Unlock()
		tell(waiting, nil)
	}
}

func publicationsOf(entries []bus.Entry) ([]*protocol.Publication, error) {
	all := make([]*protocol.Publication, len(entries))
	for i, e := range entries {
		var err error
		if all[i], err = publicationOf(e); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// publicationOf returns what publish has made an entry of; with its place, and its time.
func publicationOf(e bus.Entry) (*protocol.Publication, error) {
	pub := new(protocol.Publication)
	if err := pub.UnmarshalVT(e.Data); err != nil {
		return nil, err
	}
	pub.Offset, pub.Time = e.Offset, e.Time.UnixMilli()
	return pub, nil
}

// readers do what has to wait for a log: a few at a time, and none while there is nothing to do.
type readers struct {
	mu      sync.Mutex
	waiting []func()
	running int
}

// maxWaiting is how much may wait.
const maxWaiting = 1 << 16

// add reports whether f will be done.
func (q *readers) add(f func()) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == maxWaiting {
		return false
	}
	q.waiting = append(q.waiting, f)
	if q.running < maxReaders {
		q.running++
		go q.run()
	}
	return true
}

func (q *readers) run() {
	for {
		q.mu.Lock()
		if len(q.waiting) == 0 {
			q.running--
			q.mu.Unlock()
			return
		}
		f := q.waiting[0]
		q.waiting = q.waiting[1:]
		q.mu.Unlock()
		f()
	}
}
