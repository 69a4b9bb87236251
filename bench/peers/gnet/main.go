// Gnet is a hub on panjf2000/gnet and gobwas/ws, for comparison with the server: an event loop for
// each core, each with the connections that were handed to it in turn, and no goroutines besides.
//
// It does as the WebSocket server among gnet's own examples does: ws.Upgrade on what has come of the
// request, then frames as they are complete, on all cores. Its codec copies what it reads; this one
// parses in gnet's buffer (Peek and Discard), which the documentation of gnet's Reader allows for.
// A message goes to others as gnet's author advises for broadcasting: connections are kept outside
// of the loops, and AsyncWrite, which may be called from anywhere, is called for each with one
// compiled frame. It is used for connections of the sender's own loop as well: gnet writes to a
// connection in the order of the calls to AsyncWrite, but not in that of others mixed with them.
//
// gnet keeps without limit what a socket doesn't take. So the callback of each write looks at how
// much that is, and closes clients that are too slow.
//
// It serves what the load generator needs and nothing more: /ws relays every message as it came to
// everyone on the topic, /echo sends it back. No keepalive, as is the server's own default.
package main

import (
	"context"
	"net"
	"os"

	"github.com/panjf2000/gnet/v2"

	"hubbub/bench/peers/internal/peer"
)

const maxBacklog = 1 << 20 // bytes that may wait for a client

func main() {
	peer.Main("gnet", "127.0.0.1:8085", serve)
}

func serve(ctx context.Context, addr string, ready func(string)) error {
	s := &server{booted: make(chan gnet.Engine, 1)}
	stopped := make(chan error, 1)
	go func() {
		stopped <- gnet.Run(s, "tcp://"+addr,
			gnet.WithMulticore(true),
			// As net.Listen does: the port may be in use by connections of an earlier process.
			gnet.WithReuseAddr(true))
	}()
	var engine gnet.Engine
	select {
	case err := <-stopped:
		return err
	case engine = <-s.booted:
	}
	if err := report(engine, ready); err != nil {
		return err
	}
	select {
	case err := <-stopped:
		return err
	case <-ctx.Done():
	}
	// With this context Stop only starts it, and doesn't look twice a second whether it is done.
	_ = engine.Stop(ctx)
	return <-stopped
}

// report calls ready with the address that the engine listens on.
func report(engine gnet.Engine, ready func(string)) error {
	fd, err := engine.Dup()
	if err != nil {
		return err
	}
	file := os.NewFile(uintptr(fd), "listener")
	defer file.Close()
	listener, err := net.FileListener(file)
	if err != nil {
		return err
	}
	defer listener.Close()
	ready(listener.Addr().String())
	return nil
}

// server has the events of all loops.
type server struct {
	gnet.BuiltinEventEngine
	topics peer.Topics[gnet.Conn]
	booted chan gnet.Engine
}

// OnBoot is called when the engine listens.
func (s *server) OnBoot(engine gnet.Engine) gnet.Action {
	s.booted <- engine
	return gnet.None
}

// OnTraffic is called when there is something to read, besides what has been left unread before.
func (s *server) OnTraffic(c gnet.Conn) gnet.Action {
	if c.Context() == nil {
		if done, action := s.handshake(c); !done {
			return action
		}
	}
	client := c.Context().(*client)
	for {
		if done, action := client.next(c); !done {
			return action
		}
	}
}

// OnClose is called when the connection has ended, whoever wanted it.
func (s *server) OnClose(c gnet.Conn, _ error) gnet.Action {
	if client, ok := c.Context().(*client); ok && client.topic != nil {
		client.topic.Leave(c)
	}
	return gnet.None
}
