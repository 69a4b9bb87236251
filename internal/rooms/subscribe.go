package rooms

import (
	"slices"
	"time"

	"github.com/centrifugal/protocol"
)

// subscription is a client's to a channel.
type subscription struct {
	client  *client
	channel *channel
	extra   *subscriptionExtra // what most don't have; static
	slot    int32              // among the channel's members; guarded by the shard's lock, as the next
	state   subscriptionState
	joins   bool // it wants notices; static, as the next
	delta   bool // it gets deltas
}

type subscriptionExtra struct {
	info   []byte    // what others are told of the subscriber; static
	given  bool      // it has been subscribed without asking; static
	expire time.Time // zero for never; owned by the client's loop
}

// gone is the slot of who isn't a member any more.
const gone = -1

type subscriptionState uint8

const (
	waitingSub subscriptionState = iota // for the channel's past: the client has no answer yet
	settledSub
	cutSub // the client is being told to subscribe again
)

// maxInfo is how much a client may have others told of it, in bytes.
const maxInfo = 1 << 10

// deltaType is the one there is: https://fossil-scm.org/home/doc/trunk/www/delta_format.wiki
const deltaType = "fossil"

// rejectUnrecovered is a flag of a subscribe request: an error is wanted rather than a subscription with a gap.
const rejectUnrecovered = 2

func (t *turn) subscribe(id uint32, req *protocol.SubscribeRequest) {
	c := t.client
	extra := &subscriptionExtra{}
	ns, err := c.rooms.namespace(req.Channel)
	switch {
	case err != nil:
	case c.in(req.Channel) != nil:
		err = errSubscribed
	case ns.Binary && c.format == formatJSON:
		err = errDenied
	case len(c.subs) >= c.rooms.cfg.MaxChannels:
		err = errLimit
	case ns.SubscriberInfo && (len(req.Data) > maxInfo || len(req.Data) > 0 && !ns.takes(req.Data, c.format)):
		err = errBadRequest
	case req.Token != "":
		t.spent += costOfToken
		told, problem := c.admitted(req.Token, req.Channel)
		extra.info, extra.expire, err = jsonOnly(told.Info), told.ExpireAt, problem
	case !ns.Subscribe.allows(c, false):
		err = errDenied
	}
	if err != nil {
		t.fail(id, err)
		return
	}
	if ns.SubscriberInfo && len(req.Data) > 0 && extra.info == nil {
		extra.info = slices.Clone(req.Data)
	}
	if extra.info == nil && extra.expire.IsZero() {
		extra = nil // as with most
	}
	s := c.join(own(req.Channel), extra, ns.JoinLeave && req.JoinLeave, ns.Delta && req.Delta == deltaType)
	j := &joining{s: s, ns: ns, from: position{req.Recover, req.Offset, own(req.Epoch), req.Flag&rejectUnrecovered != 0}}
	t.begin(j, func(result *protocol.SubscribeResult, err *protocol.Error) *protocol.Reply {
		if err != nil {
			return &protocol.Reply{Id: id, Error: err}
		}
		if extra != nil {
			result.Expires, result.Ttl = !extra.expire.IsZero(), ttl(extra.expire)
		}
		return &protocol.Reply{Id: id, Subscribe: result}
	})
}

// join makes a subscription, which begins to take effect later.
func (c *client) join(channel string, extra *subscriptionExtra, joins, delta bool) *subscription {
	s := &subscription{client: c, extra: extra, joins: joins, delta: delta}
	c.rooms.enter(s, channel)
	c.subs = append(c.subs, s)
	return s
}

// begin has a subscription take effect, as soon as what is needed of its channel's past is at hand. answer makes what the client
// gets then, with a result or an error.
func (t *turn) begin(j *joining, answer func(*protocol.SubscribeResult, *protocol.Error) *protocol.Reply) {
	s, name := j.s, j.s.channel.name
	refuse := func(t *turn, err *protocol.Error) {
		if t.client.drop(s) {
			t.client.rooms.leave(s)
		}
		t.reply(answer(nil, err))
	}
	log := t.client.rooms.log(name)
	if log == nil {
		unlock := t.client.rooms.lock([]*joining{j})
		t.add(answer(&protocol.SubscribeResult{}, nil))
		after := t.settleLocked(s, true)
		unlock()
		after()
		return
	}
	t.consult(name, log, j, func(t *turn, ch *channel, err error) func() {
		switch {
		case err != nil:
			refuse(t, problemOf(err))
			return nil
		case s.slot == gone: // it has left meanwhile
			t.reply(answer(nil, errInternal))
			return nil
		}
		result := &protocol.SubscribeResult{Delta: s.delta}
		if j.ns.Recovery && !t.client.recover(ch.past, j.ns, j.from, result) {
			return func() { refuse(t, errUnrecoverable) }
		}
		based := len(result.Publications) > 0
		if s.delta {
			result.Publications = asDeltas(t.client.format, result.Publications)
		}
		t.add(answer(result, nil))
		return t.settleLocked(s, !s.delta || based)
	})
}

// consult is Rooms.consult for a client: what is called later has a turn of its own. So many of a client's may wait as it may
// have channels.
func (t *turn) consult(name string, log Log, want wanted, f func(*turn, *channel, error) func()) {
	c := t.client
	if c.waits >= c.rooms.cfg.MaxChannels {
		if after := f(t, nil, errBusy); after != nil {
			after()
		}
		return
	}
	c.waits++
	later := func(g func()) {
		c.later(func(of *turn) {
			t = of
			g()
		})
	}
	c.rooms.consult(name, log, want, later, func(ch *channel, err error) func() {
		c.waits--
		return f(t, ch, err)
	})
}

// settleLocked has a subscription take effect, with the lock of the channel's shard held. What has gathered in the turn goes out
// before anything of the channel does, and nothing that is published after it is missed. based says that the client can take
// what comes next, though it be a difference. What settleLocked returns is for when the lock isn't held.
func (t *turn) settleLocked(s *subscription, based bool) func() {
	c, name := t.client, s.channel.name
	s.state = settledSub
	switch {
	case !based:
		t.flush()
		s.channel.past.await(s, len(s.channel.members))
	case len(t.out) == 0:
		c.conn.Subscribe(s.topic())
	default:
		c.conn.SubscribeWith(s.topic(), c.format.message(), t.out)
		t.out = t.out[:0]
	}
	if s.joins {
		c.conn.Subscribe(c.format.topic(name, comings))
	}
	members := len(s.channel.members)
	return func() {
		if c.rooms.tells(name, members) {
			c.rooms.push(&protocol.Push{Channel: name, Join: &protocol.Join{Info: s.info()}})
		}
	}
}

// topic is where the channel's publications come from.
func (s *subscription) topic() string {
	if s.delta {
		return s.client.format.topic(s.channel.name, deltas)
	}
	return s.client.format.topic(s.channel.name, publications)
}

// info is what others in its channel are told of a subscriber.
func (s *subscription) info() *protocol.ClientInfo {
	info := s.client.info()
	if s.extra != nil {
		info.ChanInfo = s.extra.info
	}
	return info
}

// silence has nothing of the channel come any more.
func (s *subscription) silence() {
	s.client.conn.Unsubscribe(s.topic())
	if s.joins {
		s.client.conn.Unsubscribe(s.client.format.topic(s.channel.name, comings))
	}
}

// cut has the client subscribe again, for something may have been missed: from here on nothing comes, so that it recovers from
// before that. The lock of the channel's shard is held.
func (s *subscription) cut() {
	if s.state != settledSub {
		return
	}
	s.state = cutSub
	s.silence()
	s.client.conn.Do(func() { s.client.expel(s, unsubscribeInsufficient) })
}

// expel ends a subscription, and tells the client why.
func (c *client) expel(s *subscription, why *protocol.Unsubscribe) {
	if !c.drop(s) {
		return
	}
	if why == unsubscribeInsufficient && s.extra != nil && s.extra.given {
		c.rooms.leave(s)
		c.end(disconnectInsufficient) // it would not subscribe again: it never has
		return
	}
	s.silence()
	c.rooms.leave(s)
	t := turn{client: c}
	t.reply(&protocol.Reply{Push: &protocol.Push{Channel: s.channel.name, Unsubscribe: why}})
	t.flush()
}

// drop takes s out of the client's subscriptions, and reports whether it was there.
func (c *client) drop(s *subscription) bool {
	i := slices.Index(c.subs, s)
	if i < 0 {
		return false
	}
	c.subs = slices.Delete(c.subs, i, i+1)
	return true
}

func (t *turn) unsubscribe(id uint32, req *protocol.UnsubscribeRequest) {
	if s := t.client.in(req.Channel); s != nil { // not to be subscribed is no error
		t.client.drop(s)
		s.silence()
		t.client.rooms.leave(s)
	}
	t.reply(&protocol.Reply{Id: id, Unsubscribe: &protocol.UnsubscribeResult{}})
}
