package rooms_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"hubbub/internal/rooms"
)

// withLog serves channels whose log does what the test wants.
func withLog(t *testing.T, size int) (*gapped, *rooms.Rooms, string) {
	t.Helper()
	rules := kept(size)
	l := &gapped{Log: logs(t, store(t), rules)["h"]}
	r, addr := serveRooms(t, rooms.Config{Rules: rules, Anonymous: true, Logs: map[string]rooms.Log{"h": l}})
	return l, r, addr
}

// recoverFrom asks for a subscription to h:x, from a position on.
func (l *lines) recoverFrom(id int, offset uint64, epoch string) {
	l.t.Helper()
	l.send(fmt.Sprintf(`{"id":%d,"subscribe":{"channel":"h:x","recover":true,"offset":%d,"epoch":%q}}`, id, offset, epoch))
}

// recovered checks the answer to that.
func (l *lines) recovered(id int, want string) {
	l.t.Helper()
	a, pushed := l.reply(id)
	if s := a.Subscribe; s == nil || !s.Recovered || text(s.Publications) != want {
		l.t.Errorf("%+v, want %srecovered", s, want)
	}
	if len(pushed) > 0 {
		l.t.Errorf("%s came before the answer", text(pushed))
	}
}

// live checks what is pushed next, or was while an answer was waited for.
func (l *lines) live(want string) {
	l.t.Helper()
	if len(l.pushed) == 0 {
		l.pushed = []answer{l.next()}
	}
	p := l.pushed[0].Push
	l.pushed = l.pushed[1:]
	if p == nil || p.Pub == nil || string(p.Pub.Data) != want {
		l.t.Errorf("pushed %+v, want %s", p, want)
	}
}

// What is published while the log is read is neither missing nor there twice, whether the reading has it or not.
func TestPublishedWhileRead(t *testing.T) {
	for _, when := range []string{"before it is read", "after it was read"} {
		t.Run(when, func(t *testing.T) {
			l, _, addr := withLog(t, 10)
			w, p := &lines{peer: connected(t, addr)}, &lines{peer: connected(t, addr)}
			y := &lines{peer: connected(t, addr)}
			start := y.ask(2, `"subscribe":{"channel":"h:y"}`).Subscribe
			gate := make(chan struct{})
			l.set(func() {
				l.asked = make(chan struct{}, 1)
				if l.after = gate; when == "before it is read" {
					l.before, l.after = gate, nil
				}
			})
			p.recoverFrom(2, start.Offset, start.Epoch)
			if when == "after it was read" {
				<-l.asked
			}
			w.publish(3, "h:x", "1")
			w.publish(4, "h:x", "2")
			w.publish(5, "h:y", "0")
			y.live("0") // entries come one after the other: those above have come
			close(gate)
			p.recovered(2, "1 2 ")
			w.publish(6, "h:x", "3")
			p.live("3")
		})
	}
}

// What the log has already told on reading doesn't come again when it comes live.
func TestLiveCopyComesLate(t *testing.T) {
	l, _, addr := withLog(t, 10)
	w, p := &lines{peer: connected(t, addr)}, &lines{peer: connected(t, addr)}
	start := w.ask(2, `"history":{"channel":"h:other"}`).History
	l.set(func() { l.held = true })
	w.publish(3, "h:x", "1")
	p.recoverFrom(2, start.Offset, start.Epoch)
	p.recovered(2, "1 ")
	w.publish(4, "h:x", "2")
	l.release()
	p.live("2")
}

// Publications that were forgotten are read again, and what subscribers get doesn't change by that.
func TestForgotten(t *testing.T) {
	l, r, addr := withLog(t, 10)
	w, a := &lines{peer: connected(t, addr)}, &lines{peer: connected(t, addr)}
	start := a.ask(2, `"subscribe":{"channel":"h:x"}`).Subscribe
	w.publish(3, "h:x", "1")
	a.live("1")
	r.Forget()
	w.publish(4, "h:x", "2")
	a.live("2")
	b := &lines{peer: connected(t, addr)}
	b.recoverFrom(2, start.Offset, start.Epoch)
	b.recovered(2, "1 2 ")

	// One that is stored and hasn't come live yet does so to everybody.
	r.Forget()
	l.set(func() { l.held = true })
	w.publish(5, "h:x", "3")
	c := &lines{peer: connected(t, addr)}
	c.recoverFrom(2, start.Offset, start.Epoch)
	c.recovered(2, "1 2 ")
	l.release()
	w.publish(6, "h:x", "4")
	for _, p := range []*lines{a, b, c} {
		p.live("3")
		p.live("4")
	}
	before := l.reads
	d := &lines{peer: connected(t, addr)}
	d.recoverFrom(2, start.Offset, start.Epoch)
	d.recovered(2, "1 2 3 4 ")
	if l.reads != before {
		t.Error("the log was read though all was kept")
	}
}

// If something was missed while the log was read, it is read again.
func TestMissedWhileRead(t *testing.T) {
	l, _, addr := withLog(t, 10)
	w, p := &lines{peer: connected(t, addr)}, &lines{peer: connected(t, addr)}
	start := w.ask(2, `"history":{"channel":"h:other"}`).History
	gate := make(chan struct{})
	l.set(func() { l.after, l.asked, l.lost = gate, make(chan struct{}, 2), true })
	p.recoverFrom(2, start.Offset, start.Epoch)
	<-l.asked
	w.publish(3, "h:x", "1")
	l.set(func() { l.lost = false })
	l.follower.Missed("h:x")
	close(gate)
	p.recovered(2, "1 ")
	w.publish(4, "h:x", "2")
	p.live("2")
}

// A process that may have missed something sends its subscribers back to where they know they are.
func TestMissed(t *testing.T) {
	l, _, addr := withLog(t, 5)
	a, b := &lines{peer: connected(t, addr)}, &lines{peer: connected(t, addr)}
	a.ask(2, `"subscribe":{"channel":"h:x"}`)
	b.ask(2, `"subscribe":{"channel":"h:y"}`)
	l.follower.Missed("h:x")
	if p := a.next().Push; p == nil || p.Channel != "h:x" || p.Unsubscribe == nil || p.Unsubscribe.Code != 2500 {
		t.Fatalf("%+v, want to be told to come again", p)
	}
	if s := a.ask(3, `"subscribe":{"channel":"h:x"}`).Subscribe; s == nil {
		t.Error("it can't come again")
	}
	a.publish(4, "h:y", "1")
	b.live("1")
	l.follower.Missed("")
	for _, p := range []*lines{a, b} {
		if p := p.next().Push; p == nil || p.Unsubscribe == nil {
			t.Errorf("%+v, want to be told to come again", p)
		}
	}
}

// While the log can't be read, who subscribes gets an error for now, and nothing else is held up.
func TestUnreadable(t *testing.T) {
	rules := kept(5)
	rules["live"] = open
	l := &gapped{Log: logs(t, store(t), rules)["h"], err: context.DeadlineExceeded}
	addr := serve(t, rooms.Config{Rules: rules, Anonymous: true, Logs: map[string]rooms.Log{"h": l}})
	a := &lines{peer: connected(t, addr)}
	for id, command := range map[int]string{2: `"subscribe":{"channel":"h:x"}`, 3: `"history":{"channel":"h:x","limit":1}`} {
		if r := a.ask(id, command); r.Error == nil || r.Error.Code != 100 {
			t.Errorf("%s: %+v, want error 100", command, r)
		}
	}
	if r := a.ask(4, `"subscribe":{"channel":"live:x"}`); r.Subscribe == nil {
		t.Errorf("%+v, want a subscription", r)
	}
	l.set(func() { l.err = nil })
	if r := a.ask(5, `"subscribe":{"channel":"h:x"}`); r.Subscribe == nil {
		t.Errorf("%+v, want a subscription as soon as it can be read", r)
	}
}

// However many come at once, the log is read a few times, not for each.
func TestManyComeAtOnce(t *testing.T) {
	l, _, addr := withLog(t, 30)
	var peers []*lines
	for range 200 {
		peers = append(peers, &lines{peer: connected(t, addr)})
	}
	for _, p := range peers {
		p.recoverFrom(2, 0, "x")
	}
	for _, p := range peers {
		if a, _ := p.reply(2); a.Subscribe == nil {
			t.Fatalf("%+v", a)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.reads > 5 {
		t.Errorf("the log was read %d times for 200 clients", l.reads)
	}
}

// A history is sent in parts, and who has missed more than such a part starts anew.
func TestMuchHistory(t *testing.T) {
	_, _, addr := withLog(t, 10)
	p := &lines{peer: connected(t, addr)}
	top := p.ask(2, `"history":{"channel":"h:x"}`).History
	for i := range 8 {
		p.publish(3+i, "h:x", fmt.Sprintf(`"%d%s"`, i, strings.Repeat("x", 50_000)))
	}
	var got []pub
	parts, offset := 0, top.Offset
	for ; ; parts++ {
		h := p.ask(20+parts, fmt.Sprintf(`"history":{"channel":"h:x","limit":-1,"since":{"offset":%d,"epoch":%q}}`, offset, top.Epoch)).History
		if len(h.Publications) == 0 {
			break
		}
		got = append(got, h.Publications...)
		offset = got[len(got)-1].Offset
	}
	if parts != 2 || len(got) != 8 {
		t.Errorf("%d publications in %d parts, want 8 in 2", len(got), parts)
	}
	for i, at := range []struct {
		offset    uint64
		recovered bool
	}{{top.Offset, false}, {got[4].Offset, true}} {
		p.recoverFrom(40+2*i, at.offset, top.Epoch)
		if a, _ := p.reply(40 + 2*i); a.Subscribe == nil || a.Subscribe.Recovered != at.recovered {
			t.Errorf("from %d: recovered isn't %v", at.offset, at.recovered)
		}
		p.ask(41+2*i, `"unsubscribe":{"channel":"h:x"}`)
	}
}
