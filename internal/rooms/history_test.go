package rooms_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"hubbub/internal/bus"
	"hubbub/internal/rooms"
)

// store is an embedded NATS server with a data directory.
func store(t *testing.T) *bus.Embedded {
	t.Helper()
	dir, err := bus.OpenDataDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dir.Close)
	e, err := bus.StartEmbedded(bus.EmbeddedConfig{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// logs returns the logs of rules, kept by e.
func logs(t *testing.T, e *bus.Embedded, rules rooms.Rules) map[string]rooms.Log {
	t.Helper()
	b, err := bus.DialNATS(bus.NATSConfig{In: e, Prefix: "test", OnError: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	all := make(map[string]rooms.Log)
	for name, ns := range rules {
		if ns.HistorySize > 0 {
			if all[name], err = b.CreateLog(ctx, bus.LogConfig{Name: name, Keep: ns.HistorySize}, false); err != nil {
				t.Fatal(err)
			}
		}
	}
	return all
}

// kept are rules by which everybody may do everything in channels with history.
func kept(size int) rooms.Rules {
	return rooms.Rules{"h": {
		Subscribe: rooms.Anyone, Publish: rooms.Anyone, Presence: rooms.Anyone, History: rooms.Anyone,
		HistorySize: size, Recovery: true, Delta: true,
	}}
}

// Who comes back gets what it has missed, or is told that something of it is gone.
func TestRecovery(t *testing.T) {
	e := store(t)
	rules := kept(3)
	addr := serve(t, rooms.Config{Rules: rules, Anonymous: true, Logs: logs(t, e, rules)})
	a, writer := &lines{peer: connected(t, addr)}, &lines{peer: connected(t, addr)}

	first := a.ask(2, `"subscribe":{"channel":"h:x"}`).Subscribe
	if first == nil || !first.Recoverable || !first.Positioned || first.Epoch == "" || first.Recovering {
		t.Fatalf("the first subscription is answered with %+v", first)
	}
	writer.publish(2, "h:x", `"heard"`)
	heard := a.next().Push.Pub
	if string(heard.Data) != `"heard"` || heard.Offset <= first.Offset {
		t.Fatalf("heard %s at %d, subscribed at %d", heard.Data, heard.Offset, first.Offset)
	}
	a.ask(3, `"unsubscribe":{"channel":"h:x"}`)

	back := func(id int, offset uint64, epoch, more string) answer {
		t.Helper()
		r := a.ask(id, fmt.Sprintf(`"subscribe":{"channel":"h:x","recover":true,"offset":%d,"epoch":%q%s}`, offset, epoch, more))
		a.ask(id+1, `"unsubscribe":{"channel":"h:x"}`)
		return r
	}
	check := func(what string, r answer, recovered bool, want string) {
		t.Helper()
		s := r.Subscribe
		if s == nil || s.Recovered != recovered || !s.Recovering || text(s.Publications) != want {
			t.Errorf("%s: %+v, want recovered %v, and %s", what, s, recovered, want)
		}
	}
	check("from the beginning, whichever epoch", back(97, 0, "", ""), true, `"heard" `)
	check("nothing missed", back(10, heard.Offset, first.Epoch, ""), true, "")
	for i := range 3 {
		writer.publish(10+i, "h:x", fmt.Sprint(i))
	}
	check("three missed", back(20, heard.Offset, first.Epoch, ""), true, "0 1 2 ")
	check("three missed, from where it subscribed, but one more is gone", back(30, first.Offset, first.Epoch, ""), false, "")
	check("from the beginning, of which something is gone", back(95, 0, "", ""), false, "")
	check("another epoch", back(40, heard.Offset, "other", ""), false, "")
	check("an offset that isn't there yet", back(50, heard.Offset+1000, first.Epoch, ""), false, "")
	if r := back(60, first.Offset, first.Epoch, `,"flag":2`); r.Error == nil || r.Error.Code != 112 {
		t.Errorf("all or nothing: %+v, want error 112", r)
	}
	writer.publish(20, "h:x", "3")
	check("four missed", back(70, heard.Offset, first.Epoch, ""), false, "")
	last := back(80, heard.Offset+1, first.Epoch, "")
	check("three of four", last, true, "1 2 3 ")

	// After the subscription's answer comes what is published then, and nothing twice.
	r := a.ask(90, fmt.Sprintf(`"subscribe":{"channel":"h:x","recover":true,"offset":%d,"epoch":%q}`, heard.Offset+2, first.Epoch))
	check("live again", r, true, "2 3 ")
	writer.publish(30, "h:x", "4")
	if p := a.next().Push.Pub; string(p.Data) != "4" || p.Offset != last.Subscribe.Offset+1 {
		t.Errorf("then comes %s at %d", p.Data, p.Offset)
	}
}

func TestHistory(t *testing.T) {
	e := store(t)
	rules := kept(5)
	addr := serve(t, rooms.Config{Rules: rules, Anonymous: true, Logs: logs(t, e, rules)})
	a := &lines{peer: connected(t, addr)}
	for i := range 7 {
		a.publish(2+i, "h:x", fmt.Sprint(i))
	}
	top := a.ask(20, `"history":{"channel":"h:x"}`).History
	if top.Epoch == "" || len(top.Publications) != 0 {
		t.Fatalf("without a limit: %+v, want the position alone", top)
	}
	since := func(back uint64) string {
		return fmt.Sprintf(`,"since":{"epoch":%q,"offset":%d}`, top.Epoch, top.Offset-back)
	}
	for i, test := range []struct{ ask, want string }{
		{`"limit":-1`, "2 3 4 5 6 "},
		{`"limit":2`, "2 3 "},
		{`"limit":2,"reverse":true`, "6 5 "},
		{`"limit":100` + since(2), "5 6 "},
		{`"limit":1` + since(2), "5 "},
		{`"limit":100,"since":{"offset":1}`, "2 3 4 5 6 "},
		{`"limit":2,"reverse":true` + since(2), "3 2 "},
		{`"limit":2` + since(0), ""},
	} {
		h := a.ask(30+i, `"history":{"channel":"h:x",`+test.ask+`}`).History
		if h == nil || text(h.Publications) != test.want || h.Offset != top.Offset || h.Epoch != top.Epoch {
			t.Errorf("%s: %+v, want %s", test.ask, h, test.want)
		}
	}
	if r := a.ask(50, `"history":{"channel":"h:x","limit":1,"since":{"offset":1,"epoch":"other"}}`); r.Error == nil || r.Error.Code != 112 {
		t.Errorf("since another epoch: %+v, want error 112", r)
	}
	if h := a.ask(51, `"history":{"channel":"h:empty","limit":1}`).History; h == nil || h.Epoch != top.Epoch || len(h.Publications) != 0 {
		t.Errorf("of a channel without publications: %+v", h)
	}
}

// What is older than history_ttl isn't given out, and who missed it is told so.
func TestHistoryTTL(t *testing.T) {
	e := store(t)
	rules := kept(5)
	all := logs(t, e, rules)
	addr := serve(t, rooms.Config{Rules: rules, Anonymous: true, Logs: all})
	a := &lines{peer: connected(t, addr)}
	top := a.ask(2, `"history":{"channel":"h:x"}`).History
	a.publish(3, "h:x", "1")

	ns := rules["h"]
	ns.HistoryTTL = 1 // the log keeps it; these rules alone find it too old
	strict := serve(t, rooms.Config{Rules: rooms.Rules{"h": ns}, Anonymous: true, Logs: logs(t, e, rules)})
	b := &lines{peer: connected(t, strict)}
	if h := b.ask(2, `"history":{"channel":"h:x","limit":10}`).History; h == nil || len(h.Publications) != 0 {
		t.Errorf("%+v, want nothing", h)
	}
	s := b.ask(3, fmt.Sprintf(`"subscribe":{"channel":"h:x","recover":true,"offset":%d,"epoch":%q}`, top.Offset, top.Epoch)).Subscribe
	if s == nil || s.Recovered {
		t.Errorf("%+v, want not recovered", s)
	}
	b.ask(4, `"unsubscribe":{"channel":"h:x"}`)
	s = b.ask(5, fmt.Sprintf(`"subscribe":{"channel":"h:x","recover":true,"offset":%d,"epoch":%q}`, s.Offset, top.Epoch)).Subscribe
	if s == nil || !s.Recovered {
		t.Errorf("%+v, want recovered: it had seen all", s)
	}
}

// Many clients come and go while others write in two processes: each gets every publication once, in the one order.
func TestNoGapNoDouble(t *testing.T) {
	e := store(t)
	rules := kept(10_000)
	addrs := []string{
		serve(t, rooms.Config{Rules: rules, Anonymous: true, Logs: logs(t, e, rules)}),
		serve(t, rooms.Config{Rules: rules, Anonymous: true, Logs: logs(t, e, rules)}),
	}
	const readers, writers, each = 8, 4, 150
	var epoch string
	var from uint64
	{
		p := &lines{peer: connected(t, addrs[0])}
		h := p.ask(2, `"history":{"channel":"h:x"}`).History
		epoch, from = h.Epoch, h.Offset
	}
	var writing, reading sync.WaitGroup
	for w := range writers {
		p := &lines{peer: connected(t, addrs[w%2])}
		writing.Go(func() {
			for i := range each {
				p.publish(2+i, "h:x", fmt.Sprintf(`"%d/%d"`, w, i))
			}
		})
	}
	got := make([][]pub, readers)
	for i := range readers {
		p := &lines{peer: connected(t, addrs[i%2])}
		reading.Go(func() {
			offset := from
			for id := 2; len(got[i]) < writers*each; id += 2 {
				p.send(fmt.Sprintf(`{"id":%d,"subscribe":{"channel":"h:x","recover":true,"offset":%d,"epoch":%q}}`, id, offset, epoch))
				a, pushed := p.reply(id)
				if a.Subscribe == nil || !a.Subscribe.Recovered {
					t.Errorf("reader %d: %+v, want that it is recovered", i, a)
					return
				}
				if len(pushed) > 0 {
					t.Errorf("reader %d: %s came before the answer", i, text(pushed))
				}
				got[i] = append(got[i], a.Subscribe.Publications...)
				for n := 0; n < 1+i && len(got[i]) < writers*each; n++ { // some live ones, each time
					if push := p.next().Push; push != nil {
						got[i] = append(got[i], *push.Pub)
					}
				}
				p.send(fmt.Sprintf(`{"id":%d,"unsubscribe":{"channel":"h:x"}}`, id+1))
				_, pushed = p.reply(id + 1)
				got[i] = append(got[i], pushed...)
				if n := len(got[i]); n > 0 {
					offset = got[i][n-1].Offset
				}
			}
		})
	}
	writing.Wait()
	reading.Wait()
	want := text(got[0])
	for i, all := range got {
		if len(all) != writers*each || text(all) != want {
			t.Errorf("reader %d got %d publications, want %d, in the order of the others", i, len(all), writers*each)
		}
		for k := range all[1:] {
			if all[k].Offset >= all[k+1].Offset {
				t.Fatalf("reader %d: %d comes after %d", i, all[k+1].Offset, all[k].Offset)
			}
		}
	}
}

// Subscribers that want deltas get the first publication whole, and then differences; in both formats.
func TestDeltas(t *testing.T) {
	e := store(t)
	rules := kept(5)
	addr := serve(t, rooms.Config{Rules: rules, Anonymous: true, Logs: logs(t, e, rules)})
	a, w := &lines{peer: connected(t, addr)}, &lines{peer: connected(t, addr)}
	if s := a.ask(2, `"subscribe":{"channel":"h:x","delta":"fossil"}`).Subscribe; s == nil || !s.Delta {
		t.Fatalf("%+v, want deltas", s)
	}
	plain := w.ask(2, `"subscribe":{"channel":"h:x"}`).Subscribe
	if plain == nil || plain.Delta {
		t.Fatalf("%+v, want no deltas", plain)
	}
	long := strings.Repeat("the same é ", 50)
	for i := range 3 {
		w.send(fmt.Sprintf(`{"id":%d,"publish":{"channel":"h:x","data":"%s%d"}}`, 10+i, long, i))
		p := a.next().Push.Pub
		if p.Delta != (i > 0) || p.Delta && len(p.Data) > 100 || !p.Delta && string(p.Data) != fmt.Sprintf(`"\"%s%d\""`, long, i) {
			t.Errorf("publication %d: %+v", i, p)
		}
	}
	late := &lines{peer: connected(t, addr)}
	late.ask(2, `"subscribe":{"channel":"h:x","delta":"fossil"}`)
	w.send(fmt.Sprintf(`{"id":20,"publish":{"channel":"h:x","data":"%s3"}}`, long))
	if p := late.next().Push.Pub; p.Delta {
		t.Errorf("the first one that it gets is %+v, want it whole", p)
	}
	if p := a.next().Push.Pub; !p.Delta {
		t.Errorf("%+v, want a difference", p)
	}
	w.send(fmt.Sprintf(`{"id":21,"publish":{"channel":"h:x","data":"%s4"}}`, long))
	if p := late.next().Push.Pub; !p.Delta {
		t.Errorf("the second one is %+v, want a difference", p)
	}
	// Who recovers gets one whole, the others as differences, and live ones as differences to those.
	back := &lines{peer: connected(t, addr)}
	s := back.ask(2, fmt.Sprintf(`"subscribe":{"channel":"h:x","delta":"fossil","recover":true,"offset":%d,"epoch":%q}`, plain.Offset+2, plain.Epoch)).Subscribe
	if s == nil || len(s.Publications) != 3 || s.Publications[0].Delta || !s.Publications[1].Delta || !s.Publications[2].Delta {
		t.Fatalf("%+v, want three, two of them differences", s)
	}
	w.send(fmt.Sprintf(`{"id":22,"publish":{"channel":"h:x","data":"%s5"}}`, long))
	if p := back.next().Push.Pub; !p.Delta {
		t.Errorf("%+v, want a difference", p)
	}
}

// What somebody says of itself is what others see.
func TestSubscriberInfo(t *testing.T) {
	addr := serve(t, rooms.Config{Anonymous: true, Rules: rooms.Rules{"": {
		Subscribe: rooms.Anyone, Publish: rooms.Anyone, Presence: rooms.Anyone, SubscriberInfo: true,
	}}})
	p := connected(t, addr)
	p.send(`{"id":2,"subscribe":{"channel":"x","data":{"name":"Ann"}}}`)
	p.expect(`{"id":2,"subscribe":{}}`)
	p.send(`{"id":3,"presence":{"channel":"x"}}`)
	p.expect(`{"id":3,"presence":{"presence":{"UUID":{"user":"","client":"UUID","chan_info":{"name":"Ann"}}}}}`)
	p.send(`{"id":4,"subscribe":{"channel":"y","data":"` + strings.Repeat("x", 2000) + `"}}`)
	if got := p.expectAny(); !strings.Contains(got, `"code":107`) {
		t.Errorf("too much is answered with %s", got)
	}
}
