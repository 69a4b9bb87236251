package rooms

import "time"

// The follower of a log may be behind what this process has been told of by other ways: a publication is
// acknowledged before it comes back from the log, and a client may come from a process that is ahead of this one. Whoever asks for
// the past then waits for the follower, so that an acknowledged publication is in every history that is
// given out after that, and a client that has everything isn't told otherwise.

// wanted is what somebody wants of a channel's past.
type wanted interface {
	// enough reports whether a past will do that isn't whole.
	enough(*past) bool
	// ahead reports whether the asker knows of something that the past doesn't have yet.
	ahead(*past) bool
	// patient reports whether the asker goes on waiting for that.
	patient() bool
}

// patience is of those who wait; it begins when they first have to.
type patience struct{ until time.Time }

const maxBehind = time.Second

func (w *patience) patient() bool {
	now := time.Now()
	if w.until.IsZero() {
		w.until = now.Add(maxBehind)
	}
	return now.Before(w.until)
}

// acknowledged has whoever asks for a channel's past from now on wait for an offset.
func (r *Rooms) acknowledged(name string, offset uint64) {
	sh := r.shardOf(name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	// Where nothing is known of the past the log will be read, and that has it.
	if ch := sh.channels[name]; ch != nil && ch.past != nil {
		ch.past.due = max(ch.past.due, offset)
	}
}

// waitBehind has f called when the past has come further, or patience ends. The lock of its shard is held.
func (sh *shard) waitBehind(p *past, f func(error)) {
	if p.behind = append(p.behind, f); len(p.behind) > 1 {
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(maxBehind, func() {
		sh.mu.Lock()
		var waiting []func(error)
		if p.giveUp == timer { // otherwise it was too late to stop it
			p.due = 0 // nobody else is to wait for it as long
			waiting = p.caughtUp()
		}
		sh.mu.Unlock()
		tell(waiting, nil)
	})
	p.giveUp = timer
}

// caughtUp returns those who wait for the follower, who are to be told without the lock.
func (p *past) caughtUp() (waiting []func(error)) {
	if p.giveUp != nil {
		p.giveUp.Stop()
	}
	waiting, p.behind, p.giveUp = p.behind, nil, nil
	return waiting
}

func tell(waiting []func(error), err error) {
	for _, f := range waiting {
		f(err)
	}
}
