package rooms

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/centrifugal/protocol"
)

func TestParseRules(t *testing.T) {
	r, err := ParseRules(`{"chat": {"subscribe": "anyone", "join_leave": true}, "": {}}`)
	if err != nil {
		t.Fatal(err)
	}
	if ns, ok := r.of("chat:x:y"); !ok || ns.Subscribe != Anyone || !ns.JoinLeave || ns.Publish != "" {
		t.Errorf("chat:x:y has %+v, %v", ns, ok)
	}
	if _, ok := r.of("x"); !ok {
		t.Error("a channel without a colon has no rules, though there are some for it")
	}
	if _, ok := r.of("other:x"); ok {
		t.Error("there are rules for an unknown namespace")
	}
	if again, err := ParseRules(r.String()); err != nil || again.String() != r.String() {
		t.Errorf("%s is read as %s, %v", r, again, err)
	}
	for text, want := range map[string]string{
		`{"a": {"subscribe": "all"}}`:                                 `subscribe of the namespace "a" is "all"; it has to be one of nobody, users, anyone`,
		`{"a": {"subscribe": "subscribers"}}`:                         "one of nobody, users, anyone",
		`{"a": {"publish": "x"}}`:                                     "one of nobody, subscribers, users, anyone",
		`{"a": {"presence": "x"}}`:                                    "presence of the namespace",
		`{"a": {"history": "x"}}`:                                     "history of the namespace",
		`{"a": {"history_size": -1}}`:                                 "history_size is -1; it has to be from 0 to 10000",
		`{"a": {"history_size": 10001}}`:                              "history_size is 10001",
		`{"a": {"history_size": 1, "history_ttl": "1ms"}}`:            "history_ttl is 1ms; it has to be at least 1s",
		`{"a": {"history_size": 1, "history_ttl": "a day"}}`:          "a day",
		`{"a": {"history_size": 1, "history_bytes": 1000}}`:           "history_bytes is 1000; it has to be at least 1048576",
		`{"a": {"history": "anyone"}}`:                                "need a history_size",
		`{"a": {"recovery": true}}`:                                   "need a history_size",
		`{"a": {"delta": true}}`:                                      "need a history_size",
		`{"a": {"history_ttl": "1m"}}`:                                "need a history_size",
		`{"a": {"history_size": 1, "recovery": true, "lossy": true}}`: "lossy doesn't go with recovery",
		`{"a:b": {}}`:           "without a colon",
		`{"a": {"histroy": 1}}`: "histroy",
		`{"a": {}} {}`:          "behind",
		`{"a": {}}}`:            "behind",
		`[]`:                    "rules of channels",
		``:                      "rules of channels",
	} {
		if _, err := ParseRules(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q in it", text, err, want)
		}
	}
}

// Who is in a channel is who has come and not gone, whatever the order.
func TestMembersLikeTheirModel(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 0))
		r := New(Config{})
		var in []*subscription
		for range 500 {
			if len(in) == 0 || random.IntN(5) > 1 {
				in = append(in, &subscription{client: &client{id: newID()}})
				r.enter(in[len(in)-1], "x")
			} else {
				i := random.IntN(len(in))
				r.leave(in[i])
				in[i] = in[len(in)-1]
				in = in[:len(in)-1]
			}
			present, n := r.list("x")
			for _, s := range in {
				if present[s.client.name()] == nil {
					t.Fatalf("seed %d: %s isn't among the %d that are present", seed, s.client.name(), len(present))
				}
			}
			if len(present) != len(in) || n != len(in) {
				t.Fatalf("seed %d: %d are present, said to be %d, want %d", seed, len(present), n, len(in))
			}
		}
		for _, s := range in {
			r.leave(s)
		}
		if sh := r.shardOf("x"); len(sh.channels) != 0 {
			t.Errorf("%d channels are left without anybody in them", len(sh.channels))
		}
	}
}

// Whatever comes, a message is taken for at most so many commands, or refused.
func FuzzCommands(f *testing.F) {
	f.Add(false, []byte(`{"id":1,"connect":{}}`+"\n"+`{"id":2,"publish":{"channel":"x","data":[1]}}`))
	f.Add(true, []byte{2, 8, 1, 4, 8, 2, 0x22, 0})
	f.Add(true, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, protobuf bool, message []byte) {
		as := formatJSON
		if protobuf {
			as = formatProtobuf
		}
		n := 0
		_, err := as.commands(message, 4, func(c *protocol.Command) bool { n++; return c != nil })
		if n > 4 || n == 0 && err == nil {
			t.Errorf("%d commands, %v", n, err)
		}
	})
}
