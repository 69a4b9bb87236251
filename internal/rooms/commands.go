package rooms

import (
	"context"
	"time"
	"unicode/utf8"

	"github.com/centrifugal/protocol"
)

// command handles one of a client's commands. It returns false if the next one has to wait, or the connection was
// ended.
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
	case cmd.History != nil:
		t.history(cmd.Id, cmd.History)
	case cmd.Refresh != nil:
		return t.refresh(cmd.Id, cmd.Refresh)
	case cmd.SubRefresh != nil:
		t.subRefresh(cmd.Id, cmd.SubRefresh)
	case cmd.Rpc != nil:
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

// namespace checks a channel's name and returns its rules, or what is wrong.
func (r *Rooms) namespace(channel string) (Namespace, *protocol.Error) {
	if channel == "" || len(channel) > r.cfg.MaxName || !utf8.ValidString(channel) {
		return Namespace{}, errBadRequest
	}
	ns, ok := r.cfg.Rules.of(channel)
	if !ok {
		return ns, errUnknownChannel
	}
	return ns, nil
}

func (t *turn) publish(id uint32, req *protocol.PublishRequest) {
	c := t.client
	s := c.in(req.Channel)
	ns, err := c.rooms.namespace(req.Channel)
	switch {
	case err != nil:
	case !ns.Publish.allows(c, s != nil):
		err = errDenied
	case !ns.takes(req.Data, c.format):
		err = errBadRequest
	}
	if err != nil {
		t.fail(id, err)
		return
	}
	info := c.info()
	if s != nil {
		info = s.info()
	}
	done := func(err *protocol.Error) {
		if err != nil {
			t.fail(id, err)
			return
		}
		t.reply(&protocol.Reply{Id: id, Publish: &protocol.PublishResult{}})
	}
	pub := &protocol.Publication{Data: req.Data, Info: info}
	if c.rooms.log(req.Channel) == nil {
		done(c.rooms.publish(req.Channel, pub))
		return
	}
	c.rooms.append(req.Channel, "", pub, func(_ uint64, err *protocol.Error) {
		t = &turn{client: c}
		done(err)
		t.flush()
	})
}

// presenceTimeout is how long the other processes have to say who is in a channel.
const presenceTimeout = time.Second

func (t *turn) presence(id uint32, channel string, stats bool) {
	c := t.client
	t.spent += costOfPast
	ns, err := c.rooms.namespace(channel)
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
		ctx, cancel := context.WithTimeout(context.Background(), presenceTimeout)
		defer cancel()
		reply := ask(ctx, id, channel)
		<-c.rooms.asking
		c.asking.Store(false) // before the answer goes out: whoever has it may ask again
		late := turn{client: c}
		late.reply(reply)
		late.flush()
	}()
}
