package bus

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"hubbub/internal/wire"
)

// mode is a way to join servers. All have to pass the same tests.
type mode struct {
	name string
	// join returns n buses of the same servers. They are closed when the test
	// ends.
	join func(t *testing.T, n int) []Bus
	// largest is the size in bytes of a payload that still passes.
	largest int
}

var modes = []mode{
	{"embedded", joinEmbedded, 64 << 20},
	{"external", joinExternal, 1 << 20},
}

func joinEmbedded(t *testing.T, n int) []Bus { return dialAll(t, embedded(t).URL(), n) }
func joinExternal(t *testing.T, n int) []Bus { return dialAll(t, startNATS(t).url(), n) }

func dialAll(t *testing.T, url string, n int) []Bus {
	t.Helper()
	buses := make([]Bus, n)
	for i := range buses {
		buses[i] = dial(t, NATSConfig{URL: url, Prefix: "test", Name: fmt.Sprint("node ", i)})
	}
	return buses
}

// dial connects; what goes wrong later fails the test unless cfg has an OnError.
func dial(t *testing.T, cfg NATSConfig) *NATS {
	t.Helper()
	if cfg.OnError == nil {
		cfg.OnError = func(err error) { t.Errorf("the bus says: %v", err) }
	}
	b, err := dialNATS(cfg, standing)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// standing is a clock by which nothing happens: tests beat themselves, and wait for what has to be heard.
var standing = clock{
	beats: func() (<-chan time.Time, func()) { return nil, func() {} },
	quiet: func() {},
}

// inEveryMode runs test once for each mode, with n servers joined.
func inEveryMode(t *testing.T, n int, test func(t *testing.T, m mode, members []*member)) {
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) { test(t, m, attach(t, m.join(t, n))) })
	}
}

// everyByte has each byte once.
func everyByte() string {
	var p [256]byte
	for i := range p {
		p[i] = byte(i)
	}
	return string(p[:])
}

func TestMessagesReachEveryNodeOnceAsTheyAre(t *testing.T) {
	inEveryMode(t, 3, func(t *testing.T, _ mode, members []*member) {
		messages := []message{
			{"lobby", wire.Text, "héllo"},
			{"lobby", wire.Binary, everyByte()},
			{"lobby", wire.Text, ""},
			{"lobby", wire.Binary, ""},
			{"", wire.Text, "no topic"},
			{"", wire.Binary, ""},
			{everyByte(), wire.Text, "any topic"},
			{"a.*.> \r\n$JS.API", wire.Text, "a topic that would mean something to NATS"},
			{strings.Repeat("t", 1<<16), wire.Text, "a long topic"},
			{"lobby", wire.Binary, strings.Repeat("\x00\xff", 1<<19)}, // 1 MiB
			{"lobby", wire.Text, "the last"},
		}
		for i, publisher := range members {
			var sent []message
			for _, msg := range messages {
				if msg.payload != "" {
					msg.payload += fmt.Sprint(i) // to tell the publishers apart
				}
				publisher.publish(msg)
				sent = append(sent, msg)
			}
			for j, m := range members {
				got := m.await(sent[len(sent)-1])
				expect(t, fmt.Sprintf("from %d to %d", i, j), got[i*len(messages):], sent)
			}
		}
	})
}

func TestLargestPayload(t *testing.T) {
	inEveryMode(t, 2, func(t *testing.T, m mode, members []*member) {
		msg := message{"lobby", wire.Binary, strings.Repeat("x", m.largest)}
		members[0].publish(msg)
		for i, m := range members {
			expect(t, fmt.Sprint("node ", i), m.await(msg), []message{msg})
		}
	})
}

func TestOrderOfEachPublisher(t *testing.T) {
	inEveryMode(t, 3, func(t *testing.T, _ mode, members []*member) {
		const n = 1000
		sent := make([][]message, len(members))
		var wg sync.WaitGroup
		for p, m := range members {
			for i := range n {
				sent[p] = append(sent[p], text(p, i))
			}
			wg.Go(func() {
				for _, msg := range sent[p] {
					m.publish(msg)
				}
			})
		}
		wg.Wait()
		for p := range members {
			for i, m := range members {
				got := m.await(sent[p][n-1])
				expect(t, fmt.Sprintf("from %d to %d", p, i), from(p, got), sent[p])
			}
		}
	})
}

func TestSlowNodeHoldsUpNobodyElse(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			var members []*member
			for _, b := range mode.join(t, 3) {
				members = append(members, newMember(t, b))
			}
			slow := members[1]
			slow.hold = make(chan struct{})
			release := sync.OnceFunc(func() { close(slow.hold) })
			t.Cleanup(release)
			for _, m := range members {
				m.attach()
			}
			var sent []message
			for i := range 1000 {
				sent = append(sent, text(0, i))
				members[0].publish(sent[i])
			}
			for _, i := range []int{0, 2} {
				expect(t, fmt.Sprint("node ", i), members[i].await(sent[len(sent)-1]), sent)
			}
			if got := slow.received(); len(got) != 0 {
				t.Fatalf("%d messages were delivered to a node that waits in Deliver", len(got))
			}
			release()
			expect(t, "the slow node", slow.await(sent[len(sent)-1]), sent)
		})
	}
}

func TestSubscribersAreAddedUp(t *testing.T) {
	inEveryMode(t, 3, func(t *testing.T, _ mode, members []*member) {
		odd := everyByte()
		members[0].counts = map[string]int{"lobby": 1, "one": 7, odd: 3, "": 1}
		members[1].counts = map[string]int{"lobby": 20, odd: 4, "": 1}
		members[2].counts = map[string]int{"lobby": 300, "": 1}
		var wg sync.WaitGroup
		for topic, want := range map[string]int{"lobby": 321, "one": 7, odd: 7, "": 3, "nobody": 0} {
			for i, m := range members {
				wg.Go(func() { // answers must not get mixed up
					ctx, cancel := context.WithTimeout(context.Background(), patience)
					defer cancel()
					if got, err := m.bus.Subscribers(ctx, topic); err != nil || got != want {
						t.Errorf("node %d: %d subscribers of %.10q and %v, want %d", i, got, topic, err, want)
					}
				})
			}
		}
		wg.Wait()
	})
}

// TestOrderSurvivesManyTopics: topics share nothing that could overtake.
func TestOrderSurvivesManyTopics(t *testing.T) {
	inEveryMode(t, 2, func(t *testing.T, _ mode, members []*member) {
		var sent []message
		for i := range 500 {
			msg := text(0, i)
			msg.topic = fmt.Sprint(i % 7)
			sent = append(sent, msg)
			members[0].publish(msg)
		}
		for i, m := range members {
			expect(t, fmt.Sprint("node ", i), m.await(sent[len(sent)-1]), sent)
		}
	})
}

// What is sent by a name reaches all who listen to that, in order; not those who listen to another.
func TestSentReachesAllListeners(t *testing.T) {
	inEveryMode(t, 3, func(t *testing.T, _ mode, members []*member) {
		const n = 100
		heard := make([]chan string, len(members))
		for i, m := range members {
			heard[i] = make(chan string, n)
			b := m.bus.(*NATS)
			if err := b.Listen("news", func(data []byte) { heard[i] <- string(data) }); err != nil {
				t.Fatal(err)
			}
			if err := b.Listen("other", func(data []byte) { t.Errorf("%q came to another name", data) }); err != nil {
				t.Fatal(err)
			}
		}
		for i := range n {
			if err := members[1].bus.(*NATS).Send("news", fmt.Append(nil, i)); err != nil {
				t.Fatal(err)
			}
		}
		for i, c := range heard {
			for want := range n {
				select {
				case got := <-c:
					if got != fmt.Sprint(want) {
						t.Fatalf("node %d heard %s, want %d", i, got, want)
					}
				case <-time.After(patience):
					t.Fatalf("node %d heard %d of %d", i, want, n)
				}
			}
		}
	})
}
