package client

// opening is the errand of the run's own connections: each is to be open before
// anything is sent, and is tried again a few times.
type opening struct{ *lane }

// dialMore starts as many attempts as may be under way, a turn's worth of them.
func (l *lane) dialMore() {
	l.dialing = false
	if l.closing {
		return
	}
	now := l.clk.Now()
	// What has timed out isn't replaced before another opens.
	batch := l.take(min(l.limit-l.silent-l.inFlight, dialsPerTurn))
	if len(batch) == 0 {
		l.checkSettled()
		return
	}
	for _, c := range batch {
		c.dial = &attempt{errand: opening{l}, began: now}
	}
	l.inFlight += len(batch)
	if l.count.FirstDial == 0 {
		l.count.FirstDial = now
	}
	try(batch...)
	l.dialSoon()
}

// take makes up to n connections of the pool the lane's.
func (l *lane) take(n int) []*conn {
	from := len(l.conns)
	for taken := l.pool.take(n); len(taken) > 0; taken = taken[1:] {
		taken[0].lane = l
		l.conns = append(l.conns, &taken[0])
	}
	return l.conns[from:]
}

// dialSoon has more attempts started once the loop has looked after what is ready:
// then many are at a time.
func (l *lane) dialSoon() {
	if !l.dialing && l.pool.ready() && l.inFlight < l.limit-l.silent && !l.closing {
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
	l.pool.grant(len(l.pool.conns))
	for _, c := range l.take(len(l.pool.conns)) {
		c.st = failed
		l.count.Failed++
		l.fail("not tried: the server had stopped accepting")
	}
}

// checkSettled tells when every connection is open or has failed for good.
func (l *lane) checkSettled() {
	if l.onSettled != nil && l.pool.empty() && l.inFlight == 0 && l.retrying == 0 {
		l.onSettled()
		l.onSettled = nil
	}
}
