package bus

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
)

// problems keeps what a bus says through OnError.
type problems struct {
	mu   sync.Mutex
	errs []error
}

func (p *problems) add(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.errs = append(p.errs, err)
}

// about returns those whose text contains part.
func (p *problems) about(part string) []error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(p.errs), func(err error) bool { return !strings.Contains(err.Error(), part) })
}

func embedded(t *testing.T) *Embedded {
	t.Helper()
	e, err := StartEmbedded(EmbeddedConfig{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func TestRestart(t *testing.T) {
	p := startNATS(t)
	said := make([]problems, 3)
	var members []*member
	var buses []*NATS
	for i := range said {
		b := dial(t, NATSConfig{URL: p.url(), Prefix: "test", OnError: said[i].add})
		buses = append(buses, b)
		members = append(members, newMember(t, b))
		members[i].attach()
	}
	all := func(good func(b *NATS) bool) func() bool {
		return func() bool { return !slices.ContainsFunc(buses, func(b *NATS) bool { return !good(b) }) }
	}
	healthy := all(func(b *NATS) bool { return b.Check() == nil })
	sick := all(func(b *NATS) bool { return b.Check() != nil })
	if !healthy() {
		t.Fatal("Check finds something wrong with a new connection")
	}
	p.kill()
	eventually(t, "noticing that the server is gone", sick)
	for i := range said {
		eventually(t, "telling that the connection is lost", func() bool { return len(said[i].about("connection lost")) == 1 })
	}

	// An operator's mistake for a while: to be refused twice isn't the end.
	p.start("another token")
	for i := range said {
		eventually(t, "being refused", func() bool { return len(said[i].about(nats.ErrAuthorization.Error())) >= 2 })
	}
	if !sick() {
		t.Fatal("Check finds nothing wrong though the server refuses the token")
	}
	p.kill()

	p.start(natsToken)
	eventually(t, "being connected again", healthy)
	// The server may get to know a node's subscriptions later than that.
	n := 0
	for i, m := range members {
		eventually(t, fmt.Sprint("a message from anyone after the restart to node ", i), func() bool {
			members[0].publish(text(0, n))
			n++
			return len(m.received()) > 0
		})
	}
	var sent []message
	for i := range 100 {
		sent = append(sent, text(1, i))
		members[1].publish(sent[i])
	}
	for i, m := range members {
		expect(t, fmt.Sprint("node ", i), from(1, m.await(sent[len(sent)-1])), sent)
		if lost := said[i].about("connection lost"); len(lost) != 1 {
			t.Errorf("node %d lost its connection %d times: %v", i, len(lost), lost)
		}
	}
}

func TestDialErrors(t *testing.T) {
	e := embedded(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "nats://" + ln.Addr().String()
	ln.Close()
	for _, tt := range []struct{ name, url, want string }{
		{"no token", "nats://" + e.srv.Addr().String(), "Authorization Violation"},
		{"a wrong token", "nats://guess@" + e.srv.Addr().String(), "Authorization Violation"},
		{"nobody there", nobody, "no servers available"},
		{"no URL at all", "nats://%", "invalid URL"},
	} {
		b, err := DialNATS(NATSConfig{URL: tt.url, Prefix: "test", OnError: func(error) {}})
		if err == nil {
			b.Close()
			t.Errorf("%s: no error", tt.name)
		} else if !strings.HasPrefix(err.Error(), "bus: connecting to NATS: ") || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v; want one line about connecting, with %q", tt.name, err, tt.want)
		}
	}
}

func TestAttachErrors(t *testing.T) {
	b := dial(t, NATSConfig{URL: embedded(t).URL(), Prefix: "two words"})
	if err := b.Attach(newMember(t, b)); !errors.Is(err, nats.ErrBadSubject) {
		t.Errorf("Attach below a prefix with a space: %v", err)
	}
	if err := b.Listen("news", nil); !errors.Is(err, nats.ErrBadSubject) {
		t.Errorf("Listen below a prefix with a space: %v", err)
	}
	if err := b.Answer("who", nil); !errors.Is(err, nats.ErrBadSubject) {
		t.Errorf("Answer below a prefix with a space: %v", err)
	}
	if err := b.Join(); !errors.Is(err, nats.ErrBadSubject) {
		t.Errorf("Join below a prefix with a space: %v", err)
	}
}

func TestPublishErrors(t *testing.T) {
	b := dial(t, NATSConfig{URL: startNATS(t).url(), Prefix: "test"})
	m := newMember(t, b)
	m.attach()
	size := externalPayload - len(encode("lobby", 1, nil)) + 1
	err := b.Publish("lobby", 1, make([]byte, size))
	if !errors.Is(err, nats.ErrMaxPayload) || !strings.Contains(err.Error(), fmt.Sprint(externalPayload+1)) {
		t.Errorf("a payload that is too large by a byte: %v", err)
	}
	m.publish(text(0, 0)) // the connection has survived it
	m.await(text(0, 0))
	b.Close()
	if err := b.Publish("lobby", 1, nil); !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("after Close: %v", err)
	}
	if err := b.Check(); err == nil {
		t.Error("after Close Check finds nothing wrong")
	}
}

// TestCloseSends: what was published just before isn't lost.
func TestCloseSends(t *testing.T) {
	e := embedded(t)
	members := attach(t, dialAll(t, e.URL(), 2))
	leaving, there := members[0], members[1]
	var sent []message
	for i := range 1000 {
		sent = append(sent, text(0, i))
		leaving.publish(sent[i])
	}
	leaving.bus.(*NATS).Close()
	expect(t, "who stays", there.await(sent[len(sent)-1]), sent)
}

func TestCloseWithoutServer(t *testing.T) {
	p := startNATS(t)
	var said problems
	b := dial(t, NATSConfig{URL: p.url(), Prefix: "test", OnError: said.add})
	m := newMember(t, b)
	m.attach()
	p.kill()
	eventually(t, "noticing that the server is gone", func() bool { return b.Check() != nil })
	b.Close()
}

func TestPrefixesKeepApart(t *testing.T) {
	e := embedded(t)
	one := attach(t, []Bus{dial(t, NATSConfig{URL: e.URL(), Prefix: "one"})})[0]
	two := attach(t, []Bus{dial(t, NATSConfig{URL: e.URL(), Prefix: "two"})})[0]
	one.publish(text(1, 0))
	two.publish(text(2, 0))
	expect(t, "one", one.await(text(1, 0)), []message{text(1, 0)})
	expect(t, "two", two.await(text(2, 0)), []message{text(2, 0)})
}

// TestForeignMessages: what somebody else publishes on our subjects is told of,
// and harms nobody.
func TestForeignMessages(t *testing.T) {
	e := embedded(t)
	var said problems
	b := dial(t, NATSConfig{URL: e.URL(), Prefix: "test", OnError: said.add})
	m := newMember(t, b)
	m.attach()
	for _, subject := range []string{"test." + nameMessages, "test." + nameServers, b.answers + "1", b.answers + "one"} {
		if err := b.nc.Publish(subject, []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	m.publish(text(0, 0))
	expect(t, "node", m.await(text(0, 0)), []message{text(0, 0)})
	eventually(t, "being told", func() bool { return len(said.about("")) == 4 })
	for _, err := range said.about("") {
		if !errors.Is(err, errMalformed) {
			t.Errorf("OnError was told %v, want errMalformed", err)
		}
	}
}

func TestLostMessagesAreCounted(t *testing.T) {
	e := embedded(t)
	var said problems
	b := dial(t, NATSConfig{URL: e.URL(), Prefix: "test", OnError: said.add})
	m := newMember(t, b)
	m.hold = make(chan struct{})
	m.attach()
	// As little as one message may wait: the node holds one, one waits, and the
	// rest is lost.
	if err := b.listening[0].SetPendingLimits(1, -1); err != nil {
		t.Fatal(err)
	}
	const n = 100
	for i := range n {
		m.publish(text(0, i))
	}
	eventually(t, "counting what is lost", func() bool { return b.Lost() >= n-2 })
	close(m.hold)
	var got []message
	eventually(t, "every message to be delivered or lost", func() bool {
		got = m.received()
		return len(got)+int(b.Lost()) == n
	})
	var slow []error
	eventually(t, "OnError to be told", func() bool {
		slow = said.about(nats.ErrSlowConsumer.Error())
		return len(slow) > 0
	})
	if len(slow) != 1 {
		t.Errorf("OnError was told %d times that messages are lost, want once", len(slow))
	}
}

// TestForeignAnswers: a number of subscribers isn't made up.
func TestForeignAnswers(t *testing.T) {
	e := embedded(t)
	one := attach(t, []Bus{dial(t, NATSConfig{URL: e.URL(), Prefix: "test"})})[0].bus.(*NATS)
	other := dial(t, NATSConfig{URL: e.URL(), Prefix: "test"})
	if err := other.Answer(nameCount, func([]byte) []byte { return []byte("many") }); err != nil {
		t.Fatal(err)
	}
	if err := other.Join(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "hearing of each other", func() bool { return len(one.roster.there()) == 2 })
	if n, err := one.Subscribers(within(t), "lobby"); err == nil || !strings.Contains(err.Error(), `"many"`) {
		t.Errorf("%d subscribers and %v, want an error that shows the answer", n, err)
	}
}

func TestEmbeddedIsForThisMachine(t *testing.T) {
	e := embedded(t)
	addr, ok := e.srv.Addr().(*net.TCPAddr)
	if !ok || !addr.IP.IsLoopback() {
		t.Errorf("it listens on %v", e.srv.Addr())
	}
	if other := embedded(t); other.token == e.token {
		t.Error("two servers have the same token")
	}
}
