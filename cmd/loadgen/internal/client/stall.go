package client

import (
	"errors"

	"github.com/mailru/easygo/netpoll"
	"golang.org/x/sys/unix"

	"hubbub/internal/poller"
	"hubbub/internal/wire"
)

// A stalled reader takes nothing from its socket: the kernel's buffers fill, at
// both ends, and then the server has what it sends to wait or to go. It stays
// open as long as the server lets it.

// toStall has the poller tell only of the end.
const toStall = poller.HalfClosed | netpoll.EPOLLET

// stall stops reading.
func (c *conn) stall() {
	l := c.lane
	l.count.Stalled++
	if err := l.loop.Mod(int(c.fd), toStall); err != nil {
		c.lose(err.Error())
	}
}

// nudge finds out which of the stalled readers the server has let go of without
// being able to say so: its FIN comes behind what there is no room for here. But
// a socket that is closed answers whatever it is sent with a reset, so each
// sends a ping.
func (l *lane) nudge() {
	ping := wire.AppendMaskedFrame(nil, wire.OpPing, nil, l.mask)
	for i := range l.conns {
		c := &l.conns[i]
		if c.kind != stalled || c.st != open {
			continue
		}
		if _, err := l.sys.Write(int(c.fd), ping); err != nil && !errors.Is(err, unix.EAGAIN) {
			c.lose(reason(err))
		}
	}
}
