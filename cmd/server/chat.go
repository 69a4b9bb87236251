package main

import (
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"hubbub"
)

// chat is the endpoint /chat: text goes to everyone in the room, with the sender's name; who comes gets the last
// messages first; everyone is told who comes and goes.
func chat(keepalive time.Duration) hubbub.Endpoint {
	type guest struct {
		name, room string
		in         bool
	}
	return hubbub.Endpoint{
		OnOpen: func(c *hubbub.Conn, r *hubbub.Request) error {
			name, err := nameFor(c, r.Param("name"))
			if err != nil {
				return err
			}
			room, err := topicOf(r.Param("room"))
			if err != nil {
				return err
			}
			g := &guest{name: name, room: chatPrefix + room}
			c.SetSession(g)
			c.SubscribeLast(g.room, chatLast, func() {
				g.in = true
				c.Publish(g.room, hubbub.Text, fmt.Appendf(nil, "* %s joined", name))
			})
			return nil
		},
		OnText: func(c *hubbub.Conn, text []byte) {
			g := c.Session().(*guest)
			c.PublishKept(g.room, hubbub.Text, fmt.Appendf(nil, "%s: %s", g.name, text))
		},
		OnBinary: func(c *hubbub.Conn, _ []byte) { c.Close(1003, "text only") },
		OnClose: func(c *hubbub.Conn, _ uint16, _ string) {
			if g := c.Session().(*guest); g.in {
				c.Publish(g.room, hubbub.Text, fmt.Appendf(nil, "* %s left", g.name))
			}
		},
		Keepalive: keepalive,
	}
}

const (
	chatLast      = 30               // messages that a newcomer gets
	chatKeepalive = 30 * time.Second // without -keepalive: so that the others hear of who is gone without a word
	chatPrefix    = "\xffchat:"      // not UTF-8: no topic of /ws is a room
	maxName       = 40               // characters
)

// nameFor returns the name that a guest asks for, or one that is made of the connection's ID.
func nameFor(c *hubbub.Conn, asked string) (string, error) {
	name := strings.TrimSpace(asked)
	switch {
	case !utf8.ValidString(name) || utf8.RuneCountInString(name) > maxName || strings.ContainsFunc(name, invisible):
		return "", hubbub.Refuse(http.StatusBadRequest, fmt.Sprintf("a name is UTF-8 of at most %d characters, none of them a control character", maxName))
	case name == "":
		// The low bits are a counter, the high ones tell servers apart.
		return fmt.Sprintf("%04x", uint16(c.ID()^c.ID()>>40)), nil
	}
	return name, nil
}

// invisible reports whether r could make a line look like another: control characters, marks of direction, line
// separators.
func invisible(r rune) bool { return !unicode.IsGraphic(r) }
