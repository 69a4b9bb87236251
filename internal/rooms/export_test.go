package rooms

import "time"

// Forget has r forget all publications that it keeps, as if nobody had asked for them for long.
func (r *Rooms) Forget() {
	for i := range r.shards {
		sh := &r.shards[i]
		sh.mu.Lock()
		sh.forget(time.Now().Add(time.Hour))
		sh.swept = time.Time{}
		sh.mu.Unlock()
	}
}

// Age has r think that nobody has asked for anything for long.
func (r *Rooms) Age() {
	for i := range r.shards {
		sh := &r.shards[i]
		sh.mu.Lock()
		sh.swept = time.Time{}
		for _, ch := range sh.channels {
			if ch.past != nil {
				ch.past.used = time.Time{}
			}
		}
		sh.mu.Unlock()
	}
}

// Kept returns how many publications r keeps, and how many readings wait.
func (r *Rooms) Kept() (publications, readings int) {
	for i := range r.shards {
		sh := &r.shards[i]
		sh.mu.Lock()
		for _, ch := range sh.channels {
			if ch.past != nil {
				publications += len(ch.past.kept)
			}
		}
		sh.mu.Unlock()
	}
	r.readers.mu.Lock()
	defer r.readers.mu.Unlock()
	return publications, len(r.readers.waiting) + r.readers.running
}
