// Package history publishes what the connections of a run are to recover, before
// there are any of them: with a blocking client of the Centrifuge client
// protocol, in one topic after the other.
package history

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"hubbub/cmd/loadgen/internal/payload"
	"hubbub/cmd/loadgen/internal/plan"
	"hubbub/cmd/loadgen/internal/rooms"
)

const (
	// inFlight bounds the publications without an answer: each also comes back, and
	// a server lets go of a client that doesn't read.
	inFlight = 32
	patience = 20 * time.Second // with the server, for so many
)

// Publish publishes the plan's messages in each topic. When it returns nil, the
// server has acknowledged all of them.
func Publish(ctx context.Context, p *plan.Plan) error {
	var config *tls.Config
	scheme := "ws"
	if p.TLS != nil {
		scheme = "wss"
		var err error
		if config, err = p.TLS.Config(); err != nil {
			return err
		}
	}
	dialer := ws.Dialer{
		Timeout:   patience,
		TLSConfig: config,
		NetDial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, p.Addr.String())
		},
	}
	body := make([]byte, p.Size)
	payload.NewCodec(p.Run, true).Pad(body)
	for topic := range p.Topics {
		conn, early, _, err := dialer.Dial(ctx, scheme+"://"+p.Host+p.Target)
		if err == nil {
			c := &client{conn: conn, in: conn}
			if early != nil {
				c.in = early
			}
			err = c.publish(ctx, p.TopicName(topic), p.Recover, body)
			conn.Close()
		}
		if ctx.Err() != nil { // which says more than that the connection is closed
			err = context.Cause(ctx)
		}
		if err != nil {
			return fmt.Errorf("publishing what is to be recovered: %w", err)
		}
	}
	return nil
}

// client is a connection to the server.
type client struct {
	conn net.Conn
	in   io.Reader
}

// publish publishes in a channel, to which it subscribes first: others may not be
// allowed to.
func (c *client) publish(ctx context.Context, channel string, messages int, body []byte) error {
	defer context.AfterFunc(ctx, func() { c.conn.Close() })()
	if err := c.say(rooms.Join(channel, false)); err != nil {
		return err
	}
	if err := c.answers(2); err != nil {
		return err
	}
	for sent := 0; sent < messages; {
		n := min(inFlight, messages-sent)
		for range n {
			if err := c.say(rooms.AppendPublish(nil, rooms.FirstPublish+uint32(sent), channel, body)); err != nil {
				return err
			}
			sent++
		}
		if err := c.answers(n); err != nil {
			return err
		}
	}
	return wsutil.WriteClientMessage(c.conn, ws.OpClose, ws.NewCloseFrameBody(ws.StatusNormalClosure, ""))
}

func (c *client) say(p []byte) error { return wsutil.WriteClientText(c.conn, p) }

// answers reads until so many commands are answered.
func (c *client) answers(n int) error {
	if err := c.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	for n > 0 {
		p, err := wsutil.ReadServerText(struct {
			io.Reader
			io.Writer
		}{c.in, c.conn})
		if err != nil {
			return err
		}
		for len(p) > 0 {
			var m rooms.Message
			if m, p, err = rooms.Next(p); err != nil {
				return err
			}
			switch {
			case m.Kind == rooms.Answer && m.Err != nil:
				return m.Err
			case m.Kind == rooms.Answer:
				n--
			case m.Kind == rooms.Ping:
				err = c.say(rooms.Pong)
			case m.Kind == rooms.Farewell:
				err = errors.New(m.Why)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}
