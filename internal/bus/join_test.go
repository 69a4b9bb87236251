package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// answering has every member answer "who" with its number, when held lets it; held may be nil.
func answering(t *testing.T, members []*member, held func(i int)) {
	t.Helper()
	for i, m := range members {
		err := m.bus.(*NATS).Answer("who", func(question []byte) []byte {
			if held != nil {
				held(i)
			}
			return fmt.Appendf(nil, "%s %d", question, i)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// ask asks who is there.
func (m *member) ask(ctx context.Context) ([]string, error) {
	answers, err := m.bus.(*NATS).Ask(ctx, "who", []byte("node"))
	var got []string
	for _, a := range answers {
		got = append(got, string(a))
	}
	slices.Sort(got)
	return got, err
}

// expectThere wants answers of just these nodes.
func (m *member) expectThere(nodes ...int) {
	m.t.Helper()
	var want []string
	for _, i := range nodes {
		want = append(want, fmt.Sprint("node ", i))
	}
	if got, err := m.ask(within(m.t)); err != nil || !slices.Equal(got, want) {
		m.t.Errorf("answers %q and %v, want %q", got, err, want)
	}
}

// expectMissing wants just these answers to be missing, however long is waited for them. It asks again where others
// took longer than that.
func (m *member) expectMissing(which string) {
	m.t.Helper()
	eventually(m.t, which, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		got, err := m.ask(ctx)
		if !errors.Is(err, context.DeadlineExceeded) {
			m.t.Fatalf("answers %q and %v, want that the deadline has passed", got, err)
		}
		return strings.Contains(err.Error(), which)
	})
}

// rounds has members beat, one after the other, n times. Each hears itself.
func rounds(t *testing.T, n int, members ...*member) {
	t.Helper()
	for range n {
		for _, m := range members {
			b := m.bus.(*NATS)
			b.roster.mu.Lock()
			before := b.roster.round
			b.roster.mu.Unlock()
			b.beat()
			eventually(t, "a beat to come back", func() bool {
				b.roster.mu.Lock()
				defer b.roster.mu.Unlock()
				return b.roster.round > before
			})
		}
	}
}

// cut ends a member without a goodbye.
func (m *member) cut() { m.bus.(*NATS).nc.Close() }

func TestAsk(t *testing.T) {
	inEveryMode(t, 3, func(t *testing.T, _ mode, members []*member) {
		answering(t, members, nil)
		for _, m := range members {
			m.expectThere(0, 1, 2)
		}
		rounds(t, 3*silentRounds, members...)
		members[0].expectThere(0, 1, 2)
	})
}

func TestAskBeforeJoin(t *testing.T) {
	b := dial(t, NATSConfig{URL: embedded(t).URL(), Prefix: "test"})
	if answers, err := b.Ask(within(t), "who", nil); err == nil || !strings.Contains(err.Error(), "not joined") {
		t.Errorf("answers %q and %v, want an error: it knows nobody", answers, err)
	}
}

// TestJoinWaitsForAll: whoever has joined knows all who were there.
func TestJoinWaitsForAll(t *testing.T) {
	inEveryMode(t, 4, func(t *testing.T, _ mode, members []*member) {
		old := members[0].bus.(*NATS)
		var late *NATS
		quietTimes := 0
		late, err := dialNATS(NATSConfig{URL: old.nc.ConnectedUrl(), Prefix: "test", OnError: func(err error) { t.Error(err) }}, clock{
			beats: standing.beats,
			quiet: func() {
				quietTimes++
				eventually(t, "hearing of all", func() bool { return len(late.roster.there()) == len(members)+1 })
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer late.Close()
		if err := late.Join(); err != nil {
			t.Fatal(err)
		}
		if quietTimes == 0 || len(late.roster.there()) != len(members)+1 {
			t.Errorf("it was quiet %d times, and then %d were known, want %d", quietTimes, len(late.roster.there()), len(members)+1)
		}
	})
}

func TestLaterServerIsAskedAtOnce(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			buses := mode.join(t, 3)
			members := attach(t, buses[:2])
			late := newMember(t, buses[2])
			all := append(slices.Clone(members), late)
			answering(t, all, nil)
			members[0].expectThere(0, 1)
			late.attach()
			acquainted(t, all) // without a beat
			for _, m := range all {
				m.expectThere(0, 1, 2)
			}
		})
	}
}

func TestWhoLeavesIsNotWaitedFor(t *testing.T) {
	inEveryMode(t, 3, func(t *testing.T, _ mode, members []*member) {
		asked, release := make(chan struct{}), make(chan struct{})
		answering(t, members, func(i int) {
			if i == 2 {
				close(asked)
				<-release
			}
		})
		defer close(release)
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			members[0].expectThere(0, 1)
		}()
		<-asked
		members[2].bus.(*NATS).Close()
		<-answered
		acquainted(t, members[:2])
		members[1].expectThere(0, 1)
	})
}

func TestWhoDiesIsGivenUp(t *testing.T) {
	inEveryMode(t, 3, func(t *testing.T, _ mode, members []*member) {
		answering(t, members, nil)
		members[2].cut()
		members[0].expectMissing("1 of 3 servers")
		alive := members[:2]
		rounds(t, silentRounds, alive...)
		members[0].expectMissing("1 of 3 servers")
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			members[0].expectThere(0, 1)
		}()
		rounds(t, 1, alive...)
		<-answered
		acquainted(t, alive)
		for _, m := range alive {
			m.expectThere(0, 1)
		}
	})
}

// TestGone: whoever knows that a server is dead can tell.
func TestGone(t *testing.T) {
	inEveryMode(t, 3, func(t *testing.T, _ mode, members []*member) {
		answering(t, members, nil)
		dead := members[2].bus.(*NATS)
		dead.nc.Close()
		members[0].expectMissing("1 of 3 servers")
		members[1].bus.(*NATS).Gone(dead.cfg.ID)
		acquainted(t, members[:2])
		members[0].expectThere(0, 1)
	})
}

func TestSlowAnswersAreWaitedFor(t *testing.T) {
	inEveryMode(t, 3, func(t *testing.T, _ mode, members []*member) {
		release := make(chan struct{})
		answering(t, members, func(i int) {
			if i == 1 {
				<-release
			}
		})
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			members[0].expectThere(0, 1, 2)
		}()
		rounds(t, 2*silentRounds, members...)
		select {
		case <-answered:
			t.Error("the slow server was not waited for")
		default:
		}
		close(release)
		<-answered
	})
}

// TestVouch: a server doesn't announce itself while another one does. When that has died it does again, so nobody
// gives it up.
func TestVouch(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			buses := mode.join(t, 3)
			speaker, members := buses[0].(*NATS), attach(t, buses[1:])
			answering(t, members, nil)
			plain, other := members[0], members[1].bus.(*NATS)
			var own atomic.Int32 // announcements
			sub, err := plain.bus.(*NATS).nc.Subscribe("test."+nameServers, func(m *nats.Msg) {
				if strings.Contains(string(m.Data), `{"id":"`+other.cfg.ID) {
					own.Add(1)
				}
			})
			if err == nil {
				err = plain.bus.(*NATS).nc.Flush()
			}
			if err != nil {
				t.Fatal(err)
			}
			defer sub.Unsubscribe()
			for range 2 * silentRounds {
				speaker.vouch([]string{other.cfg.ID})
				eventually(t, "hearing that", func() bool {
					other.roster.mu.Lock()
					defer other.roster.mu.Unlock()
					return other.roster.spokenFor > other.roster.beats+1
				})
				rounds(t, 1, members[1], plain)
			}
			plain.expectThere(0, 1)
			if n := own.Load(); n != 0 {
				t.Errorf("%d announcements of one that was spoken for", n)
			}
			for range 2 * silentRounds { // nobody speaks for it any more
				rounds(t, 1, members[1], plain)
				plain.expectThere(0, 1)
			}
			eventually(t, "announcing itself", func() bool { return own.Load() > 0 })
			r := plain.bus.(*NATS).roster
			r.mu.Lock()
			delete(r.signs, other.cfg.ID)
			r.mu.Unlock()
			speaker.vouch([]string{other.cfg.ID})
			acquainted(t, members)
			plain.cut()
			rounds(t, silentRounds+1, members[1])
			acquainted(t, members[1:])
			members[1].expectThere(1)
		})
	}
}

// TestRestartLosesNobody: who was cut off takes nobody for dead.
func TestRestartLosesNobody(t *testing.T) {
	p := startNATS(t)
	var said problems
	var members []*member
	for range 3 {
		members = append(members, newMember(t, dial(t, NATSConfig{URL: p.url(), Prefix: "test", OnError: said.add})))
		members[len(members)-1].attach()
	}
	acquainted(t, members)
	answering(t, members, nil)
	p.kill()
	for _, m := range members {
		eventually(t, "noticing that the server is gone", func() bool { return m.bus.(*NATS).Check() != nil })
		for range 3 * silentRounds {
			m.bus.(*NATS).beat()
		}
	}
	members[0].expectMissing("3 of 3 servers")
	p.start(natsToken)
	all := []string{"node 0", "node 1", "node 2"}
	for i, m := range members {
		eventually(t, fmt.Sprint("answers to node ", i), func() bool {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			got, err := m.ask(ctx)
			if err == nil && !slices.Equal(got, all) {
				t.Fatalf("answers %q, want %q or an error", got, all)
			}
			return err == nil
		})
	}
}

// TestBackAfterReconnect: whoever was given up while it was cut off is known again as soon as it is back, without a beat.
func TestBackAfterReconnect(t *testing.T) {
	p := startNATS(t)
	var said problems
	members := attach(t, []Bus{
		dial(t, NATSConfig{URL: p.url(), Prefix: "test", OnError: said.add}),
		dial(t, NATSConfig{URL: p.url(), Prefix: "test", OnError: said.add}),
	})
	p.kill()
	for i, m := range members {
		r := m.bus.(*NATS).roster
		r.mu.Lock()
		delete(r.signs, members[1-i].bus.(*NATS).cfg.ID)
		r.mu.Unlock()
	}
	p.start(natsToken)
	acquainted(t, members)
}
