package bus

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"hubbub/internal/wire"
)

// message is what Publish is called with, and Deliver.
type message struct {
	topic   string
	t       wire.MessageType
	payload string
}

func (m message) String() string {
	return fmt.Sprintf("%.20q of type %d, %d bytes: %.20q", m.topic, m.t, len(m.payload), m.payload)
}

// member is a server on a bus: a Node that keeps what it gets.
type member struct {
	t      *testing.T
	bus    Bus
	counts map[string]int // subscribers by topic
	hold   chan struct{}  // if not nil, Deliver waits until it is closed

	delivering atomic.Int32

	mu  sync.Mutex // guards got
	got []message
}

// attach makes a server of every bus, and has them get to know each other.
func attach(t *testing.T, buses []Bus) []*member {
	t.Helper()
	members := make([]*member, len(buses))
	for i, b := range buses {
		members[i] = newMember(t, b)
		members[i].attach()
	}
	acquainted(t, members)
	return members
}

// acquainted waits until all know each other, and nobody else.
func acquainted(t *testing.T, members []*member) {
	t.Helper()
	for i, m := range members {
		eventually(t, fmt.Sprint("node ", i, " to know all"), func() bool { return len(m.bus.(*NATS).roster.there()) == len(members) })
	}
}

func newMember(t *testing.T, b Bus) *member {
	return &member{t: t, bus: b, counts: map[string]int{}}
}

func (m *member) attach() {
	m.t.Helper()
	if err := m.bus.Attach(m); err != nil {
		m.t.Fatal(err)
	}
	if err := m.bus.(*NATS).Join(); err != nil {
		m.t.Fatal(err)
	}
}

// Deliver implements Node. The payload belongs to the bus, so it is copied and
// then overwritten: nobody else may get to see that.
func (m *member) Deliver(topic string, t wire.MessageType, payload []byte) {
	if n := m.delivering.Add(1); n != 1 {
		m.t.Errorf("%d calls of Deliver at a time", n)
	}
	defer m.delivering.Add(-1)
	if m.hold != nil {
		<-m.hold
	}
	got := message{topic, t, string(payload)}
	clear(payload)
	runtime.Gosched()
	m.mu.Lock()
	m.got = append(m.got, got)
	m.mu.Unlock()
}

// Subscribers implements Node.
func (m *member) Subscribers(topic string) int { return m.counts[topic] }

// publish publishes a message from a buffer that it spoils at once: the bus may
// not keep it.
func (m *member) publish(msg message) {
	m.t.Helper()
	buf := []byte(msg.payload)
	if err := m.bus.Publish(msg.topic, msg.t, buf); err != nil {
		m.t.Errorf("publishing %v: %v", msg, err)
	}
	for i := range buf {
		buf[i] = '!'
	}
}

func (m *member) received() []message {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.got)
}

// await returns what has been received as soon as it has a message like last.
func (m *member) await(last message) []message {
	m.t.Helper()
	var got []message
	eventually(m.t, "receiving "+last.String(), func() bool {
		got = m.received()
		return slices.Contains(got, last)
	})
	return got
}

// expect fails the test if got isn't want, in this order.
func expect(t *testing.T, who string, got, want []message) {
	t.Helper()
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Fatalf("%s: message %d is %v, want %v", who, i, got[i], want[i])
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%s: %d messages, want %d", who, len(got), len(want))
	}
}

// text is a message whose payload says who has published it, and as which.
func text(publisher, i int) message {
	return message{"lobby", wire.Text, fmt.Sprintf("%d/%d", publisher, i)}
}

// from returns the messages that text has made for a publisher.
func from(publisher int, all []message) []message {
	prefix := fmt.Sprintf("%d/", publisher)
	return slices.DeleteFunc(slices.Clone(all), func(m message) bool { return !strings.HasPrefix(m.payload, prefix) })
}
