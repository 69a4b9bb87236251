package client

import (
	"time"

	"hubbub/cmd/loadgen/internal/pacer"
	"hubbub/cmd/loadgen/internal/plan"
	"hubbub/cmd/loadgen/internal/recorder"
	"hubbub/internal/poller"
	"hubbub/internal/wire"
)

// leaveTimeout is how long a passing connection waits for the server to close
// first, before it does so itself.
const leaveTimeout = time.Second

// churn is the errand of a lane's passing connections: on schedule, each shakes
// hands and says goodbye. Where too many are at it, those that are due wait,
// and their handshakes count from when they were due. A nil churn has none.
type churn struct {
	lane     *lane
	share    plan.Share
	loop     int           // number of the lane
	schedule pacer.Pacer   // of the whole process
	after    time.Duration // begins so long after the run's start
	limit    int           // how many there may be at a time

	conns     map[*conn]*poller.Timer // those there are
	due       int                     // how many may have begun by now
	begun     int                     // how many have
	beginning bool
	handshake recorder.Histogram // due to open
}

func newChurn(l *lane, share plan.Share, loop int) *churn {
	ch := &churn{
		lane: l, share: share, loop: loop,
		limit:     max(1, l.plan.ChurnedAtOnce()/share.Loops),
		conns:     make(map[*conn]*poller.Timer),
		handshake: recorder.NewHistogram(),
	}
	ch.schedule, ch.after = l.plan.ChurnedBy(share)
	return ch
}

// ofProcess returns a passing connection's number within the process.
func (ch *churn) ofProcess(at int) int { return ch.loop + at*ch.share.Loops }

// number returns a passing connection's number among those of the run.
func (ch *churn) number(at int) int { return ch.share.Index + ch.ofProcess(at)*ch.share.Of }

// release lets the process's first due passing connections begin, those that
// are this lane's.
func (ch *churn) release(due int) {
	ch.due = (due - ch.loop + ch.share.Loops - 1) / ch.share.Loops
	ch.more()
}

// more begins as many as may be at it.
func (ch *churn) more() {
	l := ch.lane
	if ch.beginning { // called by one that ended at once: the caller goes on
		return
	}
	ch.beginning = true
	defer func() { ch.beginning = false }()
	for n := 0; ch.begun < ch.due && len(ch.conns) < ch.limit && !l.closed && !l.closing; n++ {
		if n == dialsPerTurn {
			l.loop.Post(task(ch.more))
			return
		}
		due := l.start + int64(ch.after+ch.schedule.At(ch.ofProcess(ch.begun)))
		c := &conn{lane: l, fd: -1, at: int32(ch.begun), kind: passing}
		l.attempt(c, ch, due)
		ch.conns[c] = &c.dial.timer
		ch.begun++
		try(c)
	}
}

// opened implements errand.
func (ch *churn) opened(c *conn, now int64, _ []byte) {
	l := ch.lane
	if l.closed {
		ch.left(c)
		return
	}
	l.count.ChurnOpened++
	ch.handshake.Record(now - c.dial.began)
	c.dial, c.st = nil, leaving
	l.loop.SetTimer(ch.conns[c], leaveTimeout, func() { ch.left(c) })
	l.send(c, wire.AppendMaskedFrame(l.loop.WriteScratch()[:0], wire.OpClose,
		wire.AppendClosePayload(nil, wire.CloseNormal, ""), l.mask))
	l.checkComplete()
}

// refused implements errand.
func (ch *churn) refused(c *conn, r refusal) {
	l, d := ch.lane, c.dial
	if r.transient && d.tries < maxAttempts && !l.closed {
		l.loop.SetTimer(&d.timer, firstBackoff<<(d.tries-1), func() { try(c) })
		return
	}
	if !l.closed {
		l.count.ChurnFailed++
		l.fail("churn: " + r.reason)
	}
	ch.left(c)
	l.checkComplete()
}

// left ends a passing connection. Another may take its place.
func (ch *churn) left(c *conn) {
	ch.end(c)
	ch.more()
}

func (ch *churn) end(c *conn) {
	ch.lane.loop.ClearTimer(ch.conns[c])
	delete(ch.conns, c)
	c.end(lost)
}

// pending returns how many connections that are due are neither open nor
// failed.
func (ch *churn) pending() int {
	if ch == nil {
		return 0
	}
	return ch.due - ch.lane.count.ChurnOpened - ch.lane.count.ChurnFailed
}

// settle enters what is pending as failed when the account is closed.
func (ch *churn) settle() {
	if ch == nil {
		return
	}
	l := ch.lane
	l.count.Churned = ch.due
	if n := ch.pending(); n > 0 {
		l.count.ChurnFailed += n
		l.fails["churn: not open when the run ended"] += n
	}
}

// abandon ends those that are left.
func (ch *churn) abandon() {
	if ch == nil {
		return
	}
	for c := range ch.conns {
		ch.end(c)
	}
}
