package rooms

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/centrifugal/protocol"

	"hubbub/internal/tokens"
)

// Verifier tells what is in tokens that are genuine. *tokens.Verifier is one.
type Verifier interface {
	Connect(token string) (tokens.Connection, error)
	Subscribe(token string) (tokens.Subscription, error)
}

// identity is who a client is, by its token. It doesn't change; a client can get another.
type identity struct {
	user   string
	info   []byte
	expire time.Time // zero for never
}

// jsonOnly returns what a token says of a client if that is JSON, which all clients can be told.
func jsonOnly(info []byte) []byte {
	if !json.Valid(info) {
		return nil
	}
	return info
}

// expiryGrace is how long a client has to bring another token after its own has expired.
const expiryGrace = 25 * time.Second

// expired reports whether something that expires at a time, zero for never, has to end.
func expired(at, now time.Time) bool { return !at.IsZero() && now.After(at.Add(expiryGrace)) }

// ttl is in how many seconds something expires, 0 for never.
func ttl(at time.Time) uint32 {
	if at.IsZero() {
		return 0
	}
	return uint32(max(1, math.Ceil(time.Until(at).Seconds())))
}

// rejected returns what a client is answered whose token is no good, and no answer if the connection has to end.
func (r *Rooms) rejected(err error) *protocol.Error {
	switch {
	case errors.Is(err, tokens.ErrExpired):
		return errTokenExpired
	case errors.Is(err, tokens.ErrUnavailable):
		return errInternal
	}
	r.cfg.Logger.Debug("a client's token is refused", "error", err)
	return nil
}

// pingSlack is by how much longer than they should the server's pings may take; clients add 10 s of their own.
const pingSlack = 1.25

func (t *turn) connect(cmd *protocol.Command) bool {
	c, cfg := t.client, &t.client.rooms.cfg
	if cmd.Id == 0 || c.connected {
		return t.end(disconnectBadRequest)
	}
	var told tokens.Connection
	switch req := cmd.Connect; {
	case req.Token != "" && cfg.Verifier == nil:
		return t.end(disconnectInvalidToken) // no key is known to check it with
	case req.Token != "":
		t.spent += costOfToken
		var err error
		if told, err = cfg.Verifier.Connect(req.Token); err != nil {
			answer := c.rooms.rejected(err)
			if answer == nil {
				return t.end(disconnectInvalidToken)
			}
			t.fail(cmd.Id, answer)
			return true
		}
		c.who.Store(&identity{told.User, jsonOnly(told.Info), told.ExpireAt})
	case !cfg.Anonymous:
		return t.end(disconnectDenied)
	}
	c.id, c.connected = newID(), true
	result := &protocol.ConnectResult{
		Client:  c.name(),
		Version: cfg.Version,
		Ping:    uint32(math.Ceil(pingSlack * cfg.Ping.Seconds())),
		Pong:    true,
		Expires: !told.ExpireAt.IsZero(),
		Ttl:     ttl(told.ExpireAt),
	}
	given := c.given(told, cmd.Connect.Subs)
	if len(given) == 0 {
		t.reply(&protocol.Reply{Id: cmd.Id, Connect: result})
		return true
	}
	result.Subs = make(map[string]*protocol.SubscribeResult)
	c.held = new(held)
	t.greet(cmd.Id, result, given, 0)
	return false
}

// given makes the subscriptions that a client has by its token, without asking. from has where the client is in them.
func (c *client) given(told tokens.Connection, from map[string]*protocol.SubscribeRequest) (all []*joining) {
	subs := told.Subs
	if len(subs) == 0 {
		subs = make(map[string]tokens.SubscriptionOptions)
		for _, name := range told.Channels {
			subs[name] = tokens.SubscriptionOptions{}
		}
	}
	for name, options := range subs {
		ns, err := c.rooms.namespace(name)
		if err != nil || len(all) == c.rooms.cfg.MaxChannels || ns.Binary && c.format == formatJSON {
			c.rooms.complain("a token has a channel that can't be subscribed to", errors.New(name))
			continue
		}
		j := &joining{ns: ns}
		if at := from[name]; at != nil {
			j.from = position{recover: at.Recover, offset: at.Offset, epoch: own(at.Epoch)}
		}
		j.s = c.join(name, &subscriptionExtra{info: jsonOnly(options.Info), given: true}, ns.JoinLeave, false)
		all = append(all, j)
	}
	return all
}

// maxGreets is how often the pasts of all channels may be consulted until they are there together.
const maxGreets = 5

// greet answers a client that has connected, and subscribes it to the channels that it has been given: as soon as the pasts of all
// are at hand, so that the answer says where they are, and everything after that follows it.
func (t *turn) greet(id uint32, result *protocol.ConnectResult, given []*joining, tries int) {
	c := t.client
	given = slices.DeleteFunc(given, func(j *joining) bool { return !slices.Contains(c.subs, j.s) }) // a backend has taken it back
	if tries == maxGreets {
		t.end(disconnectServerError)
		return
	}
	for _, j := range given {
		name := j.s.channel.name
		log := c.rooms.log(name)
		if log == nil {
			continue
		}
		atOnce, waits := true, true
		t.consult(name, log, j, func(t *turn, _ *channel, err error) func() {
			waits = false
			switch {
			case atOnce:
				return nil
			case err != nil:
				return func() { t.end(disconnectServerError) }
			}
			return func() { t.greet(id, result, given, tries) }
		})
		if atOnce = false; waits {
			return
		}
	}
	unlock := c.rooms.lock(given)
	for _, j := range given {
		if !j.readyLocked(c.rooms) {
			unlock()
			t.greet(id, result, given, tries+1)
			return
		}
	}
	var after []func()
	for _, j := range given {
		r := &protocol.SubscribeResult{}
		if j.ns.Recovery {
			c.recover(j.s.channel.past, j.ns, j.from, r)
		}
		result.Subs[j.s.channel.name] = r
	}
	t.add(&protocol.Reply{Id: id, Connect: result})
	for _, j := range given {
		after = append(after, t.settleLocked(j.s, true)) // the first takes the answer along
	}
	unlock()
	for _, f := range after {
		f()
	}
	c.release()
}

func (t *turn) refresh(id uint32, req *protocol.RefreshRequest) bool {
	c := t.client
	who := c.who.Load()
	if c.rooms.cfg.Verifier == nil || who == nil {
		t.fail(id, errNotAvailable)
		return true
	}
	t.spent += costOfToken
	told, err := c.rooms.cfg.Verifier.Connect(req.Token)
	if err == nil && told.User != who.user {
		return t.end(disconnectInvalidToken)
	}
	if err != nil {
		answer := c.rooms.rejected(err)
		if answer == nil {
			return t.end(disconnectInvalidToken)
		}
		t.fail(id, answer)
		return true
	}
	c.who.Store(&identity{told.User, jsonOnly(told.Info), told.ExpireAt})
	t.reply(&protocol.Reply{Id: id, Refresh: &protocol.RefreshResult{
		Client: c.name(), Version: c.rooms.cfg.Version, Expires: !told.ExpireAt.IsZero(), Ttl: ttl(told.ExpireAt),
	}})
	return true
}

// admitted returns what a subscription token says, if it is for this client and channel.
func (c *client) admitted(token, channel string) (tokens.Subscription, *protocol.Error) {
	if c.rooms.cfg.Verifier == nil {
		return tokens.Subscription{}, errDenied
	}
	told, err := c.rooms.cfg.Verifier.Subscribe(token)
	if err == nil && (told.User != c.user() || told.Channel != channel || told.Client != "" && told.Client != c.name()) {
		return told, errDenied
	}
	if err != nil {
		answer := c.rooms.rejected(err)
		if answer == nil {
			answer = errDenied
		}
		return told, answer
	}
	return told, nil
}

func (t *turn) subRefresh(id uint32, req *protocol.SubRefreshRequest) {
	c := t.client
	if c.rooms.cfg.Verifier == nil {
		t.fail(id, errNotAvailable)
		return
	}
	s := c.in(req.Channel)
	if s == nil || s.extra == nil || s.extra.expire.IsZero() {
		t.fail(id, errBadRequest)
		return
	}
	t.spent += costOfToken
	told, err := c.admitted(req.Token, req.Channel)
	if err != nil {
		t.fail(id, err)
		return
	}
	s.extra.expire = told.ExpireAt
	t.reply(&protocol.Reply{Id: id, SubRefresh: &protocol.SubRefreshResult{Expires: !told.ExpireAt.IsZero(), Ttl: ttl(told.ExpireAt)}})
}

// expire ends what has expired.
func (c *client) expire(now time.Time) {
	if who := c.who.Load(); who != nil && expired(who.expire, now) {
		c.end(disconnectExpired)
		return
	}
	for _, s := range slices.Clone(c.subs) {
		if s.extra != nil && expired(s.extra.expire, now) {
			c.expel(s, unsubscribeExpired)
		}
	}
}
