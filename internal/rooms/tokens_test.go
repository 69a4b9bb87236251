package rooms_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"hubbub/internal/rooms"
	"hubbub/internal/tokens"
)

const secret = "a secret of the tests"

func verifier(t *testing.T) rooms.Verifier {
	t.Helper()
	v, err := tokens.New(t.Context(), tokens.Config{HMAC: []byte(secret)})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// sign makes a token.
func sign(t *testing.T, claims jwt.MapClaims) string {
	t.Helper()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// hello connects with a token and returns the answer.
func (l *lines) hello(token, more string) answer {
	l.t.Helper()
	return l.ask(1, fmt.Sprintf(`"connect":{"token":%q%s}`, token, more))
}

func TestConnectWithToken(t *testing.T) {
	rules := rooms.Rules{"": open, "users": {Subscribe: rooms.Users, Presence: rooms.Users, JoinLeave: true}}
	addr := serve(t, rooms.Config{Rules: rules, Verifier: verifier(t)})
	in := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }

	p := &lines{peer: dial(t, addr, "")}
	a := p.hello(sign(t, jwt.MapClaims{"sub": "ann", "info": map[string]string{"name": "Ann"}, "exp": in(time.Hour)}), "")
	if c := a.Connect; c == nil || c.Client == "" || !c.Expires || c.TTL < 3590 || c.TTL > 3600 {
		t.Fatalf("%+v, want to be connected for an hour", a)
	}
	p.ask(2, `"subscribe":{"channel":"users:x"}`)
	p.send(`{"id":3,"presence":{"channel":"users:x"}}`)
	p.expect(`{"id":3,"presence":{"presence":{"UUID":{"user":"ann","client":"UUID","conn_info":{"name":"Ann"}}}}}`)

	for name, test := range map[string]struct {
		token string
		code  int // of the answer, or of the disconnect
	}{
		"expired":       {sign(t, jwt.MapClaims{"sub": "ann", "exp": in(-time.Minute)}), 109},
		"forged":        {sign(t, jwt.MapClaims{"sub": "ann"}) + "x", 3500},
		"none":          {"", 3507},
		"for a channel": {sign(t, jwt.MapClaims{"sub": "ann", "channel": "x"}), 3500},
	} {
		p := &lines{peer: dial(t, addr, "")}
		p.send(fmt.Sprintf(`{"id":1,"connect":{"token":%q}}`, test.token))
		if test.code < 3000 {
			if a, _ := p.reply(1); a.Error == nil || a.Error.Code != test.code {
				t.Errorf("%s: %+v, want error %d", name, a, test.code)
			}
		} else if code, _ := p.ended(); int(code) != test.code {
			t.Errorf("%s: disconnected with %d, want %d", name, code, test.code)
		}
	}
}

// A token can have a client subscribed without asking; it is told in the answer where it is in them, and what it has missed.
func TestChannelsOfAToken(t *testing.T) {
	e := store(t)
	rules := kept(5)
	rules[""] = rooms.Namespace{}
	addr := serve(t, rooms.Config{Rules: rules, Verifier: verifier(t), Anonymous: true, Logs: logs(t, e, rules)})
	w := &lines{peer: connected(t, addr)}
	token := sign(t, jwt.MapClaims{"sub": "ann", "subs": map[string]any{
		"h:a": map[string]any{"info": map[string]string{"role": "x"}}, "h:b": map[string]any{}, "closed": map[string]any{}, "h:c": map[string]any{},
	}})
	p := &lines{peer: dial(t, addr, "")}
	// What comes in the same message waits for the answer.
	p.send(fmt.Sprintf(`{"id":1,"connect":{"token":%q}}`, token) + "\n" + `{"id":2,"ping":{}}` + "\n" + `{"id":3,"publish":{"channel":"h:a","data":1}}`)
	first := p.next()
	if first.ID != 1 || first.Connect == nil {
		t.Fatalf("first comes %+v, want the answer to connect", first)
	}
	subs := first.Connect.Subs
	if got := slices.Sorted(maps.Keys(subs)); !slices.Equal(got, []string{"closed", "h:a", "h:b", "h:c"}) {
		t.Fatalf("subscribed to %q", got)
	}
	if at := subs["h:b"]; !at.Recoverable || at.Epoch == "" || subs["closed"].Recoverable {
		t.Errorf("subscriptions %+v", subs)
	}
	_, pushed := p.reply(2)
	_, more := p.reply(3)
	if pushed = append(pushed, more...); len(pushed) == 0 {
		pushed = append(pushed, *p.next().Push.Pub)
	}
	if text(pushed) != "1 " {
		t.Errorf("pushed %s, want its own publication", text(pushed))
	}
	w.publish(2, "h:b", "2")
	if push := p.next().Push; push == nil || push.Channel != "h:b" {
		t.Errorf("%+v, want a publication in h:b", push)
	}
	p.conn.Close()
	w.publish(3, "h:b", "3")

	p = &lines{peer: dial(t, addr, "")}
	a := p.hello(token, fmt.Sprintf(`,"subs":{"h:b":{"recover":true,"epoch":%q,"offset":%d}}`, subs["h:b"].Epoch, subs["h:b"].Offset))
	if b := a.Connect.Subs["h:b"]; !b.Recovered || text(b.Publications) != "2 3 " || a.Connect.Subs["h:a"].Recovering {
		t.Errorf("coming back: %+v", a.Connect.Subs)
	}
}

func TestSubscribeWithToken(t *testing.T) {
	rules := rooms.Rules{"": {Presence: rooms.Anyone}} // nobody may subscribe without a token
	addr := serve(t, rooms.Config{Rules: rules, Verifier: verifier(t), Anonymous: true})
	p := &lines{peer: dial(t, addr, "")}
	p.hello(sign(t, jwt.MapClaims{"sub": "ann"}), "")
	subscribe := func(id int, token string) answer {
		t.Helper()
		return p.ask(id, fmt.Sprintf(`"subscribe":{"channel":"x","token":%q}`, token))
	}
	past, future := time.Now().Add(-time.Hour).Unix(), time.Now().Add(time.Hour).Unix()
	for i, test := range []struct {
		token string
		code  int
	}{
		{"", 103},
		{"abc", 103},
		{sign(t, jwt.MapClaims{"sub": "ann", "channel": "y"}), 103},
		{sign(t, jwt.MapClaims{"sub": "bob", "channel": "x"}), 103},
		{sign(t, jwt.MapClaims{"sub": "ann", "channel": "x", "client": "other"}), 103},
		{sign(t, jwt.MapClaims{"sub": "ann", "channel": "x", "exp": past}), 109},
		{sign(t, jwt.MapClaims{"sub": "ann", "channel": "x", "exp": future, "info": map[string]int{"n": 1}}), 0},
	} {
		a := subscribe(10+i, test.token)
		if test.code == 0 && (a.Subscribe == nil || !a.Subscribe.Expires) || test.code != 0 && (a.Error == nil || a.Error.Code != test.code) {
			t.Errorf("token %d: %+v, want code %d", i, a, test.code)
		}
	}
	p.send(`{"id":20,"presence":{"channel":"x"}}`)
	p.expect(`{"id":20,"presence":{"presence":{"UUID":{"user":"ann","client":"UUID","chan_info":{"n":1}}}}}`)
}

// What has expired ends, unless another token was brought.
func TestExpiry(t *testing.T) {
	rules := rooms.Rules{"": {}}
	addr := serve(t, rooms.Config{Rules: rules, Verifier: verifier(t), Ping: time.Second})
	token := func(expired bool, more jwt.MapClaims) string {
		more["sub"] = "ann"
		more["expire_at"] = time.Now().Add(time.Hour).Unix()
		if expired {
			more["expire_at"] = time.Now().Add(-time.Minute).Unix()
		}
		return sign(t, more)
	}
	stale := &lines{peer: dial(t, addr, "")}
	stale.hello(token(true, jwt.MapClaims{}), "")
	fresh := &lines{peer: dial(t, addr, "")}
	fresh.hello(token(true, jwt.MapClaims{}), "")
	if a := fresh.ask(2, fmt.Sprintf(`"refresh":{"token":%q}`, token(false, jwt.MapClaims{}))); a.Refresh == nil || a.Refresh.TTL < 3590 {
		t.Errorf("%+v, want another hour", a)
	}
	for _, channel := range []string{"a", "b"} {
		fresh.ask(3, fmt.Sprintf(`"subscribe":{"channel":%q,"token":%q}`, channel, token(true, jwt.MapClaims{"channel": channel})))
	}
	if a := fresh.ask(4, fmt.Sprintf(`"sub_refresh":{"channel":"b","token":%q}`, token(false, jwt.MapClaims{"channel": "b"}))); a.SubRefresh == nil || a.SubRefresh.TTL < 3590 {
		t.Errorf("%+v, want another hour", a)
	}
	if code, _ := stale.ended(); code != 3005 {
		t.Errorf("who didn't refresh is disconnected with %d, want 3005", code)
	}
	for {
		a := fresh.next()
		if a.Push == nil {
			continue // a ping
		}
		if a.Push.Channel != "a" || a.Push.Unsubscribe == nil || a.Push.Unsubscribe.Code != 2501 {
			t.Errorf("%+v, want that the one in a has expired", a.Push)
		}
		break
	}
	if a := fresh.ask(5, `"subscribe":{"channel":"b"}`); a.Error == nil || a.Error.Code != 105 {
		t.Errorf("%+v, want that the one in b is there", a)
	}
	other := sign(t, jwt.MapClaims{"sub": "bob"})
	fresh.send(fmt.Sprintf(`{"id":6,"refresh":{"token":%q}}`, other))
	if code, _ := fresh.ended(); code != 3500 {
		t.Errorf("who brings another's token is disconnected with %d, want 3500", code)
	}
}

// More than may wait for the answer ends the connection.
func TestTooMuchIsHeld(t *testing.T) {
	e := store(t)
	rules := kept(5)
	l := &gapped{Log: logs(t, e, rules)["h"], before: make(chan struct{})}
	addr := serve(t, rooms.Config{Rules: rules, Verifier: verifier(t), Logs: map[string]rooms.Log{"h": l}})
	t.Cleanup(func() { close(l.before) })
	p := &lines{peer: dial(t, addr, "")}
	p.send(fmt.Sprintf(`{"id":1,"connect":{"token":%q}}`, sign(t, jwt.MapClaims{"channels": []string{"h:x"}})))
	big := `{"id":2,"publish":{"channel":"h:x","data":"` + strings.Repeat("x", 40_000) + `"}}`
	p.send(big)
	p.send(big)
	if code, _ := p.ended(); code != 3501 {
		t.Errorf("disconnected with %d, want 3501", code)
	}
}
