package hubbub

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"hubbub/internal/broadcast"
	"hubbub/internal/poller"
	"hubbub/internal/wire"
)

// shard is an event loop and the connections that live on it. Everything in it
// belongs to the loop, but for what says otherwise.
type shard struct {
	// Static after construction.
	server *Server
	loop   *poller.Loop
	rules  [2]wire.Rules // for connections without and with compression

	accepting []*poller.Acceptor
	upgrader  *wire.Upgrader
	decide    func(wire.Agreement) error // shard.onUpgrade, made once
	opening   *Conn                      // the connection it is about
	request   Request                    // what its OnOpen sees
	head      wire.Head
	answer    []byte

	young  queue     // connections without an endpoint, in handshake
	lists  [][]*Conn // those of each endpoint
	sweeps []sweep

	clock    uint32 // in ticks; runs while an endpoint with keepalive has connections
	ticking  bool
	clocking poller.Timer

	pings    int    // in what is being read
	lastPing []byte // payload of the last one, if it isn't answered yet

	clean  *wire.Decoder // one that has settled, for whatever connection is read next
	paused []*Conn

	decoders []*wire.Decoder // spare ones
	phases   []*phase        // spare ones

	conns atomic.Int32   // all descriptors it holds; read by others to balance
	open  []atomic.Int64 // connections of each endpoint; read by others
	stats shardStats     // read by others
}

// maxSpare bounds what a shard keeps of each kind of spare object.
const maxSpare = 256

func newShard(s *Server) (*shard, error) {
	loop, err := poller.New(s.sys)
	if err != nil {
		return nil, fmt.Errorf("hubbub: starting an event loop: %w", err)
	}
	sh := &shard{
		server:   s,
		loop:     loop,
		rules:    [2]wire.Rules{{MaxMessage: s.cfg.MaxMessage}, {MaxMessage: s.cfg.MaxMessage, Deflate: true}},
		upgrader: wire.NewUpgrader(s.cfg.Compress),
		lists:    make([][]*Conn, len(s.endpoints)),
		sweeps:   make([]sweep, len(s.endpoints)),
		open:     make([]atomic.Int64, len(s.endpoints)),
		clean:    new(wire.Decoder),
	}
	sh.decide = sh.onUpgrade
	return sh, nil
}

// add puts c into its endpoint's list, or among the handshakes if it has none.
func (sh *shard) add(c *Conn) {
	if c.ep == 0 {
		sh.young.push(c)
		return
	}
	l := &sh.lists[c.ep-1]
	c.slot = int32(len(*l))
	*l = append(*l, c)
	sh.open[c.ep-1].Add(1)
	if c.endpoint().Keepalive > 0 && !sh.ticking {
		sh.startClock()
	}
}

// remove takes c out of its list, where the last one takes its place.
func (sh *shard) remove(c *Conn) {
	if c.ep == 0 {
		sh.young.remove(c)
		return
	}
	l := sh.lists[c.ep-1]
	last := len(l) - 1
	l[c.slot] = l[last]
	l[c.slot].slot = c.slot
	l[last] = nil
	sh.lists[c.ep-1] = l[:last]
	sh.open[c.ep-1].Add(-1)
}

// queue holds connections from the oldest to the newest. The links lie in their
// phases.
type queue struct {
	oldest, newest *Conn
	len            int
}

func (q *queue) push(c *Conn) {
	c.phase.older, c.phase.newer = q.newest, nil
	if q.newest != nil {
		q.newest.phase.newer = c
	} else {
		q.oldest = c
	}
	q.newest = c
	q.len++
}

func (q *queue) remove(c *Conn) {
	older, newer := c.phase.older, c.phase.newer
	if older != nil {
		older.phase.newer = newer
	} else {
		q.oldest = newer
	}
	if newer != nil {
		newer.phase.older = older
	} else {
		q.newest = older
	}
	c.phase.older, c.phase.newer = nil, nil
	q.len--
}

func (sh *shard) spareDecoder() *wire.Decoder {
	if n := len(sh.decoders); n > 0 {
		d := sh.decoders[n-1]
		sh.decoders = sh.decoders[:n-1]
		return d
	}
	return new(wire.Decoder)
}

func (sh *shard) keepDecoder(d *wire.Decoder) {
	if len(sh.decoders) < maxSpare {
		sh.decoders = append(sh.decoders, d)
	}
}

func (sh *shard) newPhase() *phase {
	if n := len(sh.phases); n > 0 {
		ph := sh.phases[n-1]
		sh.phases = sh.phases[:n-1]
		return ph
	}
	return new(phase)
}

// keepPhase takes back the phase of a connection that has opened.
func (sh *shard) keepPhase(ph *phase) {
	if len(sh.phases) < maxSpare {
		sh.phases = append(sh.phases, ph)
	}
}

// pause stops reading from a connection while more is published than the
// workers can send, until resumeAll.
func (sh *shard) pause(c *Conn) {
	c.quiet |= bitPaused
	sh.paused = append(sh.paused, c)
	c.watch()
}

func (sh *shard) resumeAll() {
	paused := sh.paused
	sh.paused = nil // who is paused again begins another list
	for _, c := range paused {
		c.quiet &^= bitPaused
		if c.state.Load() < stateClosed {
			c.watch()
		}
		if c.state.Load() == stateOpen && c.secure() != nil {
			c.read() // what crypto/tls holds isn't reported
		}
	}
}

// sweep is where the keepalive of an endpoint has got to in its list. It visits
// a few connections at every tick, each one several times in an interval, so
// that pings are spread over time and cost a connection no timer.
type sweep struct {
	next int
	owed float64 // visits due, with the fraction of one
}

// visits is how often a connection is looked at in a keepalive interval.
const visits = 4

func (sh *shard) startClock() {
	sh.ticking = true
	sh.loop.SetTimer(&sh.clocking, poller.Tick, func() {
		sh.clock++
		sh.ticking = false
		for i := range sh.sweeps {
			sh.sweep(i)
			if len(sh.lists[i]) > 0 && sh.server.endpoints[i].Keepalive > 0 {
				sh.ticking = true
			}
		}
		if sh.ticking {
			sh.startClock()
		}
	})
}

// ping asks the peer for a sign of life.
func (c *Conn) ping() {
	if c.quiet&bitSteady == 0 {
		c.control(wire.OpPing, nil)
		return
	}
	defer c.recovered()
	c.endpoint().Ping(c)
}

func (sh *shard) sweep(endpoint int) {
	keepalive := sh.server.endpoints[endpoint].Keepalive
	if keepalive == 0 {
		return
	}
	limit := uint32(keepalive / poller.Tick)
	w := &sh.sweeps[endpoint]
	l := sh.lists[endpoint]
	w.owed = min(w.owed+float64(len(l)*visits)/float64(limit), float64(len(l)))
	for ; w.owed >= 1; w.owed-- {
		l = sh.lists[endpoint]
		if len(l) == 0 {
			return
		}
		if w.next >= len(l) {
			w.next = 0
		}
		c := l[w.next]
		w.next++
		if sh.clock-c.seen < limit || c.state.Load() != stateOpen || c.quiet&bitPaused != 0 {
			continue
		}
		if c.quiet&bitPinged != 0 {
			c.read() // its answer may lie there, if the loop was held up
			if c.quiet&bitPinged != 0 && c.state.Load() == stateOpen && c.quiet&bitPaused == 0 {
				c.onDead()
			}
			continue
		}
		c.quiet |= bitPinged
		c.seen = sh.clock
		c.ping()
	}
}

// closeAll begins to close every connection.
func (sh *shard) closeAll() {
	for sh.young.oldest != nil {
		sh.young.oldest.destroy(endShutdown)
	}
	sh.closeSome(0, math.MaxInt)
}

// closeSome begins to close connections, from the end of the lists, and posts
// itself until it has come to the front: closing 100,000 at once would keep
// the loop from everything else.
func (sh *shard) closeSome(list, from int) {
	const chunk = 256
	for n := 0; n < chunk; {
		if list == len(sh.lists) {
			return
		}
		l := sh.lists[list]
		from = min(from, len(l)-1)
		if from < 0 {
			list, from = list+1, math.MaxInt
			continue
		}
		l[from].closeFor(endShutdown, wire.CloseGoingAway, "server is shutting down")
		from--
		n++
	}
	sh.loop.Post(poller.Func(func() { sh.closeSome(list, from) }))
}

// destroyAll ends every connection without further words.
func (sh *shard) destroyAll() {
	for sh.young.oldest != nil {
		sh.young.oldest.destroy(endShutdown)
	}
	for i := range sh.lists {
		for len(sh.lists[i]) > 0 {
			l := sh.lists[i]
			l[len(l)-1].destroy(endShutdown)
		}
	}
}

// shardStats are a shard's counters. Only its loop adds to them.
type shardStats struct {
	messagesIn [2]atomic.Uint64 // text, binary
	bytesIn    atomic.Uint64
	bytesOut   atomic.Uint64 // written by the loop
	handshakes atomic.Uint64
	ended      [numEndings]atomic.Uint64
	refused    [numRefusals]atomic.Uint64
}

var backlogs = sync.Pool{New: func() any { return new(broadcast.Backlog) }}

func getBacklog() *broadcast.Backlog  { return backlogs.Get().(*broadcast.Backlog) }
func putBacklog(b *broadcast.Backlog) { backlogs.Put(b) } // b is empty
