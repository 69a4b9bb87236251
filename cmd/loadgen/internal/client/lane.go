package client

import (
	"maps"
	"time"

	"hubbub/cmd/loadgen/internal/clock"
	"hubbub/cmd/loadgen/internal/ledger"
	"hubbub/cmd/loadgen/internal/payload"
	"hubbub/cmd/loadgen/internal/plan"
	"hubbub/cmd/loadgen/internal/recorder"
	"hubbub/internal/poller"
	"hubbub/internal/wire"
)

// maxKept is how many messages of a run have their spread kept one by one.
const maxKept = 2000

// maxReasons bounds how many different reasons of failure are told apart.
const maxReasons = 64

type task = poller.Func

// lane is one event loop with the connections on it. All its methods must be
// called on the loop, but those marked otherwise.
type lane struct {
	// Static after construction.
	plan   *plan.Plan
	clk    clock.Clock
	loop   *poller.Loop
	sys    poller.Sys
	secure *secure // is sys, where connections are encrypted; nil otherwise
	codec  *payload.Codec
	proto  protocol
	op     wire.OpCode // of its messages
	rules  wire.Rules
	greet  wire.ClientHandshake
	first  int // number within the run of the process's first connection
	nstrm  int // streams per connection
	limit  int // attempts to connect that may be under way
	// How long an attempt may take.
	patience time.Duration
	// The same for all frames: masking protects proxies from what scripts in
	// browsers can send (RFC 6455 section 10.3), and here is neither.
	mask [4]byte

	// Owned by the loop: connecting.
	commons   *commons
	conns     []conn     // the lane's own, then those that it has taken
	granted   int        // how many of its own may have been dialled by now
	dialled   int        // how many have been
	inFlight  int        // attempts under way
	retrying  int        // waiting for another attempt
	silent    int        // attempts that timed out since a connection last opened
	dialing   bool       // dialMore is going to run
	batch     []*conn    // scratch of dialMore
	attempts  []*attempt // spare ones
	onSettled func()

	// Owned by the loop: receiving.
	book  *ledger.Book
	dec   *wire.Decoder // for a connection that holds none; always settled
	live  int           // connections that are open
	count Counts
	fails map[string]int
	pause pauses

	// Owned by the loop: publishing.
	pubs       []*publisher
	start, end int64
	frozen     bool             // nothing more is sent
	rest       map[*conn][]byte // output that a socket didn't take
	body       []byte           // payload being sent

	// Owned by the loop: finishing.
	totals      []uint32
	outstanding int64 // deliveries that can still come
	onComplete  func()
	closed      bool // the account is: what arrives now isn't entered
	closing     bool
	onShut      func()

	churn *churn // nil without
	storm *storm // nil but in that mode

	handshake, latency, late, lag recorder.Histogram
	messages                      *recorder.Messages
}

// newLane may be called anywhere.
func newLane(p *plan.Plan, share plan.Share, i int, s *commons, clk clock.Clock) (*lane, error) {
	loop, err := poller.New(nil)
	if err != nil {
		return nil, err
	}
	own := ofLane(i, share.Loops, s.first)
	l := &lane{
		plan:      p,
		clk:       clk,
		loop:      loop,
		sys:       loop.Sys(),
		codec:     payload.NewCodec(p.Run, p.Protocol.Text()),
		rules:     wire.Rules{Client: true, MaxMessage: maxMessage},
		greet:     wire.ClientHandshake{Host: p.Host, Key: p.Key()},
		first:     share.First,
		nstrm:     p.Streams(),
		limit:     max(1, dialsInFlight/share.Loops),
		patience:  dialTimeout,
		commons:   s,
		conns:     make([]conn, 0, own+s.total), // which never moves
		book:      ledger.New((own + s.total) * p.Streams()),
		dec:       &wire.Decoder{},
		fails:     make(map[string]int),
		rest:      make(map[*conn][]byte),
		handshake: recorder.NewHistogram(),
		latency:   recorder.NewHistogram(),
		late:      recorder.NewHistogram(),
		lag:       recorder.NewHistogram(),
		messages:  recorder.NewMessages(maxKept),
	}
	for j := range own {
		l.admit(i + j*share.Loops)
	}
	if p.Churn > 0 {
		l.churn = newChurn(l, share, i)
	}
	if p.Mode == plan.Storm {
		l.storm = newStorm(l)
	}
	l.pause = newPauses(l, share.Of*share.Loops)
	l.proto, l.op = plain{}, wire.OpBinary
	if p.Protocol == plan.Rooms {
		l.proto, l.op = newInRooms(l), wire.OpText
	}
	copy(l.mask[:], l.greet.Key[:])
	if p.Mode.Sends() {
		l.body = make([]byte, p.Size)
		l.codec.Pad(l.body)
	}
	return l, nil
}

// ofLane returns how many of a process's first n connections are its i-th lane's: every
// so many'th.
func ofLane(i, lanes, n int) int { return (n - i + lanes - 1) / lanes }

// admit adds a connection to the lane's, by its number within the process.
func (l *lane) admit(number int) {
	c := conn{lane: l, fd: -1, at: int32(len(l.conns)), place: int32(number)}
	if l.plan.Stalled(c.number()) {
		c.kind = stalled
	}
	l.conns = append(l.conns, c)
}

// maxMessage is the largest message taken at all: a foreign one is to be
// counted as such, and one in which a server has put many publications to be
// taken apart, not to break the connection.
const maxMessage = 64 << 20

// state is where a connection is in its life.
type state uint8

const (
	waiting     state = iota // for its turn, or for another attempt
	connecting               // TCP
	handshaking              // request sent
	joining                  // the WebSocket is open, and what the protocol begins with is sent
	open
	parting // close frame sent at the end of the run, waiting for the server to close
	leaving // likewise, of a passing connection
	failed  // never opened
	lost    // was open
)

// kind is what a connection is for.
type kind uint8

const (
	member  kind = iota // stays, and reads
	stalled             // stays, and doesn't read
	passing             // comes and goes beside the others
)

// conn is one connection. 48 bytes, and as little elsewhere.
type conn struct {
	lane *lane
	dec  *wire.Decoder // nil unless a message is in the middle
	dial *attempt      // nil once it is open
	pub  *publisher    // nil unless it publishes
	fd   int32
	at   int32 // index in lane.conns, or of the lane's passing connections
	// place is the number within the process, but of a passing connection.
	place int32
	st    state
	kind  kind
	// pongs says that the protocol's own pings are to be answered.
	pongs bool
}

// number is the connection's number within the run; those that pass come behind
// the others.
func (c *conn) number() int {
	if c.kind == passing {
		return c.lane.plan.Conns + c.lane.churn.number(int(c.at))
	}
	return c.lane.first + int(c.place)
}

// end closes the connection, which is in no list afterwards.
func (c *conn) end(st state) {
	l := c.lane
	if c.fd >= 0 {
		_ = l.loop.Del(int(c.fd)) // it may never have been added
		l.sys.Close(int(c.fd))
		c.fd = -1
	}
	if c.st == open || c.st == parting {
		l.live--
	}
	if c.dec != nil {
		c.dec.Reset()
		c.dec = nil
	}
	delete(l.rest, c)
	c.st = st
}

// lose ends a connection of which the server has let go, or should have.
func (c *conn) lose(reason string) {
	l := c.lane
	switch c.st {
	case joining:
		c.over(refusal{reason: "join: " + reason, transient: true})
		return
	case leaving:
		l.churn.left(c)
		return
	}
	goodbye := c.st == parting
	c.end(lost)
	switch {
	case goodbye:
		l.checkShut()
	case c.kind == stalled:
		l.count.StalledEnded++
	case l.storm != nil:
		l.storm.lose(c, reason)
	default:
		l.count.Lost++
		l.fail("lost: " + reason)
		if l.totals != nil {
			l.outstanding -= int64(l.missing(c))
			l.checkComplete()
		}
	}
}

func (l *lane) fail(reason string) { tally(l.fails, reason) }

// tally counts a reason. Only so many are told apart.
func tally(reasons map[string]int, reason string) {
	if _, known := reasons[reason]; !known && len(reasons) >= maxReasons {
		reason = "other reasons"
	}
	reasons[reason]++
}

// missing returns how many messages c hasn't got of those sent to it, and how
// many answers to its own.
func (l *lane) missing(c *conn) (n uint32) {
	for i := range l.nstrm {
		n += l.book.Missing(int(c.at)*l.nstrm+i, l.total(c, i))
	}
	return n + c.pub.unanswered()
}

// total returns how many messages were sent on a stream of c.
func (l *lane) total(c *conn, stream int) uint32 {
	if l.plan.Mode == plan.Echo {
		if c.pub == nil {
			return 0
		}
		return c.pub.next
	}
	pub := l.plan.Topic(c.number()) + stream*l.plan.Topics
	if pub >= len(l.totals) {
		return 0
	}
	return l.totals[pub]
}

// await calls done once every delivery has come that still can.
func (l *lane) await(totals []uint32, done func()) {
	l.totals, l.onComplete, l.outstanding = totals, done, 0
	if l.totals == nil {
		l.totals = []uint32{}
	}
	for i := range l.conns {
		if c := &l.conns[i]; c.st == open && c.kind == member {
			l.outstanding += int64(l.missing(c))
		}
	}
	l.checkComplete()
}

func (l *lane) checkComplete() {
	if l.onComplete != nil && l.outstanding <= 0 && l.churn.pending() == 0 {
		l.onComplete()
		l.onComplete = nil
	}
}

// shut sends a close frame on every open connection and calls done once the
// server has closed them all.
func (l *lane) shut(done func()) {
	l.closing, l.onShut = true, done
	for i := range l.conns {
		c := &l.conns[i]
		switch c.st {
		case open:
			if c.kind == stalled { // the answer would come behind all that it hasn't read
				c.end(lost)
				continue
			}
			c.st = parting
			l.send(c, wire.AppendMaskedFrame(l.loop.WriteScratch()[:0], wire.OpClose,
				wire.AppendClosePayload(nil, wire.CloseNormal, ""), l.mask))
		case connecting, handshaking, joining, waiting:
			l.abandon(c)
		}
	}
	l.churn.abandon()
	l.checkShut()
}

func (l *lane) checkShut() {
	if l.onShut != nil && l.live == 0 {
		l.onShut()
		l.onShut = nil
	}
}

// closeAll closes what is still open; called when the loop has stopped.
func (l *lane) closeAll() {
	for i := range l.conns {
		if c := &l.conns[i]; c.fd >= 0 {
			l.sys.Close(int(c.fd))
			c.fd = -1
		}
	}
	if l.secure != nil {
		l.secure.shaking.Wait()
	}
}

func (l *lane) progress() Progress {
	p := Progress{
		Open:      l.live,
		Failed:    l.count.Failed,
		Lost:      l.count.Lost,
		Sent:      l.count.Sent,
		Delivered: l.count.Delivered,
	}
	if s := l.storm; s != nil {
		p.Losses, p.Away, p.FirstLoss = s.losses, s.away, s.first
	}
	return p
}

// result closes the lane's account and returns it; what it holds is the
// caller's.
func (l *lane) result(totals []uint32) *Result {
	l.totals, l.closed = totals, true
	l.churn.settle()
	res := newResult()
	res.Counts = l.count
	res.Counts.Pause = l.pause.length.Nano()
	for i := range l.conns {
		c := &l.conns[i]
		if c.st != open && c.st != lost || c.kind == stalled {
			continue
		}
		for s := range l.nstrm {
			total := l.total(c, s)
			res.Counts.Expected += int64(total)
			res.Counts.Missing += int64(l.book.Missing(int(c.at)*l.nstrm+s, total))
		}
	}
	for _, p := range l.pubs {
		res.Counts.Unanswered += int64(p.unanswered())
	}
	res.Failures = maps.Clone(l.fails)
	res.Handshake, res.Latency, res.Late, res.Lag = l.handshake, l.latency, l.late, l.lag
	res.Messages = l.messages
	if l.churn != nil {
		res.Churn = l.churn.handshake
	}
	if l.storm != nil {
		res.Storm = l.storm.account()
	}
	return res
}
