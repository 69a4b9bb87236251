package tokens

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
)

// Connection is what a token says of a client that connects.
type Connection struct {
	User     string                         // "" for anonymous ones
	Info     []byte                         // of the client, for others: JSON on one line, or any bytes if the token has them in Base64; nil if there is none
	ExpireAt time.Time                      // when the client has to have brought another; zero for never
	Channels []string                       // it is subscribed to without asking; none if there are Subs
	Subs     map[string]SubscriptionOptions // likewise, by channel
}

// SubscriptionOptions is what a token says of a channel that a client is subscribed to without asking.
type SubscriptionOptions struct {
	Info []byte // of the client in this channel, as in Connection
}

// Subscription is what a token says of a client that subscribes.
type Subscription struct {
	User     string    // it is for; "" for anonymous ones
	Channel  string    // it is for, never ""
	Client   string    // it is for; "" for any of the user's
	Info     []byte    // of the client in this channel, as in Connection
	ExpireAt time.Time // when the client has to have brought another; zero for never
}

// sharedClaims are in tokens of both kinds. Others, like iat and jti, say nothing here and may be anything.
type sharedClaims struct {
	Issuer    string           `json:"iss"`
	User      string           `json:"sub"`
	Audience  jwt.ClaimStrings `json:"aud"` // one or a list
	Channel   string           `json:"channel"`
	Expires   *date            `json:"exp"`
	NotBefore *date            `json:"nbf"`
	ExpireAt  *date            `json:"expire_at"`
	info
}

type connectionClaims struct {
	sharedClaims
	Channels []string        `json:"channels"`
	Subs     map[string]info `json:"subs"`
}

type subscriptionClaims struct {
	sharedClaims
	Client string `json:"client"`
}

func (c *sharedClaims) shared() *sharedClaims { return c }

// decode decodes the claims of a token.
func decode(text []byte, claims any) error {
	if !utf8.Valid(text) { // the decoder would take two users for one
		return errors.New("its claims aren't UTF-8")
	}
	return json.Unmarshal(text, claims)
}

func (c *connectionClaims) connection() (Connection, error) {
	if c.Channel != "" {
		return Connection{}, errors.New("it is for a subscription")
	}
	info, err := c.bytes()
	if err != nil {
		return Connection{}, err
	}
	conn := Connection{User: c.User, Info: info, ExpireAt: c.expireAt()}
	if len(c.Subs) == 0 {
		conn.Channels = c.Channels
		return conn, nil
	}
	conn.Subs = make(map[string]SubscriptionOptions, len(c.Subs))
	for channel, sub := range c.Subs {
		info, err := sub.bytes()
		if err != nil {
			return Connection{}, err
		}
		conn.Subs[channel] = SubscriptionOptions{info}
	}
	return conn, nil
}

func (c *subscriptionClaims) subscription() (Subscription, error) {
	if c.Channel == "" {
		return Subscription{}, errors.New("it has no channel")
	}
	info, err := c.bytes()
	return Subscription{User: c.User, Channel: c.Channel, Client: c.Client, Info: info, ExpireAt: c.expireAt()}, err
}

// timely reports whether a token's time has come and isn't over. To be too early is to have another's clock: like
// one that comes too late, the client had better fetch another.
func (c *sharedClaims) timely(now time.Time) bool {
	return (c.Expires == nil || now.Before(c.Expires.Time)) && (c.NotBefore == nil || !now.Before(c.NotBefore.Time))
}

// expireAt is when what a token allows ends: with the token, unless that says otherwise.
func (c *sharedClaims) expireAt() time.Time {
	switch {
	case c.ExpireAt == nil && c.Expires != nil:
		return c.Expires.Time
	case c.ExpireAt == nil || c.ExpireAt.Unix() <= 0:
		return time.Time{}
	}
	return c.ExpireAt.Time
}

// info is what others are told of a client.
type info struct {
	JSON   json.RawMessage `json:"info"`
	Base64 string          `json:"b64info"` // wins
}

func (i *info) bytes() ([]byte, error) {
	if i.Base64 != "" {
		b, err := base64.StdEncoding.DecodeString(i.Base64)
		if err != nil {
			return nil, fmt.Errorf("its b64info: %w", err)
		}
		return b, nil
	}
	if i.JSON == nil {
		return nil, nil
	}
	var line bytes.Buffer // the protocol has messages in lines
	if err := json.Compact(&line, i.JSON); err != nil {
		return nil, fmt.Errorf("its info: %w", err)
	}
	return line.Bytes(), nil
}

// date is a claim's (RFC 7519 section 2), in whole seconds.
type date struct{ time.Time }

// maxDate is the end of the year 9999, where time.Time still computes and RFC 3339 still writes.
const maxDate = 253402300799

// UnmarshalJSON takes strings of digits, too, as other implementations do.
func (d *date) UnmarshalJSON(text []byte) error {
	var n json.Number
	if err := json.Unmarshal(text, &n); err != nil {
		return errors.New("a date that is no number")
	}
	seconds, err := n.Float64()
	if err != nil || seconds < -maxDate || seconds > maxDate {
		return errors.New("a date that is no time")
	}
	d.Time = time.Unix(int64(seconds), 0)
	return nil
}
