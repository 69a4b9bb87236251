package client

// opening is the errand of the run's own connections: each is to be open before
// anything is sent, and is tried again a few times.
type opening struct{ *lane }

// dialMore starts as many attempts as may be under way.
func (l *lane) dialMore() {
	if l.dialling { // called by an attempt that failed at once: the caller goes on
		return
	}
	l.dialling = true
	defer func() { l.dialling = false }()
	if l.silent >= l.limit {
		l.despair()
	}
	// What has timed out isn't replaced before another opens.
	for n := 0; l.dialled < l.granted && l.inFlight < l.limit-l.silent && !l.closing; n++ {
		if n == dialsPerTurn {
			l.loop.Post(task(l.dialMore))
			return
		}
		c := &l.conns[l.dialled]
		l.dialled++
		now := l.clk.Now()
		if l.count.FirstDial == 0 {
			l.count.FirstDial = now
		}
		c.dial = &attempt{errand: opening{l}, began: now}
		l.inFlight++
		c.try()
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
	l.dialMore()
	l.checkSettled()
}

// refused implements errand.
func (l opening) refused(c *conn, r refusal) {
	d := c.dial
	l.inFlight--
	if r.silent {
		l.silent++
	}
	if r.transient && d.tries < maxAttempts && !l.closing {
		l.retrying++
		l.loop.SetTimer(&d.timer, firstBackoff<<(d.tries-1), func() {
			l.retrying--
			l.inFlight++
			l.count.Retries++
			c.try()
		})
		l.dialMore()
		return
	}
	c.dial, c.st = nil, failed
	l.count.Failed++
	l.fail(r.reason)
	l.dialMore()
	l.checkSettled()
}

// despair gives up what hasn't been tried yet: as many attempts as may be under
// way have timed out since a connection last opened, and at that rate the rest
// would take hours. A server that has as many connections as it wants leaves
// others in the kernel's queue.
func (l *lane) despair() {
	for ; l.dialled < len(l.conns); l.dialled++ {
		l.conns[l.dialled].st = failed
		l.count.Failed++
		l.fail("not tried: the server had stopped accepting")
	}
}

// checkSettled tells when every connection is open or has failed for good.
func (l *lane) checkSettled() {
	if l.onSettled != nil && l.dialled == len(l.conns) && l.inFlight == 0 && l.retrying == 0 {
		l.onSettled()
		l.onSettled = nil
	}
}
