// Package hubbub is a WebSocket server for very many, mostly idle connections:
// chat, live events, notifications.
//
// A connection costs a few hundred bytes and no goroutine. Event loops read
// whatever socket has something to say; a message to a topic is encoded once
// and shared by all its subscribers; nobody ever waits for a slow reader. It
// runs on Linux.
//
// A program describes what it serves with Endpoints, in a Config, and starts a
// Server:
//
//	srv, err := hubbub.New(hubbub.Config{Endpoints: map[string]hubbub.Endpoint{
//		"/ws": {
//			OnOpen: func(c *hubbub.Conn, r *hubbub.Request) error { c.Subscribe("lobby"); return nil },
//			OnText: func(c *hubbub.Conn, text []byte) { c.Publish("lobby", hubbub.Text, text) },
//		},
//	}})
//	if err != nil { ... }
//	err = srv.ListenAndServe(":8080")
//
// # What handlers may do
//
// An Endpoint's functions run on the connection's event loop, one at a time for
// one connection, and hold up every other connection of that loop: they must
// not block. Work that waits goes to a goroutine, which may use the Conn's
// methods freely: they are safe for concurrent use, never wait, and do nothing
// once the connection has ended. The bytes handed to OnText and OnBinary are
// only valid until the function returns.
//
// # Reading the code
//
// Config and Endpoint (config.go) say what can be set. Server (server.go) owns
// a loop per core, each a shard (shard.go) of the connections. Conn is what
// handlers see (conn.go), and the same connection as its loop sees it: read.go,
// write.go, closing.go, opening.go, secure.go for TLS. What keeps hostile peers in
// bounds: flood.go, perip.go, proxy.go, memory.go. Bus (bus.go) joins several
// servers. keep.go has the last messages of topics, ask.go asks other servers for
// them.
package hubbub
