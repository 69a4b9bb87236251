package rooms_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/centrifugal/protocol"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"hubbub/internal/leak"
	"hubbub/internal/rooms"
)

// patience bounds every wait: it only turns a wait for something that never comes into a failure.
const patience = time.Minute

func TestMain(m *testing.M) { os.Exit(leak.Main(m)) }

// open are rules by which everybody may do everything.
var open = rooms.Namespace{Subscribe: rooms.Anyone, Publish: rooms.Anyone, Presence: rooms.Anyone}

// A whole conversation, and what another client hears of it.
func TestConversation(t *testing.T) {
	addr := serve(t, rooms.Config{Rules: rooms.DefaultRules, Anonymous: true})
	a, b := connected(t, addr), connected(t, addr)
	b.send(`{"id":2,"subscribe":{"channel":"chat:x","join_leave":true}}`)
	b.expect(`{"id":2,"subscribe":{}}`, `{"push":{"channel":"chat:x","join":{"info":{"user":"","client":"UUID"}}}}`)
	a.send(`{"id":2,"subscribe":{"channel":"chat:x"}}` + "\n" + `{"id":3,"ping":{}}`)
	a.expect(`{"id":2,"subscribe":{}}`, `{"id":3,"ping":{}}`)
	b.expect(`{"push":{"channel":"chat:x","join":{"info":{"user":"","client":"UUID"}}}}`)

	const said = `{"push":{"channel":"chat:x","pub":{"data":{"text":"hello"},"info":{"user":"","client":"UUID"}}}}`
	a.send(`{"id":4,"publish":{"channel":"chat:x","data":{"text":"hello"}}}`)
	b.expect(said)
	first, _ := a.read() // the answer and the publication may come in either order
	second, _ := a.read()
	both := uuid.ReplaceAllString(first+"\n"+second, "UUID")
	if answer := `{"id":4,"publish":{}}`; both != answer+"\n"+said && both != said+"\n"+answer {
		t.Errorf("who publishes receives\n%s", both)
	}

	b.send(`{"id":5,"presence_stats":{"channel":"chat:x"}}`)
	b.expect(`{"id":5,"presence_stats":{"num_clients":2,"num_users":1}}`)
	a.send(`{"id":6,"unsubscribe":{"channel":"chat:x"}}`)
	a.expect(`{"id":6,"unsubscribe":{}}`)
	b.expect(`{"push":{"channel":"chat:x","leave":{"info":{"user":"","client":"UUID"}}}}`)
	b.send(`{"id":7,"presence":{"channel":"chat:x"}}`)
	b.expect(`{"id":7,"presence":{"presence":{"UUID":{"user":"","client":"UUID"}}}}`)

	c := connected(t, addr)
	c.send(`{"id":2,"subscribe":{"channel":"chat:x"}}`)
	c.expect(`{"id":2,"subscribe":{}}`)
	b.expect(`{"push":{"channel":"chat:x","join":{"info":{"user":"","client":"UUID"}}}}`)
	c.conn.Close() // without a word
	b.expect(`{"push":{"channel":"chat:x","leave":{"info":{"user":"","client":"UUID"}}}}`)
}

// What is asked in vain is answered with an error, and the connection goes on.
func TestErrors(t *testing.T) {
	addr := serve(t, rooms.Config{Anonymous: true, MaxChannels: 2, MaxName: 20, Rules: rooms.Rules{
		"open": open, "bytes": {Subscribe: rooms.Anyone, Binary: true}, "users": {Subscribe: rooms.Users, Publish: rooms.Users, Presence: rooms.Users},
		"closed": {}, "": open,
	}})
	for _, test := range []struct {
		name, before, command string
		code                  int
	}{
		{"unknown namespace", "", `"subscribe":{"channel":"other:x"}`, 102},
		{"publish in an unknown namespace", "", `"publish":{"channel":"other:x","data":{}}`, 102},
		{"no name", "", `"subscribe":{"channel":""}`, 107},
		{"long name", "", `"subscribe":{"channel":"open:0123456789abcdef"}`, 107},
		{"closed", "", `"subscribe":{"channel":"closed:x"}`, 103},
		{"for users", "", `"subscribe":{"channel":"users:x"}`, 103},
		{"publish for users", "", `"publish":{"channel":"users:x","data":{}}`, 103},
		{"presence for users", "", `"presence":{"channel":"users:x"}`, 103},
		{"with a token", "", `"subscribe":{"channel":"open:x","token":"abc"}`, 103},
		{"bytes for JSON", "", `"subscribe":{"channel":"bytes:x"}`, 103},
		{"twice", `{"id":2,"subscribe":{"channel":"open:x"}}`, `"subscribe":{"channel":"open:x"}`, 105},
		{"too many", `{"id":2,"subscribe":{"channel":"1"}}` + "\n" + `{"id":3,"subscribe":{"channel":"2"}}`, `"subscribe":{"channel":"3"}`, 106},
		{"nothing to publish", "", `"publish":{"channel":"open:x"}`, 107},
		{"no presence", "", `"presence":{"channel":"closed:x"}`, 108},
		{"history", "", `"history":{"channel":"open:x"}`, 108},
		{"rpc", "", `"rpc":{"method":"m"}`, 108},
		{"refresh", "", `"refresh":{"token":"t"}`, 108},
		{"sub_refresh", "", `"sub_refresh":{"channel":"open:x"}`, 108},
		{"nothing", "", `"unheard":{}`, 104},
		{"unsubscribe from nothing", "", `"unsubscribe":{"channel":"open:x"}`, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := connected(t, addr)
			if test.before != "" {
				p.send(test.before)
				for range strings.Count(test.before, "\n") + 1 {
					p.expectAny()
				}
			}
			p.send(`{"id":9,` + test.command + `}`)
			got := p.expectAny()
			if want := fmt.Sprintf(`{"id":9,"error":{"code":%d,`, test.code); test.code != 0 && !strings.HasPrefix(got, want) || test.code == 0 && strings.Contains(got, "error") {
				t.Errorf("answer %s, want code %d", got, test.code)
			}
			p.send(`{"id":10,"ping":{}}`)
			p.expect(`{"id":10,"ping":{}}`)
		})
	}
}

// Clients that break the protocol are told so, in a way that has them stay away.
func TestDisconnects(t *testing.T) {
	addr := serve(t, rooms.Config{Anonymous: true, Rules: rooms.DefaultRules, MaxCommands: 3})
	strict := serve(t, rooms.Config{Rules: rooms.DefaultRules})
	const greeting = `{"id":1,"connect":{}}`
	ping := "\n" + `{"id":2,"ping":{}}`
	for _, test := range []struct {
		name, addr, message string
		code                ws.StatusCode
	}{
		{"no JSON", addr, `hello`, 3501},
		{"empty", addr, ``, 3501},
		{"an empty line", addr, greeting + "\n\n", 3501},
		{"not connected", addr, `{"id":1,"subscribe":{"channel":"chat:x"}}`, 3501},
		{"connect without a number", addr, `{"connect":{}}`, 3501},
		{"connect twice", addr, greeting + "\n" + greeting, 3501},
		{"a command without a number", addr, greeting + "\n" + `{"publish":{"channel":"chat:x","data":{}}}`, 3501},
		{"deep", addr, greeting + "\n" + `{"id":2,"publish":{"channel":"chat:x","data":` + strings.Repeat("[", 50_000), 3501},
		{"a token", addr, `{"id":1,"connect":{"token":"abc"}}`, 3500},
		{"anonymous", strict, greeting, 3507},
		{"send", addr, greeting + "\n" + `{"send":{"data":{}}}`, 3508},
		{"too many", addr, greeting + ping + ping + ping, 3501},
		{"something behind a command", addr, greeting + "x", 3501},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := dial(t, test.addr, "")
			p.send(test.message)
			if code, reason := p.ended(); code != test.code || reason == "" {
				t.Errorf("ended with %d %q, want %d", code, reason, test.code)
			}
		})
	}
	t.Run("bytes instead of text", func(t *testing.T) {
		p := dial(t, addr, "")
		if err := wsutil.WriteClientBinary(p.conn, []byte(greeting)); err != nil {
			t.Fatal(err)
		}
		if code, _ := p.ended(); code != 3501 {
			t.Errorf("ended with %d, want 3501", code)
		}
	})
	t.Run("as many as allowed", func(t *testing.T) {
		p := dial(t, addr, "")
		p.send(greeting + ping + ping)
		p.expect(hello, `{"id":2,"ping":{}}`, `{"id":2,"ping":{}}`)
	})
}

// Clients in both formats hear each other.
func TestFormats(t *testing.T) {
	addr := serve(t, rooms.Config{Rules: rooms.Rules{"": open, "bytes": {Subscribe: rooms.Anyone, Publish: rooms.Anyone, Binary: true}}, Anonymous: true})
	text := connected(t, addr)
	text.send(`{"id":2,"subscribe":{"channel":"x"}}`)
	text.expect(`{"id":2,"subscribe":{}}`)
	for name, p := range map[string]*peer{
		"subprotocol":         dial(t, addr, "", "centrifuge-protobuf"),
		"parameter":           dial(t, addr, "?format=protobuf"),
		"the other parameter": dial(t, addr, "?cf_protocol=protobuf"),
	} {
		t.Run(name, func(t *testing.T) {
			p.t = t
			p.sendProtobuf(&protocol.Command{Id: 1, Connect: &protocol.ConnectRequest{}}, &protocol.Command{Id: 2, Subscribe: &protocol.SubscribeRequest{Channel: "x"}})
			if r := p.replies(2); r[0].Connect.GetClient() == "" || r[1].Subscribe == nil {
				t.Fatalf("replies %v", r)
			}
			text.send(`{"id":3,"publish":{"channel":"x","data":[1, 2]}}`)
			if r := p.replies(1)[0]; string(r.Push.GetPub().GetData()) != "[1, 2]" || r.Push.Channel != "x" {
				t.Errorf("received %v", r)
			}
			text.expectAny()
			text.expectAny()
			p.sendProtobuf(&protocol.Command{Id: 3, Publish: &protocol.PublishRequest{Channel: "x", Data: []byte("{\n\"a\":1}")}})
			p.replies(2)
			text.expect(`{"push":{"channel":"x","pub":{"data":{"a":1},"info":{"user":"","client":"UUID"}}}}`)
			for _, data := range []string{"no JSON", "\"\xff\"", ""} { // JSON clients would get them
				p.sendProtobuf(&protocol.Command{Id: 4, Publish: &protocol.PublishRequest{Channel: "x", Data: []byte(data)}})
				if r := p.replies(1)[0]; r.Error.GetCode() != 107 {
					t.Errorf("publishing %q is answered with %v, want error 107", data, r)
				}
			}
			p.sendProtobuf(&protocol.Command{Id: 4, Subscribe: &protocol.SubscribeRequest{Channel: "\xff"}})
			if r := p.replies(1)[0]; r.Error.GetCode() != 107 {
				t.Errorf("a name that isn't UTF-8 is answered with %v, want error 107", r)
			}
			p.sendProtobuf(&protocol.Command{Id: 5, Subscribe: &protocol.SubscribeRequest{Channel: "bytes:x"}})
			p.replies(1)
			p.sendProtobuf(&protocol.Command{Id: 6, Publish: &protocol.PublishRequest{Channel: "bytes:x", Data: []byte{0xff, 0}}})
			for _, r := range p.replies(2) {
				if r.Publish == nil && string(r.Push.GetPub().GetData()) != "\xff\x00" {
					t.Errorf("received %v", r)
				}
			}
			p.sendProtobuf(&protocol.Command{Id: 7, Unsubscribe: &protocol.UnsubscribeRequest{Channel: "x"}})
			p.replies(1)
			if err := wsutil.WriteClientBinary(p.conn, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}); err != nil {
				t.Fatal(err)
			}
			if code, _ := p.ended(); code != 3501 {
				t.Errorf("a length that is too large ended the connection with %d, want 3501", code)
			}
		})
	}
}

// Who subscribes while others publish gets the answer first, and misses nothing after it.
func TestSubscribingMissesNothing(t *testing.T) {
	addr := serve(t, rooms.Config{Rules: rooms.Rules{"": open}, Anonymous: true})
	publisher := connected(t, addr)
	go io.Copy(io.Discard, publisher.conn)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		out := bufio.NewWriter(publisher.conn)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if wsutil.WriteClientText(out, fmt.Appendf(nil, `{"id":%d,"publish":{"channel":"x","data":%d}}`, i+2, i)) != nil || out.Flush() != nil {
				return
			}
		}
	}()
	for range 20 {
		p := connected(t, addr)
		p.send(`{"id":2,"subscribe":{"channel":"x"}}`)
		p.expect(`{"id":2,"subscribe":{}}`)
		last := -1
		for range 100 {
			message, err := p.read()
			if err != nil {
				t.Fatal(err)
			}
			var n int
			if _, err := fmt.Sscanf(message, `{"push":{"channel":"x","pub":{"data":%d,`, &n); err != nil {
				t.Fatalf("received %q: %v", message, err)
			}
			if last >= 0 && n != last+1 {
				t.Fatalf("after %d came %d", last, n)
			}
			last = n
		}
		p.conn.Close()
	}
	close(stop)
	<-stopped
}

// A channel with very many members has no list of them and no notices, but a count.
func TestCrowd(t *testing.T) {
	ns := open
	ns.JoinLeave = true
	addr := serve(t, rooms.Config{Rules: rooms.Rules{"": ns}, Anonymous: true, MaxPresence: 2})
	const join = `{"push":{"channel":"x","join":{"info":{"user":"","client":"UUID"}}}}`
	first := connected(t, addr)
	first.send(`{"id":2,"subscribe":{"channel":"x","join_leave":true}}`)
	first.expect(`{"id":2,"subscribe":{}}`, join)
	for n := 2; n <= 4; n++ {
		p := connected(t, addr)
		p.send(`{"id":2,"subscribe":{"channel":"x"}}`)
		p.expect(`{"id":2,"subscribe":{}}`)
		if n == 2 {
			first.expect(join)
		}
		first.send(`{"id":3,"presence":{"channel":"x"}}`)
		got := first.expectAny()
		if listed := strings.HasPrefix(got, `{"id":3,"presence":`); listed != (n == 2) || !listed && !strings.HasPrefix(got, `{"id":3,"error":{"code":106,`) {
			t.Errorf("presence of %d is %s", n, got)
		}
		first.send(`{"id":4,"presence_stats":{"channel":"x"}}`)
		first.expect(fmt.Sprintf(`{"id":4,"presence_stats":{"num_clients":%d,"num_users":1}}`, n))
	}
}

// Answers to very many commands don't wait for the last of them.
func TestManyAnswers(t *testing.T) {
	addr := serve(t, rooms.Config{Rules: rooms.Rules{"": open}, Anonymous: true})
	p := connected(t, addr)
	p.send(`{"id":2,"subscribe":{"channel":"x"}}`)
	p.expect(`{"id":2,"subscribe":{}}`)
	const n = 1000
	var message strings.Builder
	for i := range n {
		fmt.Fprintf(&message, `{"id":%d,"presence":{"channel":"x"}}`+"\n", i+3)
	}
	p.send(message.String())
	messages := 0
	for i := 0; i < n; messages++ {
		got, err := p.read()
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.SplitSeq(got, "\n") {
			if want := fmt.Sprintf(`{"id":%d,"presence":`, i+3); !strings.HasPrefix(line, want) {
				t.Fatalf("received %q, want %s", line, want)
			}
			i++
		}
	}
	if messages < 2 {
		t.Errorf("%d answers came in one message", n)
	}
}

// The answer to a subscription goes out with it, also where it is the one for which answers are sent.
func TestSubscribingAfterManyAnswers(t *testing.T) {
	const answered = 64 << 10 // bytes of answers after which they are sent
	const presence, ping = `{"id":2,"presence":{"channel":"y"}}` + "\n", `{"id":2,"ping":{}}` + "\n"
	addr := serve(t, rooms.Config{Rules: rooms.Rules{"": open}, Anonymous: true})
	p := connected(t, addr)
	p.send(`{"id":2,"subscribe":{"channel":"y"}}`)
	p.expectAny()
	p.send(presence)
	size := len(p.expectAny()) + 1
	lists := (answered - 1) / size
	pings := (answered - 1 - lists*size) / len(ping)
	p.send(strings.Repeat(presence, lists) + strings.Repeat(ping, pings) + `{"id":3,"subscribe":{"channel":"x"}}`)
	var got []string
	for len(got) <= lists+pings {
		message, err := p.read()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, strings.Split(message, "\n")...)
	}
	if last := got[len(got)-1]; last != `{"id":3,"subscribe":{}}` {
		t.Errorf("the last answer is %q", last)
	}
	p.send(`{"id":4,"ping":{}}`)
	p.expect(`{"id":4,"ping":{}}`) // and no message without an answer in it
}

// Clients are pinged at intervals, whatever else they say; those that don't answer are dropped, and those
// that never connect are told to stay away.
func TestPing(t *testing.T) {
	addr := serve(t, rooms.Config{Rules: rooms.Rules{"": open}, Anonymous: true, Ping: time.Second})
	greet := func() *peer {
		p := dial(t, addr, "")
		p.send(`{"id":1,"connect":{}}`)
		p.expect(`{"id":1,"connect":{"client":"UUID","version":"test","ping":2,"pong":true}}`)
		return p
	}
	stale, dead, alive := dial(t, addr, ""), greet(), greet()
	if code, _ := stale.ended(); code != 3502 {
		t.Errorf("who doesn't connect is told %d, want 3502", code)
	}
	dead.expect(`{}`)
	for range 3 {
		alive.expect(`{}`)
		alive.send(`{}`)
	}
	if message, err := dead.read(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("who doesn't answer a ping got %q, %v, want the connection to end", message, err)
	}
	alive.send(`{"id":2,"ping":{}}`)
	for {
		if message := alive.expectAny(); message != `{}` {
			if message != `{"id":2,"ping":{}}` {
				t.Errorf("received %q", message)
			}
			return
		}
	}
}
