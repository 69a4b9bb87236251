package main

import (
	"context"
	"net"
	"sync/atomic"
	"testing"

	"github.com/lesismal/nbio"
	"github.com/lesismal/nbio/logging"
	"github.com/lesismal/nbio/nbhttp"

	"hubbub/bench/peers/internal/peer"
	"hubbub/bench/peers/internal/peertest"
)

func TestNbio(t *testing.T) {
	logging.SetLevel(logging.LevelError)
	serve := func(ctx context.Context, addr string, ready func(string)) error {
		engine := newEngine(addr)
		showOrder(engine)
		return run(ctx, engine, ready)
	}
	peertest.Run(t, func() peer.Serve { return serve }, true)
}

// showOrder shows the race detector that what is done to a connection before it is added to a poller
// comes before what the poller does with it. It is the kernel's epoll that orders them, of which the
// detector knows nothing.
func showOrder(engine *nbhttp.Engine) {
	var added atomic.Int64
	engine.OnOpen(func(net.Conn) { added.Add(1) })
	engine.OnReadBufferAlloc(func(c *nbio.Conn) []byte {
		added.Load()
		return engine.PollerBuffer(c)
	})
}
