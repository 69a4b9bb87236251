package rooms_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"hubbub/internal/rooms"
)

// unanswered sends a command of which the answer waits: that to the next one comes first.
func (l *lines) unanswered(id int, command string) {
	l.t.Helper()
	l.send(fmt.Sprintf(`{"id":%d,%s}`, id, command))
	l.send(fmt.Sprintf(`{"id":%d,"ping":{}}`, id+1))
	if a := l.next(); a.ID != id+1 {
		l.t.Fatalf("%+v comes first, want the answer to ping", a)
	}
}

// What was acknowledged is in every history after that, though it hasn't come back from the log yet; and a history
// that was removed isn't.
func TestAcknowledgedIsThere(t *testing.T) {
	l, r, addr := withLog(t, 10)
	p, q := &lines{peer: connected(t, addr)}, &lines{peer: connected(t, addr)}
	start := p.ask(2, `"history":{"channel":"h:x","limit":1}`).History // from now on the past is kept up to date

	l.set(func() { l.held = true })
	p.publish(3, "h:x", "1")
	p.unanswered(4, `"history":{"channel":"h:x","limit":-1}`)
	q.unanswered(4, fmt.Sprintf(`"subscribe":{"channel":"h:x","recover":true,"offset":%d,"epoch":%q}`, start.Offset, start.Epoch))
	l.release()
	if h := p.next().History; text(h.Publications) != "1 " {
		t.Errorf("%+v, want what was published", h)
	}
	q.recovered(4, "1 ")

	l.set(func() { l.held = true })
	if err := r.RemoveHistory(t.Context(), "h:x"); err != nil {
		t.Fatal(err)
	}
	p.unanswered(6, `"history":{"channel":"h:x","limit":-1}`)
	l.release()
	if h := p.next().History; len(h.Publications) != 0 {
		t.Errorf("%+v, want nothing", h)
	}
}

// Who asks waits for what was acknowledged last, however long others have asked before.
func TestAcknowledgedAgainAndAgain(t *testing.T) {
	l, _, addr := withLog(t, 1)
	p, w := &lines{peer: connected(t, addr)}, &lines{peer: connected(t, addr)}
	p.ask(2, `"history":{"channel":"h:x","limit":1}`)
	id := 3
	for began := time.Now(); time.Since(began) < 2*time.Second; id += 3 { // longer than anybody waits
		l.set(func() { l.held = true })
		p.publish(id, "h:x", fmt.Sprint(id))
		p.unanswered(id+1, `"history":{"channel":"h:x","limit":1}`)
		for i := range id % 400 { // meanwhile
			w.ask(i+2, `"ping":{}`)
		}
		l.release()
		if h := p.next().History; text(h.Publications) != fmt.Sprintf("%d ", id) {
			t.Fatalf("%+v, want %d", h, id)
		}
	}
}

// Nobody waits for ever for what doesn't come.
func TestNeverComes(t *testing.T) {
	l, _, addr := withLog(t, 10)
	p := &lines{peer: connected(t, addr)}
	p.ask(2, `"history":{"channel":"h:x","limit":1}`)
	l.set(func() { l.lost = true })
	p.publish(3, "h:x", "1")
	p.unanswered(4, `"history":{"channel":"h:x","limit":-1}`)
	if h := p.next().History; h == nil || len(h.Publications) != 0 {
		t.Errorf("%+v, want what there is", h)
	}
	if h := p.ask(6, `"history":{"channel":"h:x","limit":-1}`).History; h == nil || len(h.Publications) != 0 {
		t.Errorf("%+v, want what there is", h)
	}
}

// A client that comes from a process that is ahead of this one has missed nothing, and gets nothing twice; neither if it
// subscribes, nor if its token does.
func TestAheadOfTheFollower(t *testing.T) {
	rules := kept(10)
	e := store(t)
	late := &gapped{Log: logs(t, e, rules)["h"]}
	one := serve(t, rooms.Config{Rules: rules, Anonymous: true, Logs: logs(t, e, rules)})
	two := serve(t, rooms.Config{Rules: rules, Anonymous: true, Verifier: verifier(t), Logs: map[string]rooms.Log{"h": late}})
	a, b := &lines{peer: connected(t, one)}, &lines{peer: connected(t, two)}
	s := a.ask(2, `"subscribe":{"channel":"h:x"}`).Subscribe
	b.ask(2, `"subscribe":{"channel":"h:x"}`)
	late.set(func() { late.held = true })
	a.publish(3, "h:x", "1")
	a.conn.Close()
	c, d := &lines{peer: connected(t, two)}, &lines{peer: dial(t, two, "")}
	c.unanswered(2, fmt.Sprintf(`"subscribe":{"channel":"h:x","recover":true,"offset":%d,"epoch":%q}`, s.Offset+1, s.Epoch))
	token := sign(t, jwt.MapClaims{"sub": "ann", "channels": []string{"h:x"}})
	d.send(fmt.Sprintf(`{"id":1,"connect":{"token":%q,"subs":{"h:x":{"recover":true,"epoch":%q,"offset":%d}}}}`, token, s.Epoch, s.Offset+1))
	late.release()
	c.recovered(2, "")
	if given := d.next().Connect.Subs["h:x"]; !given.Recovered || len(given.Publications) > 0 {
		t.Errorf("%+v, want recovered, and nothing missed", given)
	}
	b.live("1")
	b.publish(3, "h:x", "2")
	c.live("2")
	d.live("2")
}
