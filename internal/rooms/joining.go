package rooms

import (
	"slices"
	"time"

	"github.com/centrifugal/protocol"
)

// joining is a subscription that is being made.
type joining struct {
	s    *subscription
	ns   Namespace
	from position
	patience
}

// enough reports whether a past will do as it is.
func (j *joining) enough(p *past) bool {
	return !j.ns.Recovery || !j.from.recover || j.from.at(p)
}

// position is where a client wants to go on.
type position struct {
	recover bool
	offset  uint64
	epoch   string
	orNot   bool // it wants no subscription otherwise
}

// at reports whether the client has everything.
func (at position) at(p *past) bool {
	return at.offset == p.top && (at.epoch == "" || at.epoch == p.epoch)
}

func (j *joining) ahead(p *past) bool {
	return j.ns.Recovery && j.from.recover && j.from.epoch == p.epoch && j.from.offset > p.top
}

// maxRecovered is how much a client gets of what it has missed, in bytes: who has missed more starts anew.
const maxRecovered = 256 << 10

// recover adds to a subscription's result where the channel is, and what the client has missed. It reports whether that
// is all there was, or the client subscribes nevertheless.
func (c *client) recover(p *past, ns Namespace, from position, result *protocol.SubscribeResult) bool {
	result.Recoverable, result.Positioned, result.Epoch, result.Offset = true, true, p.epoch, p.top
	if !from.recover {
		return true
	}
	result.WasRecovering = true
	defer func() {
		if result.Recovered {
			c.rooms.stats.recovered.Add(1)
		} else {
			c.rooms.stats.unrecovered.Add(1)
		}
	}()
	if from.at(p) {
		result.Recovered = true
		return true
	}
	missed, all := p.since(from.offset, from.epoch, ns.oldest(time.Now()))
	bytes := 0
	for _, pub := range missed {
		bytes += pub.SizeVT()
	}
	if all && bytes <= maxRecovered {
		result.Recovered, result.Publications = true, missed
	}
	return result.Recovered || !from.orNot
}

// readyLocked reports whether what is needed of the channel's past is at hand, with the lock of its shard held.
func (j *joining) readyLocked(r *Rooms) bool {
	if r.log(j.s.channel.name) == nil {
		return true
	}
	p := j.s.channel.past
	return p != nil && p.told && (p.whole || j.enough(p))
}

// lock takes the locks of all channels' shards, and returns what gives them back.
func (r *Rooms) lock(all []*joining) (unlock func()) {
	var shards []*shard
	for i := range r.shards { // always in the same order
		sh := &r.shards[i]
		if slices.ContainsFunc(all, func(j *joining) bool { return r.shardOf(j.s.channel.name) == sh }) {
			sh.mu.Lock()
			shards = append(shards, sh)
		}
	}
	return func() {
		for _, sh := range shards {
			sh.mu.Unlock()
		}
	}
}
