package hubbub

import "hubbub/internal/poller"

// taker is a shard as its Acceptors see it.
type taker struct {
	*shard
	from *listener
}

// Reserve implements poller.Taker. The count of connections never exceeds
// MaxConns, however many loops accept.
func (t taker) Reserve() bool {
	s := t.server
	for s.conns.Add(1) > int64(s.cfg.MaxConns) || s.stopping.Load() {
		if s.stopping.Load() { // asked after counting, so that Shutdown sees one or the other
			s.left()
			return false
		}
		s.conns.Add(-1)
		s.full.Store(true)
		// Who leaves from now on sees the flag. Who left just before may not
		// have: look again.
		if s.conns.Load() >= int64(s.cfg.MaxConns) || !s.full.CompareAndSwap(true, false) {
			return false
		}
	}
	return true
}

// Busy implements poller.Taker: messages come before connections, those of others that
// share the processors too.
func (t taker) Busy() bool {
	s := t.server
	return s.hub.Busy() || s.cfg.Neighbours != nil && s.cfg.Neighbours.Busy()
}

// Cancel implements poller.Taker.
func (t taker) Cancel() { t.server.left() }

// Take implements poller.Taker: the connection goes to the shard with the
// fewest.
func (t taker) Take(fd int) {
	to := t.shard
	for _, other := range t.server.shards {
		if other.conns.Load() < to.conns.Load() {
			to = other
		}
	}
	to.conns.Add(1)
	if to == t.shard {
		to.take(fd, t.from)
	} else if !to.loop.Post(adopt{to, fd, t.from}) {
		t.loop.Sys().Close(fd)
		t.server.gone(to)
	}
}

// Short implements poller.Taker.
func (t taker) Short(err error) {
	t.server.log.Warn("cannot accept connections for now; they wait in the kernel's queue", "error", err,
		"connections", t.server.Connections(), "hint", "raise the limit of open files (ulimit -n, LimitNOFILE), or lower -max-conns")
}

// gone takes note that a shard has given a connection's descriptor back.
func (s *Server) gone(sh *shard) {
	sh.conns.Add(-1)
	s.left()
}

// left takes note that there is room for one more connection.
func (s *Server) left() {
	s.conns.Add(-1)
	if s.stopping.Load() {
		s.checkEmpty()
		return
	}
	if s.full.Load() && s.full.CompareAndSwap(true, false) {
		for _, sh := range s.shards {
			sh.loop.Post(poller.Func(func() {
				for _, a := range sh.accepting {
					if s.stopping.Load() {
						return
					}
					if err := a.Resume(); err != nil {
						s.log.Error("cannot go on accepting", "error", err)
					}
				}
			}))
		}
	}
}
