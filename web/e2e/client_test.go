package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// client is somebody who isn't the page: it speaks the protocol in bare JSON,
// so that it can say what the page never would.
type client struct {
	conn    net.Conn
	sent    int
	writing sync.Mutex
	replies chan reply // in the order of the commands; closed with the connection
}

type reply struct {
	ID    int
	Error *struct {
		Code    int
		Message string
	}
}

var errGone = errors.New("the connection is gone")

// dial connects somebody who is in no room. The connection ends with the test.
func dial(t *testing.T, s *server) (*client, error) {
	conn, buffered, _, err := ws.Dial(t.Context(), s.socketURL())
	if err != nil {
		return nil, err
	}
	if buffered != nil {
		t.Fatal("the server speaks first")
	}
	t.Cleanup(func() { conn.Close() })
	c := &client{conn: conn, replies: make(chan reply, 10_000)}
	go c.read()
	return c, c.ask(`"connect": {}`)
}

// join puts somebody into a room; info is what is told of them, in JSON.
func join(t *testing.T, s *server, room, info string) *client {
	t.Helper()
	c, err := dial(t, s)
	if err == nil {
		err = c.enter(room, info)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *client) enter(room, info string) error {
	return c.ask(fmt.Sprintf(`"subscribe": {"channel": %q, "data": %s}`, "chat:"+room, info))
}

// say publishes texts in a room, and returns when the server has acknowledged
// all of them.
func (c *client) say(t *testing.T, room string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if err := c.publish(room, fmt.Sprintf(`{"text": %q}`, text)); err != nil {
			t.Fatal(err)
		}
	}
}

func (c *client) publish(room, data string) error {
	return c.ask(fmt.Sprintf(`"publish": {"channel": %q, "data": %s}`, "chat:"+room, data))
}

// ask sends a command and waits for the reply.
func (c *client) ask(command string) error {
	c.sent++
	if err := c.write(fmt.Sprintf(`{"id": %d, %s}`, c.sent, command)); err != nil {
		return err
	}
	r, ok := <-c.replies
	switch {
	case !ok:
		return errGone
	case r.ID != c.sent:
		return fmt.Errorf("reply to command %d, want %d", r.ID, c.sent)
	case r.Error != nil:
		return fmt.Errorf("%s: error %d, %s", command, r.Error.Code, r.Error.Message)
	}
	return nil
}

func (c *client) write(message string) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	return wsutil.WriteClientText(c.conn, []byte(message))
}

// read answers pings, passes replies on, and drops what is pushed.
func (c *client) read() {
	defer close(c.replies)
	for {
		message, err := wsutil.ReadServerText(c.conn)
		if err != nil {
			return
		}
		for line := range bytes.Lines(message) {
			var r reply
			switch err := json.Unmarshal(line, &r); {
			case err != nil:
				return
			case r.ID > 0:
				c.replies <- r
			case string(bytes.TrimSpace(line)) == "{}":
				if c.write("{}") != nil {
					return
				}
			}
		}
	}
}
