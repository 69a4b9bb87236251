package main

import (
	"time"

	"github.com/gorilla/websocket"

	"hubbub/bench/peers/internal/peer"
)

const (
	sendQueue = 256              // messages a client may be behind
	writeWait = 10 * time.Second // for one message to a client
)

// client is one connection. Its reader goroutine feeds the hub, its writer goroutine is fed by it.
type client struct {
	hub  *hub
	conn *websocket.Conn
	send chan *websocket.PreparedMessage // closed by the hub when the client is removed
}

// join makes the connection a client of the hub.
func join(h *hub, conn *websocket.Conn) {
	c := &client{hub: h, conn: conn, send: make(chan *websocket.PreparedMessage, sendQueue)}
	h.register <- c
	// In goroutines of their own, so that the one of the HTTP request and its stack can go.
	go c.read()
	go c.write()
}

// read relays what the client sends until the connection fails.
func (c *client) read() {
	defer func() {
		c.hub.unregister <- c
		c.conn.Close()
	}()
	c.conn.SetReadLimit(peer.MaxMessage)
	for {
		kind, data, err := c.conn.ReadMessage()
		if err != nil {
			return
		}
		message, err := websocket.NewPreparedMessage(kind, data)
		if err != nil {
			return
		}
		c.hub.broadcast <- message
	}
}

// write sends what the hub queued until the hub removes the client or the connection fails.
func (c *client) write() {
	defer c.conn.Close() // fails the reader, which unregisters
	for message := range c.send {
		if c.conn.SetWriteDeadline(time.Now().Add(writeWait)) != nil {
			return
		}
		if c.conn.WritePreparedMessage(message) != nil {
			return
		}
	}
	// The connection is closed next, whether the peer gets this or not.
	_ = c.conn.WriteControl(websocket.CloseMessage, nil, time.Now().Add(writeWait))
}

// echo sends everything back until the connection fails.
func echo(conn *websocket.Conn) {
	defer conn.Close()
	conn.SetReadLimit(peer.MaxMessage)
	for {
		kind, data, err := conn.ReadMessage()
		if err != nil {
			return
		}
		if conn.SetWriteDeadline(time.Now().Add(writeWait)) != nil {
			return
		}
		if conn.WriteMessage(kind, data) != nil {
			return
		}
	}
}
