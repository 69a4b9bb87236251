package hubbub

import (
	"math"
	"time"

	"hubbub/internal/wire"
)

// What doesn't carry a message costs its sender next to nothing: pings, pongs,
// empty fragments. So there may be only so many of them.
const (
	floodRate  = 100  // a second
	floodBurst = 1000 // at once
)

var processStart = time.Now()

// chatter takes note of n frames that carry nothing, and ends the connection
// when they are too many. It is a leaky bucket: level flood, last emptied in
// second floodAt, which wraps around without harm.
func (c *Conn) chatter(n int) {
	now := uint8(time.Since(processStart) / time.Second)
	level := max(0, int(c.flood)-int(now-c.floodAt)*floodRate) + n
	c.flood, c.floodAt = uint16(min(level, math.MaxUint16)), now
	if level > floodBurst {
		c.fail(endFlood, wire.ClosePolicyViolation, "too many control frames or empty fragments")
	}
}

// rate is what a peer may still send: a token bucket each for messages and for
// bytes.
type rate struct {
	messages, bytes float64
	at              time.Duration // when they were filled last, since the process started
}

// charge takes note of a message of n bytes, and ends the connection if that is
// more than the rate allows.
func (c *Conn) charge(n int) {
	cfg := &c.shard.server.cfg
	if cfg.MessageRate == 0 && cfg.ByteRate == 0 {
		return
	}
	c.mu.Lock()
	ext := c.extrasLocked()
	c.mu.Unlock()
	r := &ext.rate
	now := time.Since(processStart)
	passed := (now - r.at).Seconds()
	if r.at == 0 { // full to begin with
		passed = math.Inf(1)
	}
	r.at = now
	burst := cfg.RateBurst.Seconds()
	take := func(tokens *float64, perSecond, least, n int) bool {
		if perSecond == 0 {
			return true
		}
		*tokens = min(*tokens+passed*float64(perSecond), max(burst*float64(perSecond), float64(least))) - float64(n)
		return *tokens >= 0
	}
	if !take(&r.messages, cfg.MessageRate, 1, 1) || !take(&r.bytes, cfg.ByteRate, cfg.MaxMessage, n) {
		c.fail(endRate, wire.ClosePolicyViolation, "rate limit exceeded")
	}
}
