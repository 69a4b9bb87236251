package rooms

import (
	"context"
	"math"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/centrifugal/protocol"
)

// command handles one of a client's commands. It returns false if the connection has been ended.
func (t *turn) command(cmd *protocol.Command) bool {
	c := t.client
	switch {
	case cmd.Connect != nil:
		return t.connect(cmd)
	case !c.connected:
		return t.end(disconnectBadRequest)
	case cmd.Send != nil:
		return t.end(disconnectNotAvailable) // there is nobody who would take it
	case cmd.Id == 0:
		return empty(cmd) || t.end(disconnectBadRequest)
	case cmd.Subscribe != nil:
		t.subscribe(cmd.Id, cmd.Subscribe)
	case cmd.Unsubscribe != nil:
		t.unsubscribe(cmd.Id, cmd.Unsubscribe)
	case cmd.Publish != nil:
		t.publish(cmd.Id, cmd.Publish)
	case cmd.Presence != nil:
		t.presence(cmd.Id, cmd.Presence.Channel, false)
	case cmd.PresenceStats != nil:
		t.presence(cmd.Id, cmd.PresenceStats.Channel, true)
	case cmd.Ping != nil:
		t.reply(&protocol.Reply{Id: cmd.Id, Ping: &protocol.PingResult{}})
	case cmd.Rpc != nil, cmd.History != nil, cmd.Refresh != nil, cmd.SubRefresh != nil:
		t.fail(cmd.Id, errNotAvailable)
	default:
		t.fail(cmd.Id, errNoMethod)
	}
	return true
}

// empty reports whether a command without a number asks for nothing: it is the answer to a ping.
func empty(cmd *protocol.Command) bool {
	return cmd.Subscribe == nil && cmd.Unsubscribe == nil && cmd.Publish == nil && cmd.Presence == nil && cmd.PresenceStats == nil &&
		cmd.History == nil && cmd.Ping == nil && cmd.Rpc == nil && cmd.Refresh == nil && cmd.SubRefresh == nil
}

// fail answers a command with an error.
func (t *turn) fail(id uint32, err *protocol.Error) { t.reply(&protocol.Reply{Id: id, Error: err}) }

// pingSlack is by how much longer than they should the server's pings may take; clients add 10 s of their own.
const pingSlack = 1.25

func (t *turn) connect(cmd *protocol.Command) bool {
	c, cfg := t.client, &t.client.rooms.cfg
	switch {
	case cmd.Id == 0 || c.connected:
		return t.end(disconnectBadRequest)
	case cmd.Connect.Token != "":
		return t.end(disconnectInvalidToken) // no key is known to check it with
	case !cfg.Anonymous:
		return t.end(disconnectDenied)
	}
	c.id, c.connected = newID(), true
	t.reply(&protocol.Reply{Id: cmd.Id, Connect: &protocol.ConnectResult{
		Client:  c.name(),
		Version: cfg.Version,
		Ping:    uint32(math.Ceil(pingSlack * cfg.Ping.Seconds())),
		Pong:    true,
	}})
	return true
}

// channel checks a channel's name and returns its rules, or what is wrong.
func (t *turn) channel(name string) (Namespace, *protocol.Error) {
	if name == "" || len(name) > t.client.rooms.cfg.MaxName || !utf8.ValidString(name) {
		return Namespace{}, errBadRequest
	}
	ns, ok := t.client.rooms.cfg.Rules.of(name)
	if !ok {
		return ns, errUnknownChannel
	}
	return ns, nil
}

func (t *turn) subscribe(id uint32, req *protocol.SubscribeRequest) {
	c := t.client
	ns, err := t.channel(req.Channel)
	switch {
	case err != nil:
	case c.in(req.Channel) != nil:
		err = errSubscribed
	case !ns.Subscribe.allows(c, false) || req.Token != "" || ns.Binary && c.format == formatJSON:
		err = errDenied
	case len(c.subs) >= c.rooms.cfg.MaxChannels:
		err = errLimit
	}
	if err != nil {
		t.fail(id, err)
		return
	}
	name := own(req.Channel)
	s, members := c.rooms.enter(c, name, ns.JoinLeave && req.JoinLeave)
	c.subs = append(c.subs, s)
	t.add(&protocol.Reply{Id: id, Subscribe: &protocol.SubscribeResult{}})
	// Nothing of the channel comes before the reply, and nothing that is published after it is missed.
	c.conn.SubscribeWith(c.format.topic(name, false), c.format.message(), t.out)
	t.out = t.out[:0]
	if s.joins {
		c.conn.Subscribe(c.format.topic(name, true))
	}
	if c.rooms.tells(name, members) {
		c.rooms.push(&protocol.Push{Channel: name, Join: &protocol.Join{Info: c.info()}})
	}
}

func (t *turn) unsubscribe(id uint32, req *protocol.UnsubscribeRequest) {
	c := t.client
	if s := c.in(req.Channel); s != nil { // not to be subscribed is no error
		name := s.channel.name
		c.subs = slices.DeleteFunc(c.subs, func(o *subscription) bool { return o == s })
		c.conn.Unsubscribe(c.format.topic(name, false))
		if s.joins {
			c.conn.Unsubscribe(c.format.topic(name, true))
		}
		c.rooms.leave(s)
	}
	t.reply(&protocol.Reply{Id: id, Unsubscribe: &protocol.UnsubscribeResult{}})
}

func (t *turn) publish(id uint32, req *protocol.PublishRequest) {
	c := t.client
	ns, err := t.channel(req.Channel)
	switch {
	case err != nil:
	case !ns.Publish.allows(c, c.in(req.Channel) != nil):
		err = errDenied
	case !ns.takes(req.Data, c.format):
		err = errBadRequest
	}
	if err != nil {
		t.fail(id, err)
		return
	}
	if !c.rooms.push(&protocol.Push{Channel: req.Channel, Pub: &protocol.Publication{Data: req.Data, Info: c.info()}}) {
		t.fail(id, errInternal)
		return
	}
	t.reply(&protocol.Reply{Id: id, Publish: &protocol.PublishResult{}})
}

// presenceTimeout is how long the other processes have to say who is in a channel.
const presenceTimeout = time.Second

func (t *turn) presence(id uint32, channel string, stats bool) {
	c := t.client
	ns, err := t.channel(channel)
	switch {
	case err != nil:
	case ns.Presence == "" || ns.Presence == Nobody:
		err = errNotAvailable
	case !ns.Presence.allows(c, c.in(channel) != nil):
		err = errDenied
	}
	if err != nil {
		t.fail(id, err)
		return
	}
	ask := c.rooms.presence
	if stats {
		ask = c.rooms.presenceStats
	}
	if c.rooms.cfg.Peers == nil {
		t.reply(ask(context.Background(), id, channel))
		return
	}
	if c.asking.Swap(true) {
		t.fail(id, errTooManyRequests)
		return
	}
	select {
	case c.rooms.asking <- struct{}{}:
	default:
		c.asking.Store(false)
		t.fail(id, errTooManyRequests)
		return
	}
	channel = own(channel)
	go func() {
		defer func() {
			<-c.rooms.asking
			c.asking.Store(false)
		}()
		ctx, cancel := context.WithTimeout(context.Background(), presenceTimeout)
		defer cancel()
		late := turn{client: c}
		late.reply(ask(ctx, id, channel))
		late.flush()
	}()
}
