package interop

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"
)

// coder is a connection of coder/websocket.
type coder struct {
	*inbox
	meter
	conn       *websocket.Conn
	ctx        context.Context // of everything: the library ends connections by it
	negotiated string
	part       io.WriteCloser // of the message that is begun
	pings      int
	closing    atomic.Bool // close tells the end, not read
}

func dialCoder(t *testing.T, o options) conn {
	t.Helper()
	c := &coder{inbox: newInbox()}
	ctx, cancel := context.WithTimeout(context.Background(), 5*patience) // of all that a test does
	c.ctx = ctx
	transport := &http.Transport{DialContext: c.dial, TLSClientConfig: trust(t, o.ca)}
	settings := &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: transport},
		OnPingReceived: func(_ context.Context, payload []byte) bool {
			c.put(event{kind: ping, data: payload})
			return true
		},
		OnPongReceived: func(_ context.Context, payload []byte) {
			c.put(event{kind: pong, data: payload})
		},
	}
	if o.compress {
		// An offer without parameters, unlike gorilla's and that of ws.
		settings.CompressionMode = websocket.CompressionContextTakeover
	}
	conn, res, err := websocket.Dial(ctx, o.url, settings)
	if err != nil {
		cancel()
		t.Fatalf("coder: dialing %s: %v (%+v)", o.url, err, res)
	}
	conn.SetReadLimit(2 * maxMessage)
	c.conn = conn
	c.negotiated = res.Header.Get("Sec-WebSocket-Extensions")
	c.done.Go(c.read)
	t.Cleanup(func() {
		close(c.left)
		cancel()
		conn.CloseNow()
		c.done.Wait()
		transport.CloseIdleConnections()
	})
	return c
}

func (c *coder) read() {
	for {
		k, data, err := c.conn.Read(c.ctx)
		var end websocket.CloseError
		switch {
		case err != nil && c.closing.Load():
			return
		case errors.As(err, &end):
			c.put(event{kind: closed, code: int(end.Code), reason: end.Reason})
			return
		case err != nil:
			c.put(event{kind: closed, code: noCloseFrame, err: err.Error()})
			return
		case k == websocket.MessageText:
			c.put(event{kind: text, data: data})
		default:
			c.put(event{kind: binary, data: data})
		}
	}
}

func (c *coder) extensions() string { return c.negotiated }

func (c *coder) send(k kind, data []byte, last bool) (err error) {
	opcode := websocket.MessageBinary
	if k == text {
		opcode = websocket.MessageText
	}
	if c.part == nil && last {
		return c.conn.Write(c.ctx, opcode, data)
	}
	if c.part == nil {
		if c.part, err = c.conn.Writer(c.ctx, opcode); err != nil {
			return err
		}
	}
	if _, err := c.part.Write(data); err != nil || !last {
		return err
	}
	err, c.part = c.part.Close(), nil
	return err
}

// ping waits for the pong. The library's payload is the number of the ping.
func (c *coder) ping(string) (sent string, err error) {
	c.pings++
	return strconv.Itoa(c.pings), c.conn.Ping(c.ctx)
}

// close waits for the answer. The library gives it to whichever reads first,
// read or Close, which returns nil if the answer has the same code.
func (c *coder) close(code int, reason string) error {
	c.closing.Store(true)
	if err := c.conn.Close(websocket.StatusCode(code), reason); err != nil {
		return err
	}
	c.put(event{kind: closed, code: code})
	return nil
}
