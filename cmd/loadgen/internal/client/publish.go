package client

import (
	"errors"

	"golang.org/x/sys/unix"

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
		for i := uint32(0); i < n; i++ {
			if i > 0 && len(out)+len(l.body)+frameOverhead > cap(out) {
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
			out = wire.AppendMaskedFrame(out, wire.OpBinary, l.body, l.mask)
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
