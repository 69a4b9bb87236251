package client

// opening is the errand of the run's own connections: each is to be open before
// anything is sent, and is tried again a few times.
type opening struct{ *lane }

// dialMore starts as many attempts as may be under way, a turn's worth of them.
func (l *lane) dialMore() {
	l.dialing = false
	now := l.clk.Now()
	batch := l.batch[:0]
	// What has timed out isn't replaced before another opens.
	for l.inFlight < l.limit-l.silent && len(batch) < dialsPerTurn && !l.closing {
		c := l.next()
		if c == nil {
			break
		}
		l.inFlight++
		l.attempt(c, opening{l}, now)
		batch = append(batch, c)
	}
	l.batch = batch
	if len(batch) == 0 {
		l.checkSettled() // another lane may have taken the last
		return
	}
	if l.count.FirstDial == 0 {
		l.count.FirstDial = now
	}
	try(batch...)
	l.dialSoon()
}

// next returns the next connection that may be dialled: one of the lane's own, and after
// them of those that lanes share; nil if there is none now.
func (l *lane) next() *conn {
	if l.dialled == len(l.conns) {
		number, ok := l.commons.take()
		if !ok {
			return nil
		}
		l.admit(number)
	} else if l.dialled == l.granted {
		return nil
	}
	l.dialled++
	return &l.conns[l.dialled-1]
}

// dialSoon has more attempts started once the loop has looked after what is ready:
// then many are at a time.
func (l *lane) dialSoon() {
	ready := l.dialled < l.granted || l.dialled == len(l.conns) && l.commons.ready()
	if !l.dialing && ready && l.inFlight < l.limit-l.silent && !l.closing {
		l.dialing = true
		l.loop.Post(task(l.dialMore))
	}
}

// opened implements errand.
func (l opening) opened(c *conn, now int64, rest []byte) {
	if !l.closed {
		l.handshake.Record(now - c.dial.began)
	}
	l.count.LastOpen = now
	l.count.Opened++
	l.inFlight--
	l.silent = 0
	c.up(rest)
	l.dialSoon()
	l.checkSettled()
}

// refused implements errand.
func (l opening) refused(c *conn, r refusal) {
	d := c.dial
	l.inFlight--
	if r.silent {
		if l.silent++; l.silent >= l.limit {
			l.despair()
		}
	}
	if r.transient && d.tries < maxAttempts && !l.closing {
		l.retrying++
		l.loop.SetTimer(&d.timer, firstBackoff<<(d.tries-1), func() {
			l.retrying--
			l.inFlight++
			l.count.Retries++
			try(c)
		})
		l.dialSoon()
		return
	}
	c.dial, c.st = nil, failed
	l.count.Failed++
	l.fail(r.reason)
	l.dialSoon()
	l.checkSettled()
}

// despair gives up what hasn't been tried yet: as many attempts as may be under
// way have timed out since a connection last opened, and at that rate the rest
// would take hours. A server that has as many connections as it wants leaves
// others in the kernel's queue.
func (l *lane) despair() {
	for from, to := l.commons.takeAll(); from < to; from++ {
		l.admit(from)
	}
	for ; l.dialled < len(l.conns); l.dialled++ {
		l.conns[l.dialled].st = failed
		l.count.Failed++
		l.fail("not tried: the server had stopped accepting")
	}
}

// checkSettled tells when every connection is open or has failed for good.
func (l *lane) checkSettled() {
	if l.onSettled != nil && l.dialled == len(l.conns) && l.commons.gone() && l.inFlight == 0 && l.retrying == 0 {
		l.onSettled()
		l.onSettled = nil
	}
}
