package client

import (
	"errors"

	"golang.org/x/sys/unix"

	"hubbub/cmd/loadgen/internal/ledger"
	"hubbub/cmd/loadgen/internal/payload"
	"hubbub/cmd/loadgen/internal/plan"
	"hubbub/internal/wire"
)

// publisher is a connection that sends.
type publisher struct {
	conn *conn
	id   int
	next uint32 // sequence number of the next message: how many have been sent
	back uint32 // closed model: one more than the highest that came back
	due  uint32 // open model: how many may have been sent by now

	answers *ledger.Book // of which messages there is an answer; nil if the protocol has none
}

// unanswered returns how many messages of p, which may be nil, have no answer.
func (p *publisher) unanswered() uint32 {
	if p == nil || p.answers == nil {
		return 0
	}
	return p.answers.Missing(0, p.next)
}

// begin sets the time of the first message and of the end.
func (l *lane) begin(start, end int64) { l.start, l.end = start, end }

// release lets the first due messages of the run leave, those that publishers
// of this lane have to send.
func (l *lane) release(due int) {
	for _, p := range l.pubs {
		// Message i is number i/Publishers of publisher i mod Publishers.
		p.due = uint32((due - p.id + l.plan.Publishers - 1) / l.plan.Publishers)
		l.pump(p)
	}
}

func (l *lane) pumpAll() {
	for _, p := range l.pubs {
		l.pump(p)
	}
}

// allowed returns how many messages p may send now.
func (l *lane) allowed(p *publisher, now int64) uint32 {
	if l.frozen || p.conn.st != open {
		return 0
	}
	if l.plan.Open() {
		return max(p.due, p.next) - p.next
	}
	if l.start == 0 || now < l.start || now >= l.end {
		return 0
	}
	return p.back + uint32(l.plan.Window) - p.next
}

// pump sends what p may send, as many messages per system call as there are,
// until its socket is full.
func (l *lane) pump(p *publisher) {
	for l.rest[p.conn] == nil {
		now := l.clk.Now()
		n := l.allowed(p, now)
		if n == 0 {
			return
		}
		out := l.loop.WriteScratch()[:0]
		var message []byte
		for i := uint32(0); i < n; i++ {
			if i > 0 && len(out)+len(message)+frameOverhead > cap(out) { // the next one is no shorter
				break
			}
			intended := now
			if l.plan.Open() {
				intended = l.start + int64(l.plan.Messages().At(l.plan.Message(p.id, p.next)))
				l.late.Record(now - intended)
			}
			topic := 0
			if l.plan.Mode == plan.Fanout {
				topic = p.id % l.plan.Topics
			}
			l.codec.Put(l.body, payload.Header{
				Publisher: uint32(p.id), Topic: uint32(topic), Seq: p.next, Intended: intended,
			})
			message = l.proto.publication(p, topic, l.body)
			out = wire.AppendMaskedFrame(out, l.op, message, l.mask)
			p.next++
			l.count.Sent++
		}
		l.send(p.conn, out)
		if p.conn.st != open {
			return
		}
	}
}

// frameOverhead is what the largest frame header takes, mask included.
const frameOverhead = 14

// acknowledged enters the server's answer to a publisher's message: that it took
// it, or why it refused to.
func (c *conn) acknowledged(seq uint32, refused error) {
	l := c.lane
	if c.pub == nil || seq >= c.pub.next || c.pub.answers.Record(0, seq) == ledger.Duplicate {
		c.lose("the server broke the protocol: it answered what it wasn't asked")
		return
	}
	if refused != nil {
		l.count.Refused++
		l.fail("publish: " + refused.Error())
	} else {
		l.count.Acknowledged++
	}
	if l.onComplete != nil {
		l.outstanding--
		l.checkComplete()
	}
}

// say sends a message of the protocol's.
func (c *conn) say(p []byte) {
	l := c.lane
	l.send(c, wire.AppendMaskedFrame(l.loop.WriteScratch()[:0], l.op, p, l.mask))
}

// send writes to a connection, or keeps what its socket doesn't take until it
// is writable.
func (l *lane) send(c *conn, p []byte) {
	if rest := l.rest[c]; rest != nil {
		l.rest[c] = append(rest, p...)
		return
	}
	n, err := l.sys.Write(int(c.fd), p)
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		c.lose(reason(err))
		return
	}
	if n == len(p) {
		return
	}
	l.rest[c] = append([]byte(nil), p[n:]...)
	if err := l.loop.Mod(int(c.fd), toWrite); err != nil {
		c.lose(err.Error())
	}
}

// writable goes on with what a socket didn't take before.
func (c *conn) writable() {
	l := c.lane
	rest := l.rest[c]
	n, err := l.sys.Write(int(c.fd), rest)
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		c.lose(reason(err))
		return
	}
	if n < len(rest) {
		l.rest[c] = rest[n:]
		return
	}
	delete(l.rest, c)
	if err := l.loop.Mod(int(c.fd), toRead); err != nil {
		c.lose(err.Error())
		return
	}
	if c.pub != nil {
		l.pump(c.pub)
	}
}

// unsent returns how many messages are due but have not left altogether.
func (l *lane) unsent() (n int) {
	for _, p := range l.pubs {
		if p.conn.st != open {
			continue
		}
		if l.plan.Open() {
			n += int(max(p.due, p.next) - p.next)
		}
		if l.rest[p.conn] != nil {
			n++
		}
	}
	return n
}

// freeze ends sending and returns how much each publisher has sent.
func (l *lane) freeze() []Sent {
	l.frozen = true
	if l.storm != nil {
		l.storm.freeze()
	}
	var out []Sent
	for _, p := range l.pubs {
		if p.next > 0 {
			out = append(out, Sent{p.id, p.next})
		}
	}
	return out
}
