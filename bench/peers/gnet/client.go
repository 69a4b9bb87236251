package main

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"

	"github.com/gobwas/ws"
	"github.com/panjf2000/gnet/v2"

	"hubbub/bench/peers/internal/peer"
)

const (
	maxRequest = 8 << 10 // bytes of a handshake
	healthy    = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)

// client is a connection's context once its handshake is done.
type client struct {
	topic   *peer.Topic[gnet.Conn] // nil: what comes is sent back
	kind    ws.OpCode              // of the message whose fragments are coming; otherwise zero
	message []byte                 // what has come of it
}

// handshake makes c a client. If it isn't done with that, it returns what is to become of c.
func (s *server) handshake(c gnet.Conn) (done bool, action gnet.Action) {
	request, err := c.Peek(-1)
	if err != nil {
		return false, gnet.Close
	}
	end := bytes.Index(request, []byte("\r\n\r\n"))
	switch {
	case end < 0 && len(request) <= maxRequest:
		return false, gnet.None // the rest is still to come
	case end < 0:
		return false, gnet.Close
	}
	request = request[:end+4]
	if bytes.HasPrefix(request, []byte("GET /healthz ")) {
		_, _ = c.Write([]byte(healthy)) // an error closes it, which is what comes next
		return false, gnet.Close
	}

	client := new(client)
	upgrader := ws.Upgrader{OnRequest: func(uri []byte) error {
		u, err := url.ParseRequestURI(string(uri))
		switch {
		case err == nil && u.Path == "/ws":
			client.topic = s.topics.Of(peer.Name(u.Query().Get("topic")))
			return nil
		case err == nil && u.Path == "/echo":
			return nil
		}
		return ws.RejectConnectionError(ws.RejectionStatus(http.StatusNotFound))
	}}
	if _, err := upgrader.Upgrade(struct {
		io.Reader
		io.Writer
	}{bytes.NewReader(request), c}); err != nil {
		return false, gnet.Close // Upgrade has answered
	}
	if _, err := c.Discard(len(request)); err != nil {
		return false, gnet.Close
	}
	c.SetContext(client)
	if client.topic != nil {
		client.topic.Join(c)
	}
	return true, gnet.None
}

// next handles the next frame. If there is none, it returns what is to become of c.
func (cl *client) next(c gnet.Conn) (done bool, action gnet.Action) {
	buffered := c.InboundBuffered()
	if buffered < ws.MinHeaderSize {
		return false, gnet.None
	}
	head, err := c.Peek(min(buffered, ws.MaxHeaderSize))
	if err != nil {
		return false, gnet.Close
	}
	reader := bytes.NewReader(head)
	header, err := ws.ReadHeader(reader)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return false, gnet.None // the rest of it is still to come
	}
	state := ws.StateServerSide
	if cl.kind != 0 {
		state = state.Set(ws.StateFragmented)
	}
	if err != nil || ws.CheckHeader(header, state) != nil ||
		header.Length > int64(peer.MaxMessage-len(cl.message)) {
		return false, gnet.Close
	}
	start := len(head) - reader.Len()
	size := start + int(header.Length)
	if buffered < size {
		return false, gnet.None
	}
	frame, err := c.Peek(size)
	if err != nil {
		return false, gnet.Close
	}
	payload := frame[start:]
	ws.Cipher(payload, header.Mask, 0)
	if cl.handle(c, header, payload) == gnet.Close {
		return false, gnet.Close
	}
	if _, err := c.Discard(size); err != nil {
		return false, gnet.Close
	}
	return true, gnet.None
}

// handle does what a frame asks for. The payload is valid until it returns.
func (cl *client) handle(c gnet.Conn, header ws.Header, payload []byte) gnet.Action {
	kind := header.OpCode
	switch {
	case kind == ws.OpPong:
		return gnet.None
	case kind == ws.OpPing:
		return answer(c, ws.NewPongFrame(payload))
	case kind == ws.OpClose:
		answer(c, ws.NewCloseFrame(payload))
		return gnet.Close
	case !header.Fin || kind == ws.OpContinuation:
		if kind != ws.OpContinuation {
			cl.kind = kind
		}
		cl.message = append(cl.message, payload...)
		if !header.Fin {
			return gnet.None
		}
		kind, payload = cl.kind, cl.message
		cl.kind, cl.message = 0, nil
	}
	message := ws.NewFrame(kind, true, payload)
	if cl.topic == nil {
		return answer(c, message)
	}
	frame, err := ws.CompileFrame(message)
	if err != nil {
		return gnet.Close
	}
	cl.topic.Relay(func(to gnet.Conn) bool { return to.AsyncWrite(frame, closeSlow) == nil })
	return gnet.None
}

// answer writes to the connection whose loop this is.
func answer(c gnet.Conn, message ws.Frame) gnet.Action {
	frame, err := ws.CompileFrame(message)
	if err != nil {
		return gnet.Close
	}
	if _, err := c.Write(frame); err != nil || c.OutboundBuffered() > maxBacklog {
		return gnet.Close
	}
	return gnet.None
}

// closeSlow is called by the connection's loop after a write.
func closeSlow(c gnet.Conn, err error) error {
	if err == nil && c.OutboundBuffered() > maxBacklog {
		return c.EventLoop().Close(c)
	}
	return err
}
