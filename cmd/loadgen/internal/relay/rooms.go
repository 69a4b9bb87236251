package relay

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/gobwas/ws"
)

// command is what a client of the Centrifuge client protocol says in a line.
type command struct {
	ID        uint32
	Connect   *struct{}
	Subscribe *struct {
		Channel string
		Recover bool
	}
	Publish *struct {
		Channel string
		Data    json.RawMessage
	}
}

// commands takes a message with commands. Connection number is told its answers
// in one message, behind what it has published itself.
func (r *Relay) commands(c net.Conn, number int, p []byte) error {
	var answers [][]byte
	subscribed := false
	for line := range bytes.SplitSeq(p, []byte("\n")) {
		var said command
		if err := json.Unmarshal(line, &said); err != nil {
			return err
		}
		var answer string
		switch {
		case said.Connect != nil:
			answer = fmt.Sprintf(`{"id":%d,"connect":{"client":"%d","ping":25,"pong":true}}`, said.ID, number)
		case said.Subscribe != nil:
			subscribed = true
			r.mu.Lock()
			answer = r.subscribed(said)
			r.topics[said.Subscribe.Channel] = append(r.topics[said.Subscribe.Channel], c)
			r.mu.Unlock()
		case said.Publish != nil:
			answer = fmt.Sprintf(`{"id":%d,"publish":{}}`, said.ID)
			r.keep(said.Publish.Channel, number, said.Publish.Data)
			r.publish(said.Publish.Channel, said.Publish.Data, func(to net.Conn, data []byte) {
				r.send(to, ws.OpText, fmt.Appendf(nil, `{"push":{"channel":%q,"pub":{"data":%s}}}`, said.Publish.Channel, data))
			})
		case string(line) == "{}":
			if r.Pong != nil {
				r.Pong(line)
			}
			continue
		default:
			return errors.New("no command")
		}
		if r.Answer != nil {
			answer = r.Answer(number, said.ID, answer)
		}
		if answer != "" {
			answers = append(answers, []byte(answer))
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(answers) > 0 {
		r.send(c, ws.OpText, bytes.Join(answers, []byte("\n")))
	}
	if subscribed && r.Opened != nil {
		r.Opened(number, c)
	}
	return nil
}

// keep remembers a publication for those who recover.
func (r *Relay) keep(channel string, number int, data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.kept == nil {
		r.kept = make(map[string][]string)
	}
	r.kept[channel] = append(r.kept[channel], fmt.Sprintf(`{"data":%s,"info":{"user":"","client":"%d"},"offset":%d,"time":1700000000000}`,
		data, number, len(r.kept[channel])+1))
}

// subscribed returns the answer to a command to subscribe; mu is held.
func (r *Relay) subscribed(said command) string {
	kept := r.kept[said.Subscribe.Channel]
	if !said.Subscribe.Recover || kept == nil {
		return fmt.Sprintf(`{"id":%d,"subscribe":{}}`, said.ID)
	}
	return fmt.Sprintf(`{"id":%d,"subscribe":{"recoverable":true,"epoch":"e","publications":[%s],"recovered":true,"offset":%d,"positioned":true,"was_recovering":true}}`,
		said.ID, strings.Join(kept, ","), len(kept))
}
