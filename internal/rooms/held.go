package rooms

import "slices"

// held is what has to wait until a client is answered, or others have had their turn.
type held struct {
	messages [][]byte
	bytes    int      // of messages that have come since
	orders   []func() // of backends
}

// How much of that there may be.
const (
	maxHeld   = 64 << 10
	maxOrders = 1000
)

// hold keeps what has come for later.
func (c *client) hold(message []byte) {
	if c.held.bytes += len(message); c.held.bytes > maxHeld {
		c.end(disconnectTooMany)
		return
	}
	c.keep(message)
}

func (c *client) keep(message []byte) {
	if len(message) > 0 {
		c.held.messages = append(c.held.messages, slices.Clone(message))
	}
}

// release handles what was held, in a turn of its own: after this one's answers, and after what others want of the loop.
func (c *client) release() {
	c.conn.Do(func() {
		h := c.held
		c.held = nil
		for _, order := range h.orders {
			order()
		}
		for _, message := range h.messages {
			c.receive(c.format.message(), message)
		}
	})
}
