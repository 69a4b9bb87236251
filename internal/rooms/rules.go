package rooms

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/centrifugal/protocol"
)

// Who says which clients may do something in a channel.
type Who string

// Who there is to choose from.
const (
	Nobody      Who = "nobody" // what an empty one means
	Subscribers Who = "subscribers"
	Users       Who = "users"  // everybody but anonymous ones
	Anyone      Who = "anyone" // who is connected
)

// Namespace has the rules of all channels whose names begin with its own and a colon.
type Namespace struct {
	Subscribe Who `json:"subscribe,omitempty"` // users or anyone
	Publish   Who `json:"publish,omitempty"`   // subscribers, users or anyone
	Presence  Who `json:"presence,omitempty"`  // may ask who is there; subscribers, users or anyone
	History   Who `json:"history,omitempty"`   // may ask what was published; subscribers, users or anyone

	JoinLeave      bool `json:"join_leave,omitempty"`      // subscribers that ask for it are told who comes and goes
	SubscriberInfo bool `json:"subscriber_info,omitempty"` // what a client sends along as it subscribes is what others are told of it
	Lossy          bool `json:"lossy,omitempty"`           // subscribers who don't keep up go without what is published, rather than being disconnected
	Binary         bool `json:"binary,omitempty"`          // publications may be anything but then clients have to use Protobuf; JSON otherwise

	HistorySize  int      `json:"history_size,omitempty"`  // publications that are kept of each channel; 0 for none
	HistoryTTL   Duration `json:"history_ttl,omitempty"`   // for how long; 0 for as long as there is room
	HistoryBytes int64    `json:"history_bytes,omitempty"` // that the namespace may take on disk; 0 for 1 GiB
	Recovery     bool     `json:"recovery,omitempty"`      // who comes back gets what it has missed
	Delta        bool     `json:"delta,omitempty"`         // subscribers that ask for it get differences (fossil)
}

// Duration is a time.Duration that looks like "90s" or "24h" in JSON.
type Duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// Rules are the namespaces by their names; channels without a colon are in "".
type Rules map[string]Namespace

// DefaultRules are those that nobody has to ask for: a chat for everybody.
var DefaultRules = Rules{"chat": {
	Subscribe: Anyone, Publish: Subscribers, Presence: Subscribers, History: Subscribers, JoinLeave: true, SubscriberInfo: true,
	HistorySize: 30, HistoryTTL: Duration(7 * 24 * time.Hour), Recovery: true,
}}

// ParseRules reads rules in JSON: an object that has a Namespace for each name.
func ParseRules(text string) (Rules, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	var r Rules
	if err := d.Decode(&r); err != nil {
		return nil, fmt.Errorf("rules of channels: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("rules of channels: there is something behind them")
	}
	for name, ns := range r {
		if strings.Contains(name, ":") || !utf8.ValidString(name) {
			return nil, fmt.Errorf("rules of channels: the namespace %q: a name is UTF-8 without a colon", name)
		}
		for _, rule := range []struct {
			key     string
			who     Who
			allowed []Who
		}{
			{"subscribe", ns.Subscribe, []Who{Nobody, Users, Anyone}},
			{"publish", ns.Publish, []Who{Nobody, Subscribers, Users, Anyone}},
			{"presence", ns.Presence, []Who{Nobody, Subscribers, Users, Anyone}},
			{"history", ns.History, []Who{Nobody, Subscribers, Users, Anyone}},
		} {
			if !rule.who.among(rule.allowed) {
				return nil, fmt.Errorf("rules of channels: %s of the namespace %q is %q; it has to be one of %s", rule.key, name, rule.who, list(rule.allowed))
			}
		}
		if err := ns.checkHistory(); err != nil {
			return nil, fmt.Errorf("rules of channels: the namespace %q: %w", name, err)
		}
	}
	return r, nil
}

// The most that can be kept of a channel, and the least of a namespace.
const (
	maxHistorySize  = 10_000
	minHistoryBytes = 1 << 20
)

func (ns Namespace) checkHistory() error {
	switch {
	case ns.HistorySize < 0 || ns.HistorySize > maxHistorySize:
		return fmt.Errorf("history_size is %d; it has to be from 0 to %d", ns.HistorySize, maxHistorySize)
	case ns.HistoryTTL != 0 && time.Duration(ns.HistoryTTL) < time.Second:
		return fmt.Errorf("history_ttl is %v; it has to be at least 1s", time.Duration(ns.HistoryTTL))
	case ns.HistoryBytes != 0 && ns.HistoryBytes < minHistoryBytes:
		return fmt.Errorf("history_bytes is %d; it has to be at least %d", ns.HistoryBytes, minHistoryBytes)
	case ns.Lossy && (ns.Recovery || ns.Delta):
		return errors.New("lossy doesn't go with recovery or delta, whose subscribers get everything")
	case ns.HistorySize > 0:
		return nil
	case !ns.History.among([]Who{Nobody}), ns.HistoryTTL != 0, ns.HistoryBytes != 0, ns.Recovery, ns.Delta:
		return errors.New("history, history_ttl, history_bytes, recovery and delta need a history_size")
	}
	return nil
}

// oldest is the time of the oldest publications that clients get.
func (ns Namespace) oldest(now time.Time) time.Time {
	if ns.HistoryTTL == 0 {
		return time.Unix(0, 0)
	}
	return now.Add(-time.Duration(ns.HistoryTTL))
}

// shown is what subscribers get of a publication as it comes: its time is now, and without recovery its place is of no use to
// them.
func (ns Namespace) shown(p *protocol.Publication) *protocol.Publication {
	live := &protocol.Publication{Data: p.Data, Info: p.Info, Tags: p.Tags}
	if ns.Recovery {
		live.Offset = p.Offset
	}
	return live
}

func (w Who) among(all []Who) bool {
	for _, a := range all {
		if w == a || w == "" && a == Nobody {
			return true
		}
	}
	return false
}

func list(all []Who) string {
	names := make([]string, len(all))
	for i, w := range all {
		names[i] = string(w)
	}
	return strings.Join(names, ", ")
}

// String is the rules as ParseRules reads them.
func (r Rules) String() string {
	text, err := json.Marshal(r)
	if err != nil {
		panic(err) // strings and bools
	}
	return string(text)
}

// of returns the rules of a channel, and whether there are any.
func (r Rules) of(channel string) (Namespace, bool) {
	ns, ok := r[namespaceOf(channel)]
	return ns, ok
}

// namespaceOf returns the name of a channel's namespace.
func namespaceOf(channel string) string {
	name, _, ok := strings.Cut(channel, ":")
	if !ok {
		return ""
	}
	return name
}

// allows reports whether a client may, who is subscribed or not.
func (w Who) allows(c *client, subscribed bool) bool {
	switch w {
	case Subscribers:
		return subscribed
	case Users:
		return c.user() != ""
	case Anyone:
		return true
	}
	return false
}
