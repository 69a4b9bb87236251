package client

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"hubbub/cmd/loadgen/internal/rooms"
)

// protocol is what the connections of a lane speak inside their messages.
type protocol interface {
	// hello returns the message that a connection begins with; nil: none, and
	// it is ready with that.
	hello(conn int) []byte
	// publication returns the message with which a publisher sends body as its
	// next one. It is valid until the next call.
	publication(p *publisher, topic int, body []byte) []byte
	// received takes a message. What is in it is handed on: to ready or over,
	// while a connection joins, and then to deliver, acknowledged and lose.
	received(c *conn, p []byte, now int64)
}

// plain has a payload for a message, and the topic in the URL.
type plain struct{}

func (plain) hello(int) []byte                                 { return nil }
func (plain) publication(_ *publisher, _ int, b []byte) []byte { return b }
func (plain) received(c *conn, p []byte, now int64)            { c.deliver(p, now) }

// inRooms is the Centrifuge client protocol.
type inRooms struct {
	lane     *lane
	channels string // what all their names begin with, before the topic's number
	command  []byte // being sent
}

func newInRooms(l *lane) *inRooms {
	return &inRooms{lane: l, channels: strings.TrimSuffix(l.plan.TopicName(0), "0")}
}

func (r *inRooms) hello(conn int) []byte {
	return rooms.Join(r.lane.plan.TopicName(r.lane.plan.Topic(conn)), r.lane.plan.Recover > 0)
}

func (r *inRooms) publication(p *publisher, topic int, body []byte) []byte {
	r.command = rooms.AppendPublish(r.command[:0], rooms.FirstPublish+p.next, r.lane.plan.TopicName(topic), body)
	return r.command
}

func (r *inRooms) received(c *conn, p []byte, now int64) {
	for len(p) > 0 && !c.deaf() {
		m, rest, err := rooms.Next(p)
		if err != nil {
			c.lose("the server broke the protocol: " + err.Error())
			return
		}
		p = rest
		switch m.Kind {
		case rooms.Publication:
			if !r.subscribed(c, m.Channel) {
				m.Data = nil
			}
			c.deliver(m.Data, now)
		case rooms.Answer:
			r.answered(c, m)
		case rooms.Ping:
			if c.pongs {
				c.say(rooms.Pong)
			}
		case rooms.Farewell:
			c.lose(m.Why + " by the server")
		}
	}
}

// subscribed reports whether a connection has asked for a channel.
func (r *inRooms) subscribed(c *conn, channel []byte) bool {
	number, ok := bytes.CutPrefix(channel, []byte(r.channels))
	if !ok {
		return false
	}
	topic, err := strconv.Atoi(string(number))
	return err == nil && topic == r.lane.plan.Topic(c.number())
}

// answered takes the answer to a command. Those to connect and subscribe make a
// connection ready, in whatever order.
func (r *inRooms) answered(c *conn, m rooms.Message) {
	if c.st != joining || m.ID != rooms.Connect && m.ID != rooms.Subscribe {
		var refused error // not an *Error that is nil
		if m.Err != nil {
			refused = m.Err
		}
		c.acknowledged(m.ID-rooms.FirstPublish, refused)
		return
	}
	if m.Err != nil {
		command := map[uint32]string{rooms.Connect: "connect", rooms.Subscribe: "subscribe"}[m.ID]
		c.over(refusal{reason: fmt.Sprintf("the server refused to %s: %v", command, m.Err), transient: m.Err.Temporary})
		return
	}
	if m.ID == rooms.Connect {
		c.pongs = m.Pong
	} else if why := r.short(m); why != "" {
		c.over(refusal{reason: why})
		return
	}
	c.dial.answers |= m.ID // each is a bit of its own
	if c.dial.answers == rooms.Connect|rooms.Subscribe {
		c.ready(nil)
	}
}

// short enters what a connection has recovered as it subscribed, and says what
// it was short of; nothing if it has all that it was to get.
func (r *inRooms) short(m rooms.Message) string {
	l, want := r.lane, r.lane.plan.Recover
	switch {
	case want == 0:
		return ""
	case m.Recovered && m.Publications == want:
		l.count.Recovered++
		return ""
	}
	l.count.Short++
	return fmt.Sprintf("recovery: %d of %d publications came, recovered: %v", m.Publications, want, m.Recovered)
}
