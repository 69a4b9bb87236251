package plan

import (
	"fmt"
	"strings"

	"hubbub/cmd/loadgen/internal/payload"
)

// Protocol is what connections speak inside their WebSocket messages.
type Protocol string

// The protocols.
const (
	Plain Protocol = "plain" // a message is a payload, and the topic is in the URL
	Rooms Protocol = "rooms" // the Centrifuge client protocol in JSON; a topic is a channel
)

// Acknowledges reports whether the server answers each publication.
func (p Protocol) Acknowledges() bool { return p == Rooms }

// Text reports whether messages are text, and payloads with them.
func (p Protocol) Text() bool { return p == Rooms }

// LeastSize returns the least size of a payload in bytes.
func (p Protocol) LeastSize() int {
	if p.Text() {
		return payload.LeastText
	}
	return payload.LeastBinary
}

// TopicName returns a topic's name. It has the run in it, so that neither
// browsers nor another run can get in between.
func (p *Plan) TopicName(topic int) string {
	return fmt.Sprintf("%sloadgen-%016x-t%d", p.Prefix, p.Run, topic)
}

// Request returns the request target of a connection: the plan's, and the
// topic where that is in it.
func (p *Plan) Request(conn int) string {
	if p.Mode == Echo || p.Protocol == Rooms {
		return p.Target
	}
	sep := "?"
	if strings.Contains(p.Target, "?") {
		sep = "&"
	}
	return p.Target + sep + "topic=" + p.TopicName(p.Topic(conn))
}
