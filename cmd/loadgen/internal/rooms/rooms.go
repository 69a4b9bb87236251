// Package rooms is the client's side of the Centrifuge client protocol in JSON,
// version 2, as far as a load generator needs it: the commands that it sends,
// and what a server sends in turn.
//
// A WebSocket message has one or more lines. Those of a client are commands with
// a number each; those of a server are answers with that number, pushes, and
// pings. The protocol is described at
// centrifugal.dev/docs/transports/client_protocol and, field by field, in
// github.com/centrifugal/protocol, definitions/client.proto.
package rooms

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// Numbers of a connection's commands. Publication n, from 0, has FirstPublish+n.
const (
	Connect      = 1
	Subscribe    = 2
	FirstPublish = 3
)

// Pong is the answer to a ping.
var Pong = []byte("{}")

// Join returns the commands that a connection begins with: who it is, which is
// nobody in particular, and what it wants to hear; with recovery, also all that
// was published there before.
func Join(channel string, recovery bool) []byte {
	since := ""
	if recovery {
		since = `,"recover":true,"offset":0,"epoch":""`
	}
	return fmt.Appendf(nil, `{"id":%d,"connect":{}}`+"\n"+`{"id":%d,"subscribe":{"channel":"%s"%s}}`, Connect, Subscribe, channel, since)
}

// AppendPublish appends the command that publishes data, which is JSON. Neither
// there nor in Join is channel escaped: see Plain.
func AppendPublish(dst []byte, id uint32, channel string, data []byte) []byte {
	dst = append(dst, `{"id":`...)
	dst = strconv.AppendUint(dst, uint64(id), 10)
	dst = append(dst, `,"publish":{"channel":"`...)
	dst = append(dst, channel...)
	dst = append(dst, `","data":`...)
	dst = append(dst, data...)
	return append(dst, "}}"...)
}

// Plain reports whether a string stands in JSON as it is.
func Plain(s string) bool {
	text, err := json.Marshal(s)
	return err == nil && string(text) == `"`+s+`"`
}

// Kind is what a server says with a message.
type Kind uint8

// The kinds.
const (
	Other       Kind = iota // a push that is of no concern here
	Publication             // a push with what somebody has published
	Answer                  // to a command
	Ping
	Farewell // a push that says that the client is let go, of the channel or altogether
)

// Message is one line from a server.
type Message struct {
	Kind Kind
	// Of a Publication; both are valid as long as the line. Data is JSON, as it
	// stands there.
	Channel, Data []byte
	// Of an Answer: the command's number; why it failed, if it did; whether pings
	// have to be answered, if it was to connect; and if it was to subscribe,
	// whether that was all there was to recover, and how many publications came.
	ID           uint32
	Err          *Error
	Pong         bool
	Recovered    bool
	Publications int
	// Of a Farewell: code and reason.
	Why string
}

// Error is why a command failed.
type Error struct {
	Code      uint32
	Message   string
	Temporary bool // it may go better the next time
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("%d %s", e.Code, e.Message) }

// ErrSyntax is what Next returns for what it can't read. It is the same each
// time, so that failures can be counted by reason.
var ErrSyntax = errors.New("what came isn't in JSON as answers and pushes are")

// Next reads the first line of p and returns what is behind it.
func Next(p []byte) (m Message, rest []byte, err error) {
	if m, n := scan(p); n > 0 {
		return m, p[min(n+1, len(p)):], nil
	}
	line, rest, _ := bytes.Cut(p, []byte{'\n'})
	m, err = parse(line)
	return m, rest, err
}

// parse reads any line.
func parse(line []byte) (Message, error) {
	type farewell struct {
		Code   uint32
		Reason string
	}
	var said struct {
		ID        uint32
		Error     *Error
		Connect   struct{ Pong bool }
		Subscribe struct {
			Recovered    bool
			Publications []struct{}
		}
		Push *struct {
			Channel     string
			Pub         *struct{ Data json.RawMessage }
			Unsubscribe *farewell
			Disconnect  *farewell
		}
	}
	if json.Unmarshal(line, &said) != nil {
		return Message{}, ErrSyntax
	}
	push := said.Push
	switch {
	case said.ID != 0 || said.Error != nil:
		return Message{
			Kind: Answer, ID: said.ID, Err: said.Error, Pong: said.Connect.Pong,
			Recovered: said.Subscribe.Recovered, Publications: len(said.Subscribe.Publications),
		}, nil
	case push == nil:
		return Message{Kind: Ping}, nil
	case push.Pub != nil:
		return Message{Kind: Publication, Channel: []byte(push.Channel), Data: push.Pub.Data}, nil
	case push.Unsubscribe != nil:
		return Message{Kind: Farewell, Why: fmt.Sprintf("unsubscribed: %d %s", push.Unsubscribe.Code, push.Unsubscribe.Reason)}, nil
	case push.Disconnect != nil:
		return Message{Kind: Farewell, Why: fmt.Sprintf("disconnected: %d %s", push.Disconnect.Code, push.Disconnect.Reason)}, nil
	}
	return Message{}, nil
}
