package rooms_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/centrifugal/protocol"
	"github.com/golang-jwt/jwt/v5"

	"hubbub/internal/rooms"
)

// A client that asks for ever more histories has to wait for those that it has asked for.
func TestManyReadingsOfOneClient(t *testing.T) {
	l, r, addr := withLog(t, 10)
	gate := make(chan struct{})
	l.set(func() { l.before = gate })
	p := &lines{peer: connected(t, addr)}
	var commands []string
	for i := range 400 {
		commands = append(commands, fmt.Sprintf(`{"id":%d,"subscribe":{"channel":"h:%d"}}`, 2*i+2, i), fmt.Sprintf(`{"id":%d,"unsubscribe":{"channel":"h:%d"}}`, 2*i+3, i))
	}
	p.send(strings.Join(commands, "\n"))
	busy := 0
	for answered := 0; answered < 400+272; answered++ { // 128 subscriptions wait
		if a := p.next(); a.Error != nil && a.Error.Code == 111 {
			busy++
		}
	}
	if _, readings := r.Kept(); busy != 272 || readings != 128 {
		t.Errorf("%d were refused, and %d readings wait; want 272 and 128", busy, readings)
	}
	close(gate)
	for range 128 {
		p.next()
	}
	if a := p.ask(900, `"subscribe":{"channel":"h:x"}`); a.Subscribe == nil {
		t.Errorf("%+v, want a subscription when the others are over", a)
	}
}

// What takes long is done in parts, in order.
func TestManyCommandsInOneMessage(t *testing.T) {
	_, r, addr := withLog(t, 30)
	for i := range 30 {
		if _, err := r.Publish(t.Context(), "h:x", rooms.Message{Data: fmt.Appendf(nil, `"%s%d"`, strings.Repeat("x", 3000), i)}); err != nil {
			t.Fatal(err)
		}
	}
	p := &lines{peer: connected(t, addr)}
	p.ask(2, `"history":{"channel":"h:x","limit":-1}`)
	var commands []string
	const n = 8 // less than the backlog takes, more than a turn
	for i := range n {
		commands = append(commands, fmt.Sprintf(`{"id":%d,"history":{"channel":"h:x","limit":-1}}`, 10+i))
	}
	go func() {
		p.send(strings.Join(commands, "\n"))
		p.send(fmt.Sprintf(`{"id":%d,"ping":{}}`, 10+n))
	}()
	for i := range n + 1 {
		if a := p.next(); a.ID != 10+i {
			t.Fatalf("%d is answered, want %d", a.ID, 10+i)
		}
	}
}

// What came before the answer to connect is handled before what comes after it.
func TestHeldIsNotOvertaken(t *testing.T) {
	l, _, addr := withLogAndTokens(t, 5)
	for round := range 20 {
		gate := make(chan struct{})
		l.set(func() { l.before = gate })
		p := &lines{peer: dial(t, addr, "")}
		token := sign(t, jwt.MapClaims{"sub": "ann", "channels": []string{fmt.Sprintf("h:%d", round)}})
		p.send(fmt.Sprintf(`{"id":1,"connect":{"token":%q}}`, token))
		const n = 200
		go func() {
			for i := range n {
				if i == n/4 {
					close(gate)
				}
				p.send(fmt.Sprintf(`{"id":%d,"ping":{}}`, i+2))
			}
		}()
		for i := range n + 1 {
			if a := p.next(); a.ID != i+1 {
				t.Fatalf("round %d: %d is answered, want %d", round, a.ID, i+1)
			}
		}
		p.conn.Close()
	}
}

func withLogAndTokens(t *testing.T, size int) (*gapped, *rooms.Rooms, string) {
	t.Helper()
	rules := kept(size)
	l := &gapped{Log: logs(t, store(t), rules)["h"]}
	r, addr := serveRooms(t, rooms.Config{Rules: rules, Anonymous: true, Verifier: verifier(t), Logs: map[string]rooms.Log{"h": l}})
	return l, r, addr
}

// What a backend orders while a client is being greeted is done after that.
func TestOrdersWhileGreeted(t *testing.T) {
	l, r, addr := withLogAndTokens(t, 5)
	w := &lines{peer: connected(t, addr)}
	w.ask(2, `"subscribe":{"channel":"h:a"}`)
	gate := make(chan struct{})
	l.set(func() { l.before, l.asked = gate, make(chan struct{}, 9) })
	p := &lines{peer: dial(t, addr, "")}
	p.send(fmt.Sprintf(`{"id":1,"connect":{"token":%q}}`, sign(t, jwt.MapClaims{"sub": "ann", "channels": []string{"h:a", "h:b"}})))
	for greeting := false; !greeting; {
		all, err := r.Infos(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		greeting = all[0].NumUsers == 2
	}
	if err := r.Unsubscribe(rooms.Target{User: "ann"}, "h:a"); err != nil {
		t.Fatal(err)
	}
	close(gate)
	if a := p.next(); a.ID != 1 {
		t.Fatalf("%+v comes before the answer to connect", a)
	}
	if push := p.next().Push; push == nil || push.Channel != "h:a" || push.Unsubscribe == nil {
		t.Errorf("%+v, want that it is unsubscribed", push)
	}
	w.publish(5, "h:a", "7")
	w.publish(6, "h:b", "8")
	p.live("8")
}

// Publications that nobody asks for aren't kept, though there are ever more of them.
func TestNobodyAsks(t *testing.T) {
	_, r, addr := withLog(t, 10)
	a := &lines{peer: connected(t, addr)}
	a.ask(2, `"subscribe":{"channel":"h:x"}`)
	for i := range 5 {
		a.publish(3+i, "h:x", "1")
		a.live("1")
	}
	if n, _ := r.Kept(); n != 5 {
		t.Fatalf("%d are kept, want 5", n)
	}
	r.Age()
	a.publish(10, "h:x", "2")
	w := &lines{peer: connected(t, addr)}
	w.ask(2, `"subscribe":{"channel":"h:y"}`)
	w.publish(3, "h:y", "3")
	w.live("3") // what was published before it has come
	if n, _ := r.Kept(); n > 1 {
		t.Errorf("%d are kept, want those of h:y alone", n)
	}
}

// What publishers say of themselves counts as what is sent.
func TestInfoCounts(t *testing.T) {
	rules := kept(500)
	ns := rules["h"]
	ns.SubscriberInfo = true
	rules["h"] = ns
	addr := serve(t, rooms.Config{Rules: rules, Anonymous: true, Logs: logs(t, store(t), rules)})
	p := &lines{peer: connected(t, addr)}
	p.ask(2, `"subscribe":{"channel":"h:y"}`)
	p.ask(3, `"subscribe":{"channel":"h:x","data":"`+strings.Repeat("x", 1000)+`"}`)
	var commands []string
	for i := range 400 {
		commands = append(commands, fmt.Sprintf(`{"id":%d,"publish":{"channel":"h:x","data":1}}`, i+10))
	}
	p.send(strings.Join(commands, "\n"))
	p.publish(500, "h:y", "1") // the others were taken before
	h := p.ask(501, `"history":{"channel":"h:x","limit":-1}`).History
	if n := len(h.Publications); n < 200 || n > 256 {
		t.Errorf("%d publications with 1 KiB of info in a part of 256 KiB", n)
	}
}

// What a backend has got of a history doesn't change under its eyes.
func TestHistoryOfABackend(t *testing.T) {
	_, r, addr := withLog(t, 3)
	a := &lines{peer: connected(t, addr)}
	a.ask(2, `"subscribe":{"channel":"h:x"}`)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := r.Publish(context.Background(), "h:x", rooms.Message{Data: []byte("1")}); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 20_000 {
		h, err := r.History(t.Context(), "h:x", &protocol.HistoryRequest{Limit: -1})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range h.Publications {
			if p == nil {
				t.Fatal("a publication is nil")
			}
		}
	}
	close(stop)
	wg.Wait()
}
