package hubbub

import (
	"slices"
	"strconv"

	"github.com/gobwas/ws"
)

func (w *world) onOpen(c *Conn, r *Request) error {
	id, err := strconv.Atoi(r.Param("id"))
	if err != nil || id >= len(w.players) {
		w.problem("a handshake for %q arrives", r.Param("id"))
		return err
	}
	p := w.players[id]
	w.mu.Lock()
	p.before = len(w.posted)
	w.mu.Unlock()
	c.SetSession(p)
	c.Subscribe(topicNames[p.topic])
	if p.greeted {
		c.Send(Text, []byte("hello"))
	}
	if p.fate == isRefused {
		return Refuse(403, "not you")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.opened++
	p.desc, p.since = w.sys.find(int(c.fd)), w.count[p.topic]
	return nil
}

func (w *world) onText(c *Conn, text []byte) {
	if string(text) == "close" {
		c.Close(4000, "as you wish")
		return
	}
	c.Send(Text, text)
}

func (w *world) onBinary(c *Conn, data []byte) {
	p := c.Session().(*player)
	n, ok := decodeNote(data)
	w.mu.Lock()
	if !ok || n.from != p.id || n.index != p.handled {
		w.problem("note %d of player %d arrives as %+v of %d bytes, intact: %v", p.handled, p.id, n, len(data), ok)
	}
	p.handled++
	w.mu.Unlock()
	w.publish(n, data)
}

func (w *world) onClose(c *Conn, code uint16, reason string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed++
}

func (w *world) publish(n note, data []byte) {
	w.began.Add(1)
	w.mu.Lock()
	w.when[n.key()] = w.count[n.topic]
	w.count[n.topic]++
	w.mu.Unlock()
	w.server.Publish(topicNames[n.topic], Binary, data)
	w.mu.Lock()
	w.posted[n.key()] = len(w.posted)
	w.mu.Unlock()
}

// publishToo publishes from outside the loops.
func (w *world) publishToo() {
	for i, p := range w.players {
		<-p.halfway
		n := note{255, byte(i % numTopics), false, uint32(i)}
		w.publish(n, n.encode(i*i))
	}
}

// await waits for cond, which is called with the world locked.
func (w *world) await(what string, cond func() bool) {
	if !until(func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return cond()
	}) {
		w.problem("still waiting for %s: %d of %d notes served, backlog %d, %d connections", what,
			w.done.Load(), w.began.Load(), w.server.stats.backlog.Load(), w.server.Connections())
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, p := range w.players {
			if !p.over {
				w.problem("player %d (fate %d): upgraded %v, %d of %d notes have arrived", p.id, p.fate, p.upgraded, p.handled, p.sent)
			}
		}
	}
}

// isQuiet reports whether only players are left who stay, the server knows that, and
// all that anybody has sent has been dealt with: who has vanished may not even be
// accepted yet.
func (w *world) isQuiet() bool {
	left := 0
	for _, p := range w.players {
		if !p.over {
			left++
		}
		if !p.over && (p.fate != stays || !p.upgraded || p.handled != p.sent) {
			return false
		}
	}
	return w.sys.taken() == w.dialed && w.server.Connections() == left && w.done.Load() == w.began.Load() && w.server.stats.backlog.Load() == 0
}

// alive returns the players that are still there.
func (w *world) alive() (alive []*player) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.players {
		if !p.over {
			alive = append(alive, p)
		}
	}
	return alive
}

// haveAll reports whether each of the players has what it should, or has gone.
func (w *world) haveAll(players []*player) bool {
	w.witness.mu.Lock()
	defer w.witness.mu.Unlock()
	for _, p := range players {
		if !p.over && (p.lasts != w.witness.lasts[p.topic] || p.ponged != p.pings) {
			return false
		}
	}
	return w.isQuiet()
}

// afterTheStorm has everyone who is left publish once more. That reaches all of
// them, even those whose messages may be dropped: nothing else waits.
func (w *world) afterTheStorm() {
	w.await("the storm to pass", w.isQuiet)
	alive := w.alive()
	for _, p := range alive {
		var b []byte
		for topic := range byte(numTopics) {
			b = p.frame(b, ws.OpBinary, true, note{p.id, topic, true, p.sent}.encode(0))
			p.sent++
		}
		p.conn.Write(p.ping(b))
		if w.policy != Disconnect {
			w.await("a last message", func() bool { return w.haveAll(alive) })
		}
	}
	w.await("the last messages", func() bool { return w.haveAll(alive) })
	for _, p := range w.alive() {
		p.survives = true
	}
}

// leaveAll has everyone leave who is left.
func (w *world) leaveAll() {
	for _, p := range w.alive() {
		w.mu.Lock()
		p.fate = []fate{leaves, vanishes, stops}[w.die.IntN(3)]
		w.mu.Unlock()
		p.leave()
	}
	w.await("everybody to leave", func() bool { return w.server.Connections() == 0 })
}

// settle looks at what the server holds after Shutdown: nothing.
func (w *world) settle() {
	s, x := w.server, &w.witness
	for i := range x.subs {
		x.mu.Lock()
		s.hub.Unsubscribe(&x.subs[i])
		x.mu.Unlock()
		if len(x.stream[i]) != w.count[i] {
			w.problem("of %d notes to topic %d, %d were delivered", w.count[i], i, len(x.stream[i]))
		}
	}
	if s.Connections() != 0 || s.stats.backlog.Load() != 0 || s.hub.Topics() != 0 || len(w.sys.left()) != 0 {
		w.problem("the server ends with %d connections, %d bytes of backlog, %d topics, descriptors %v",
			s.Connections(), s.stats.backlog.Load(), s.hub.Topics(), w.sys.left())
	}
	if w.opened != w.closed {
		w.problem("OnOpen let %d in, OnClose was told of %d", w.opened, w.closed)
	}
}

// judge looks at all that a player has got, and at how it has ended.
func (w *world) judge(p *player, cut bool) {
	if !p.upgraded {
		if p.fate < isRefused && p.fate != vanishes && p.fate != stops && !cut && !w.hasty && !w.sys.weather.breaks() {
			w.problem("player %d, with fate %d: its handshake wasn't answered", p.id, p.fate)
		}
		return
	}
	if !w.mayEnd(p, cut) {
		w.problem("player %d, with fate %d, has ended with code %d", p.id, p.fate, p.code)
	}
	if p.survives && w.sys.isBroken(p.desc) {
		w.problem("player %d survives an error of its connection", p.id)
	}
	for _, key := range p.received {
		if w.posted[key] < p.before {
			w.problem("player %d received %x, published before it was subscribed", p.id, key)
		}
	}
	echoed := 0
	for i, n := range p.echoed {
		if i > 0 && n <= p.echoed[i-1] {
			w.problem("player %d received the echoes %d", p.id, p.echoed)
		}
		echoed = int(n)
	}
	stream := w.witness.stream[p.topic]
	if w.policy != Disconnect && w.server.stats.droppedOldest.Load()+w.server.stats.droppedNewest.Load() > 0 {
		for _, key := range p.received {
			i := slices.Index(stream, key)
			if i < 0 {
				w.problem("player %d received %x twice, or in the wrong order, or for no reason", p.id, key)
				return
			}
			stream = stream[i+1:]
		}
		return
	}
	// Nothing is missing.
	if len(p.echoed) != echoed || p.survives && (uint32(echoed) != p.echoes || p.greeted != (p.hellos == 1)) {
		w.problem("player %d received the echoes %d of %d, and %d hellos", p.id, p.echoed, p.echoes, p.hellos)
	}
	if len(p.received) == 0 && !p.survives {
		return
	}
	from := len(stream)
	if len(p.received) > 0 {
		from = slices.Index(stream, p.received[0])
	}
	if from < 0 || len(stream) < from+len(p.received) || !slices.Equal(stream[from:from+len(p.received)], p.received) {
		w.problem("player %d received %x, which is no part of %x", p.id, p.received, stream)
		return
	}
	for _, key := range stream[:from] {
		if w.when[key] >= p.since {
			w.problem("player %d didn't receive %x, published after it was subscribed", p.id, key)
		}
	}
	if p.survives && from+len(p.received) != len(stream) {
		w.problem("player %d received nothing of %x, though it survives", p.id, stream[from+len(p.received):])
	}
}

// mayEnd reports whether a connection may end the way that p's has.
func (w *world) mayEnd(p *player, cut bool) bool {
	switch p.code {
	case 0: // no close frame
		return p.fate == vanishes || p.fate == stops || w.sys.isBroken(p.desc) || w.sys.hasStalled(p.desc)
	case 1000:
		return p.fate == leaves
	case 1001:
		return cut || p.survives
	case 1008:
		return w.policy == Disconnect
	case 4000:
		return p.fate == isClosed
	}
	return p.code == p.wrong
}
