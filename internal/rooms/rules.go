package rooms

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
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
	Subscribe Who  `json:"subscribe"`  // users or anyone
	Publish   Who  `json:"publish"`    // subscribers, users or anyone
	Presence  Who  `json:"presence"`   // may ask who is there; subscribers, users or anyone
	JoinLeave bool `json:"join_leave"` // subscribers that ask for it are told who comes and goes
	Binary    bool `json:"binary"`     // publications may be anything but then clients have to use Protobuf; JSON otherwise
}

// Rules are the namespaces by their names; channels without a colon are in "".
type Rules map[string]Namespace

// DefaultRules are those that nobody has to ask for: a chat for everybody.
var DefaultRules = Rules{"chat": {Subscribe: Anyone, Publish: Subscribers, Presence: Subscribers, JoinLeave: true}}

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
		} {
			if !rule.who.among(rule.allowed) {
				return nil, fmt.Errorf("rules of channels: %s of the namespace %q is %q; it has to be one of %s", rule.key, name, rule.who, list(rule.allowed))
			}
		}
	}
	return r, nil
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
	name, _, ok := strings.Cut(channel, ":")
	if !ok {
		name = ""
	}
	ns, ok := r[name]
	return ns, ok
}

// allows reports whether a client may, who is subscribed or not.
func (w Who) allows(c *client, subscribed bool) bool {
	switch w {
	case Subscribers:
		return subscribed
	case Users:
		return c.user != ""
	case Anyone:
		return true
	}
	return false
}
