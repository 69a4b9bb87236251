package rooms

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/centrifugal/protocol"

	"hubbub"
)

// format is how a client's messages look.
type format uint8

const (
	formatJSON     format = iota // objects, one to a line, in text messages
	formatProtobuf               // messages with their lengths before them (varints), in binary messages
	formats
)

// The subprotocols by which clients say what they speak; those that name none speak JSON.
const (
	subprotocolJSON     = "centrifuge-json"
	subprotocolProtobuf = "centrifuge-protobuf"
)

func formatOf(r *hubbub.Request) format {
	if r.Subprotocol() == subprotocolProtobuf || r.Param("format") == "protobuf" || r.Param("cf_protocol") == "protobuf" {
		return formatProtobuf
	}
	return formatJSON
}

// of is the protocol package's name for it.
func (f format) of() protocol.Type {
	if f == formatProtobuf {
		return protocol.TypeProtobuf
	}
	return protocol.TypeJSON
}

// message is the type of WebSocket messages.
func (f format) message() hubbub.MessageType {
	if f == formatProtobuf {
		return hubbub.Binary
	}
	return hubbub.Text
}

// ping is a message that clients answer with the same: an empty one.
func (f format) ping() []byte {
	if f == formatProtobuf {
		return []byte{0}
	}
	return []byte("{}")
}

// append adds a reply to those that are in a message.
func (f format) append(message []byte, r *protocol.Reply) ([]byte, error) {
	reply, err := protocol.GetReplyEncoder(f.of()).Encode(r)
	if err != nil {
		return message, fmt.Errorf("encoding a reply: %w", err)
	}
	switch {
	case f == formatProtobuf:
		message = binary.AppendUvarint(message, uint64(len(reply)))
	case len(message) > 0:
		message = append(message, '\n')
	}
	return append(message, reply...), nil
}

// errTooMany is what commands ends with where there are more than the limit.
var errTooMany = errors.New("too many commands in a message")

// commands calls each with each command of a message, until it returns false, and returns what comes after that. Strings in a
// command lie in the message.
func (f format) commands(message []byte, most int, each func(*protocol.Command) bool) (rest []byte, err error) {
	if f == formatJSON {
		message = bytes.TrimSuffix(message, []byte("\n"))
	}
	for n := 1; ; n++ {
		if n > most {
			return nil, errTooMany
		}
		command, rest, err := f.command(message)
		if err != nil {
			return nil, err
		}
		if !each(command) || len(rest) == 0 {
			return rest, nil
		}
		message = rest
	}
}

// command takes the first command off a message.
func (f format) command(message []byte) (command *protocol.Command, rest []byte, err error) {
	if f == formatJSON {
		line, rest, more := bytes.Cut(message, []byte("\n"))
		if more && len(rest) == 0 {
			return nil, nil, errors.New("an empty line")
		}
		if !json.Valid(line) { // which bounds its depth; the decoder doesn't
			return nil, nil, errors.New("a line that isn't JSON")
		}
		command, err = protocol.NewJSONCommandDecoder(line).Decode()
		if errors.Is(err, io.EOF) { // there is one
			err = nil
		}
		return command, rest, err
	}
	size, n := binary.Uvarint(message)
	if n <= 0 || size > uint64(len(message)-n) {
		return nil, nil, errors.New("a length that is wrong")
	}
	command = new(protocol.Command)
	err = command.UnmarshalVT(message[n : n+int(size)])
	return command, message[n+int(size):], err
}

// takes reports whether a client of that format may publish data. What is in a JSON client's command is
// JSON, and UTF-8, by itself.
func (ns Namespace) takes(data []byte, from format) bool {
	return len(data) > 0 && (ns.Binary || from == formatJSON || utf8.Valid(data) && json.Valid(data))
}

// kind is what a topic carries of a channel.
type kind byte

const (
	publications kind = 0xff
	comings      kind = 0xfe // joins and leaves
	deltas       kind = 0xfd // publications, as differences to the one before
)

// topic returns the server's topic of a channel for clients of a format. Other endpoints' topics are UTF-8, so
// none can have the same name.
func (f format) topic(channel string, k kind) string {
	return string([]byte{byte(k), '0' + byte(f)}) + channel
}

// quoted returns UTF-8 as a string in JSON.
func quoted(text []byte) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(string(text)); err != nil {
		panic(err) // it is a string
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// own returns a copy of a string that lies in a buffer which others will use.
func own(s string) string { return strings.Clone(s) }
