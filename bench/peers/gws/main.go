// Gws is a hub on lxzan/gws, for comparison with the server: a goroutine reads from each connection
// and calls the library's events, and a further one writes to it for as long as there is something
// in the connection's queue of tasks.
//
// From the library's documentation: a message to many goes out by a Broadcaster, which encodes it once
// and puts it into everyone's queue without blocking; messages are closed after use, so that their
// buffers return to the pool; the loop that reads has a goroutine of its own, so that the HTTP
// request can go; what belongs to a connection is in its session, here one of our own type, as the
// option NewSession allows, instead of a map. Text isn't checked to be UTF-8, which is the default and
// said to be faster. Read buffers are small, as gorilla's are. What its example of best practice
// enables and this doesn't: ParallelEnabled, since then the messages of one client would be relayed
// in any order, and compression.
//
// The library's queues have no limit, and no call tells their length. So a mark is put in every
// sendQueue messages, and a client is dropped if the last one hasn't been reached by then.
//
// It serves what the load generator needs and nothing more: /ws relays every message as it came to
// everyone on the topic, /echo sends it back. No keepalive, as is the server's own default.
package main

import (
	"net/http"
	"sync/atomic"

	"github.com/lxzan/gws"

	"hubbub/bench/peers/internal/peer"
)

const sendQueue = 256 // messages that a client may always be behind; it may not be twice as many

func main() {
	peer.Main("gws", "127.0.0.1:8083", peer.HTTP(handler()))
}

func handler() http.Handler {
	upgrader := func(events gws.Event) *gws.Upgrader {
		return gws.NewUpgrader(events, &gws.ServerOption{
			ReadBufferSize:     1024,
			ReadMaxPayloadSize: peer.MaxMessage,
			NewSession:         func() gws.SessionStorage { return new(client) },
		})
	}
	relay, echo := upgrader(relayEvents{}), upgrader(echoEvents{})
	var topics peer.Topics[*client]
	ws := func(w http.ResponseWriter, r *http.Request, topic string) {
		socket, err := relay.Upgrade(w, r)
		if err != nil {
			return // Upgrade has answered
		}
		c := clientOf(socket)
		c.socket = socket
		c.topic = topics.Of(topic)
		go socket.ReadLoop()
	}
	return peer.Mux(ws, func(w http.ResponseWriter, r *http.Request) {
		socket, err := echo.Upgrade(w, r)
		if err != nil {
			return
		}
		go socket.ReadLoop()
	})
}

// client is a connection's session.
type client struct {
	gws.SessionStorage // nil: nothing is stored by key

	socket *gws.Conn
	topic  *peer.Topic[*client]
	since  int         // messages queued since the last mark; guarded by the topic
	marked atomic.Bool // whether a mark is in the queue
}

func clientOf(socket *gws.Conn) *client { return socket.Session().(*client) }

// send queues the message. It returns false if the client has been dropped instead.
func (c *client) send(message *gws.Broadcaster) bool {
	if c.since == sendQueue {
		if c.marked.Swap(true) {
			c.socket.NetConn().Close() // fails what is being written to it, and the reader
			return false
		}
		c.since = 0
		c.socket.Async(func() { c.marked.Store(false) })
	}
	c.since++
	return message.Broadcast(c.socket) == nil
}

// events answers pings, with the data that they came with. Errors of the library's methods can be
// ignored, as its documentation says: it closes the connection itself.
type events struct{ gws.BuiltinEventHandler }

func (events) OnPing(socket *gws.Conn, data []byte) { _ = socket.WritePong(data) }

// relayEvents are those of connections to /ws.
type relayEvents struct{ events }

func (relayEvents) OnOpen(socket *gws.Conn) {
	c := clientOf(socket)
	c.topic.Join(c)
}

func (relayEvents) OnClose(socket *gws.Conn, _ error) {
	c := clientOf(socket)
	c.topic.Leave(c)
}

func (relayEvents) OnMessage(socket *gws.Conn, message *gws.Message) {
	defer message.Close()
	broadcaster := gws.NewBroadcaster(message.Opcode, message.Bytes())
	defer broadcaster.Close()
	clientOf(socket).topic.Relay(func(c *client) bool { return c.send(broadcaster) })
}

// echoEvents are those of connections to /echo.
type echoEvents struct{ events }

func (echoEvents) OnMessage(socket *gws.Conn, message *gws.Message) {
	defer message.Close()
	_ = socket.WriteMessage(message.Opcode, message.Bytes())
}
