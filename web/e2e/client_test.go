package e2e

import (
	"net"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// client is somebody who isn't the page: a bare WebSocket.
type client struct {
	t    *testing.T
	conn net.Conn
}

func dial(t *testing.T, s *server) *client {
	t.Helper()
	conn, _, _, err := ws.Dial(t.Context(), s.socketURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &client{t: t, conn: conn}
}

func (c *client) text(s string) {
	c.t.Helper()
	if err := wsutil.WriteClientText(c.conn, []byte(s)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) binary(b []byte) {
	c.t.Helper()
	if err := wsutil.WriteClientBinary(c.conn, b); err != nil {
		c.t.Fatal(err)
	}
}
