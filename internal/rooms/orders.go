package rooms

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/centrifugal/protocol"

	"hubbub"
)

// Target says which clients an order is for: those of a user, or one of them.
type Target struct {
	User   string   `json:"user"`
	Client string   `json:"client"` // "" for all of the user's
	Except []string `json:"except"` // clients
}

// order is what a backend has all processes do with some clients. One of its parts is set.
type order struct {
	Target
	Subscribe   *granted    `json:"subscribe"`
	Unsubscribe string      `json:"unsubscribe"` // a channel
	Disconnect  *disconnect `json:"disconnect"`
	Refresh     *lifetime   `json:"refresh"`
}

// granted is a subscription that a client gets without asking.
type granted struct {
	Channel string `json:"channel"`
	Info    []byte `json:"info"`
	Data    []byte `json:"data"`
}

// lifetime is when a connection expires.
type lifetime struct {
	At   time.Time `json:"at"` // zero for never
	Info []byte    `json:"info"`
}

// Subscribe subscribes clients to a channel. They are told, with data; others are told info of them.
func (r *Rooms) Subscribe(to Target, channel string, info, data []byte) *protocol.Error {
	if _, err := r.namespace(channel); err != nil {
		return err
	}
	if len(info) > 0 && !json.Valid(info) || len(data) > 0 && !json.Valid(data) {
		return errBadRequest
	}
	return r.order(order{Target: to, Subscribe: &granted{channel, info, data}})
}

// Unsubscribe ends subscriptions to a channel.
func (r *Rooms) Unsubscribe(to Target, channel string) *protocol.Error {
	if _, err := r.namespace(channel); err != nil {
		return err
	}
	return r.order(order{Target: to, Unsubscribe: channel})
}

// Disconnect ends connections. Clients come back after codes from 3000 to 3499 and 4000 to 4499, and not after those from 3500 to
// 3999 and 4500 to 4999; 0 is for one of the latter.
func (r *Rooms) Disconnect(to Target, code uint16, reason string) *protocol.Error {
	d := disconnectForced
	if code != 0 {
		d = disconnect{code, reason}
	}
	if d.Code < 3000 || d.Code > 4999 || len(d.Reason) > 123 || !utf8.ValidString(d.Reason) { // RFC 6455 sections 7.4.2 and 5.5.1
		return errBadRequest
	}
	return r.order(order{Target: to, Disconnect: &d})
}

// Refresh has connections expire at another time, zero for never; at once if it has passed.
func (r *Rooms) Refresh(to Target, at time.Time, info []byte) *protocol.Error {
	if len(info) > 0 && !json.Valid(info) {
		return errBadRequest
	}
	return r.order(order{Target: to, Refresh: &lifetime{at, info}})
}

// order has all processes obey.
func (r *Rooms) order(o order) *protocol.Error {
	if r.cfg.Peers == nil {
		r.obey(o)
		return nil
	}
	if err := r.cfg.Peers.Send(nameOrder, encoded(o)); err != nil {
		r.complain("an order could not be sent", err)
		return errInternal
	}
	return nil
}

// each calls f with every client that has connected, on its loop, and waits for that.
func (r *Rooms) each(f func(*client)) {
	r.server.Each(r.path, func(c *hubbub.Conn) {
		if c, ok := c.Session().(*client); ok && c.connected {
			f(c)
		}
	})
}

// obey does with this process's clients what is ordered.
func (r *Rooms) obey(o order) {
	r.each(func(c *client) {
		if c.user() != o.User || o.Client != "" && c.name() != o.Client || len(o.Except) > 0 && slices.Contains(o.Except, c.name()) {
			return
		}
		if c.held == nil {
			c.obey(o)
		} else if len(c.held.orders) < maxOrders {
			c.held.orders = append(c.held.orders, func() { c.obey(o) })
		}
	})
}

// obey does what is ordered for this client.
func (c *client) obey(o order) {
	switch {
	case o.Subscribe != nil:
		c.give(o.Subscribe)
	case o.Unsubscribe != "":
		if s := c.in(o.Unsubscribe); s != nil {
			c.expel(s, unsubscribeServer)
		}
	case o.Disconnect != nil:
		c.end(*o.Disconnect)
	case o.Refresh != nil:
		c.prolong(*o.Refresh)
	}
}

// give subscribes a client that hasn't asked.
func (c *client) give(g *granted) {
	ns, err := c.rooms.namespace(g.Channel)
	if err != nil || c.in(g.Channel) != nil || len(c.subs) >= c.rooms.cfg.MaxChannels || ns.Binary && c.format == formatJSON {
		return
	}
	t := turn{client: c}
	s := c.join(g.Channel, &subscriptionExtra{info: g.Info, given: true}, ns.JoinLeave, false)
	t.begin(&joining{s: s, ns: ns}, func(result *protocol.SubscribeResult, err *protocol.Error) *protocol.Reply {
		if err != nil {
			return nil
		}
		return &protocol.Reply{Push: &protocol.Push{Channel: g.Channel, Subscribe: &protocol.Subscribe{
			Recoverable: result.Recoverable, Positioned: result.Positioned, Epoch: result.Epoch, Offset: result.Offset, Data: g.Data,
		}}}
	})
	t.flush()
}

// prolong gives a connection another end.
func (c *client) prolong(l lifetime) {
	if !l.At.IsZero() && time.Now().After(l.At) {
		c.end(disconnectExpired)
		return
	}
	who := identity{user: c.user(), expire: l.At}
	if old := c.who.Load(); old != nil {
		who.info = old.info
	}
	if len(l.Info) > 0 {
		who.info = l.Info
	}
	c.who.Store(&who)
	t := turn{client: c}
	t.reply(&protocol.Reply{Push: &protocol.Push{Refresh: &protocol.Refresh{Expires: !l.At.IsZero(), Ttl: ttl(l.At)}}})
	t.flush()
}

// obeyData is obey for what another process has sent.
func (r *Rooms) obeyData(data []byte) {
	var o order
	if err := json.Unmarshal(data, &o); err != nil {
		r.complain("another process has sent what can't be read", fmt.Errorf("an order: %w", err))
		return
	}
	r.obey(o)
}
