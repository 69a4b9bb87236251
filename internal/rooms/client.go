package rooms

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/centrifugal/protocol"

	"hubbub"
)

// client is a connection's session. Its fields belong to the connection's loop, but for what says
// otherwise.
type client struct {
	rooms *Rooms
	conn  *hubbub.Conn

	// Static once it is connected; members of a channel are read by others, with the shard's lock.
	id        [16]byte
	format    format
	connected bool
	who       atomic.Pointer[identity] // nil for who hasn't said

	subs   []*subscription
	held   *held       // while it has to be answered before anything else; nil otherwise
	waits  int         // how many answers wait for histories
	asking atomic.Bool // who is in a channel, of other processes
}

// newID makes an identifier, a UUID of version 4 (RFC 9562 section 5.4).
func newID() (id [16]byte) {
	_, _ = rand.Read(id[:]) // never fails
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}

// name is the client's identifier as others see it.
func (c *client) name() string {
	var text [36]byte
	hex.Encode(text[:8], c.id[:4])
	text[8] = '-'
	hex.Encode(text[9:13], c.id[4:6])
	text[13] = '-'
	hex.Encode(text[14:18], c.id[6:8])
	text[18] = '-'
	hex.Encode(text[19:23], c.id[8:10])
	text[23] = '-'
	hex.Encode(text[24:], c.id[10:])
	return string(text[:])
}

// info is what others are told of the client.
func (c *client) info() *protocol.ClientInfo {
	info := &protocol.ClientInfo{Client: c.name()}
	if who := c.who.Load(); who != nil {
		info.User, info.ConnInfo = who.user, who.info
	}
	return info
}

// user is "" for anonymous ones.
func (c *client) user() string {
	if who := c.who.Load(); who != nil {
		return who.user
	}
	return ""
}

// in returns the client's subscription to a channel, nil if it has none.
func (c *client) in(channel string) *subscription {
	for _, s := range c.subs {
		if s.channel.name == channel {
			return s
		}
	}
	return nil
}

// turn is what answers a message of a client: replies gather in it.
type turn struct {
	client *client
	out    []byte
	ended  bool
	spent  int // bytes of answers, and what takes as long as so many
}

// turns are spare ones, with their buffers.
var turns = sync.Pool{New: func() any { return new(turn) }}

// A turn ends when so much is spent: the rest of the client's commands has to wait until others have had theirs.
const (
	maxSpent    = 256 << 10
	costOfPast  = 16 << 10 // asking what was published, or who is there
	costOfToken = 8 << 10
)

// A turn's replies go out when they have reached flushOut bytes; keepOut is up to where its buffer is kept.
const (
	flushOut = 64 << 10
	keepOut  = 16 << 10
)

// receive handles a message of the client's.
func (c *client) receive(as hubbub.MessageType, message []byte) {
	if as != c.format.message() {
		c.end(disconnectBadRequest)
		return
	}
	if c.held != nil {
		c.hold(message)
		return
	}
	t := turns.Get().(*turn)
	t.client, t.out, t.ended, t.spent = c, t.out[:0], false, 0
	rest, err := c.format.commands(message, c.rooms.cfg.MaxCommands, t.handle)
	t.flush()
	switch {
	case t.ended:
	case c.held != nil:
		c.keep(rest)
	case t.spent >= maxSpent && len(rest) > 0:
		c.held = new(held)
		c.keep(rest)
		c.release()
	case errors.Is(err, errTooMany):
		c.end(disconnectTooMany)
	case err != nil:
		c.end(disconnectBadRequest)
	}
	if cap(t.out) > keepOut {
		t.out = nil
	}
	t.client = nil
	turns.Put(t)
}

// later has f run on the client's loop soon, with a turn of its own.
func (c *client) later(f func(t *turn)) {
	c.conn.Do(func() {
		t := turn{client: c}
		f(&t)
		t.flush()
	})
}

// handle handles a command, and reports whether there is time for another.
func (t *turn) handle(cmd *protocol.Command) bool {
	if t.client.conn.Closing() { // nobody would get the answer
		t.ended = true
		return false
	}
	return t.command(cmd) && t.spent < maxSpent
}

// flush sends what has gathered.
func (t *turn) flush() {
	if len(t.out) > 0 {
		t.client.conn.Send(t.client.format.message(), t.out)
		t.out = t.out[:0]
	}
}

// reply adds a reply, and sends what has gathered if that is much.
func (t *turn) reply(r *protocol.Reply) {
	t.add(r)
	if len(t.out) >= flushOut {
		t.flush()
	}
}

// add adds a reply, if there is one. One that can't be encoded is our mistake.
func (t *turn) add(r *protocol.Reply) {
	if r == nil {
		return
	}
	out, err := t.client.format.append(t.out, r)
	if err != nil {
		t.client.rooms.complain("a reply could not be sent", err)
		out, _ = t.client.format.append(t.out, &protocol.Reply{Id: r.Id, Error: errInternal})
	}
	t.spent += len(out) - len(t.out)
	t.out = out
}

// end has the turn end the connection, after what was answered before.
func (t *turn) end(d disconnect) bool {
	t.flush()
	t.client.end(d)
	t.ended = true
	return false
}

func (c *client) end(d disconnect) { c.conn.Close(d.Code, d.Reason) }

// ping asks whether the client is there. One that hasn't said who it is by now never will.
func (c *client) ping() {
	if !c.connected {
		c.end(disconnectStale)
		return
	}
	c.expire(time.Now())
	c.conn.Send(c.format.message(), c.format.ping())
}

// gone ends the client's subscriptions.
func (c *client) gone() {
	for _, s := range c.subs {
		c.rooms.leave(s)
	}
	c.subs = nil
}
