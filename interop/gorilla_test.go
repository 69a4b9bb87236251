package interop

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// gorilla is a connection of gorilla/websocket. It cuts messages into frames of
// its write buffer, 4 KiB.
type gorilla struct {
	*inbox
	meter
	conn       *websocket.Conn
	negotiated string
	part       io.WriteCloser // of the message that is begun
}

func dialGorilla(t *testing.T, o options) conn {
	t.Helper()
	g := &gorilla{inbox: newInbox()}
	dialer := &websocket.Dialer{
		NetDialContext:    g.dial,
		TLSClientConfig:   trust(t, o.ca),
		EnableCompression: o.compress,
		HandshakeTimeout:  patience,
	}
	conn, res, err := dialer.DialContext(t.Context(), o.url, nil)
	if err != nil {
		t.Fatalf("gorilla: dialing %s: %v (%+v)", o.url, err, res)
	}
	g.conn = conn
	g.negotiated = res.Header.Get("Sec-WebSocket-Extensions")
	answer := conn.PingHandler()
	conn.SetPingHandler(func(payload string) error {
		g.put(event{kind: ping, data: []byte(payload)})
		return answer(payload)
	})
	conn.SetPongHandler(func(payload string) error {
		g.put(event{kind: pong, data: []byte(payload)})
		return nil
	})
	g.done.Go(g.read)
	t.Cleanup(func() {
		close(g.left)
		conn.Close()
		g.done.Wait()
	})
	return g
}

func (g *gorilla) read() {
	for {
		k, data, err := g.conn.ReadMessage()
		var end *websocket.CloseError
		switch {
		case errors.As(err, &end):
			g.put(event{kind: closed, code: end.Code, reason: end.Text})
			return
		case err != nil:
			g.put(event{kind: closed, code: noCloseFrame, err: err.Error()})
			return
		case k == websocket.TextMessage:
			g.put(event{kind: text, data: data})
		default:
			g.put(event{kind: binary, data: data})
		}
	}
}

func (g *gorilla) extensions() string { return g.negotiated }

func (g *gorilla) send(k kind, data []byte, last bool) (err error) {
	g.conn.SetWriteDeadline(time.Now().Add(patience))
	opcode := websocket.BinaryMessage
	if k == text {
		opcode = websocket.TextMessage
	}
	if g.part == nil && last {
		return g.conn.WriteMessage(opcode, data)
	}
	if g.part == nil {
		if g.part, err = g.conn.NextWriter(opcode); err != nil {
			return err
		}
	}
	if _, err := g.part.Write(data); err != nil || !last {
		return err
	}
	err, g.part = g.part.Close(), nil
	return err
}

func (g *gorilla) ping(payload string) (sent string, err error) {
	return payload, g.conn.WriteControl(websocket.PingMessage, []byte(payload), time.Now().Add(patience))
}

func (g *gorilla) close(code int, reason string) error {
	return g.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(patience))
}
