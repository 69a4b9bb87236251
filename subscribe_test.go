package hubbub

import (
	"bytes"
	"sync/atomic"
	"testing"

	"github.com/gobwas/ws"

	"hubbub/internal/poller"
)

// spy is a kernel that calls seen before it writes anything that contains a word.
type spy struct {
	poller.OS
	word []byte
	seen func()
}

func (w *spy) Write(fd int, p []byte) (int, error) {
	if bytes.Contains(p, w.word) {
		w.seen()
	}
	return w.OS.Write(fd, p)
}

// What is published while the message that comes with a subscription is on its way arrives behind it.
func TestSubscribeWith(t *testing.T) {
	var server atomic.Pointer[Server]
	sys := &spy{word: []byte("welcome"), seen: func() { server.Load().Publish("room", Text, []byte("news")) }}
	s, addr := startSys(t, Config{Endpoints: map[string]Endpoint{"/": {
		OnText: func(c *Conn, _ []byte) { c.SubscribeWith("room", Text, []byte("welcome")) },
	}}}, sys)
	server.Store(s)
	p := dial(t, addr, "/")
	p.send(ws.OpText, "let me in")
	p.expect(ws.OpText, "welcome")
	p.expect(ws.OpText, "news")
}
