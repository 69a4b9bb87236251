package hubbub

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"hubbub/internal/bus"
	"hubbub/internal/wire"
)

// network is a NATS server to join servers by.
func network(t *testing.T) *bus.Embedded {
	t.Helper()
	e, err := bus.StartEmbedded(bus.EmbeddedConfig{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// join starts a server that is joined to others.
func join(t *testing.T, e *bus.Embedded, cfg Config) (*Server, string) {
	t.Helper()
	b, err := bus.DialNATS(bus.NATSConfig{URL: e.URL(), Prefix: "test", OnError: func(err error) { t.Errorf("the bus says: %v", err) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	cfg.Bus = b
	if cfg.Endpoints == nil {
		cfg.Endpoints = lastEndpoints()
	}
	s, addr := start(t, cfg)
	if err := b.Join(); err != nil {
		t.Fatal(err)
	}
	return s, addr
}

func TestSubscribeLastWhilePublishingOverABus(t *testing.T) {
	e := network(t)
	a, atA := join(t, e, Config{MaxBacklog: 1 << 30})
	b, atB := join(t, e, Config{MaxBacklog: 1 << 30})
	storm(t, []*Server{a, b}, []string{atA, atB})
}

// TestLateServer: what was published before a server was started comes from the others, once.
func TestLateServer(t *testing.T) {
	e := network(t)
	a, atA := join(t, e, Config{KeepMessages: 35})
	early := dial(t, atA, "/last?topic=t")
	early.expect(ws.OpText, "subscribed")
	for i := range 20 {
		a.PublishKept("t", Text, []byte(fmt.Sprint(i)))
		early.expect(ws.OpText, fmt.Sprint(i))
	}
	b, atB := join(t, e, Config{KeepMessages: 35})
	witness := dial(t, atB, "/last?topic=witness")
	witness.expect(ws.OpText, "subscribed")
	publish := func(from, to int) { // and wait until both have it
		for i := from; i < to; i++ {
			b.PublishKept("t", Text, []byte(fmt.Sprint(i)))
			early.expect(ws.OpText, fmt.Sprint(i))
		}
		b.Publish("witness", Text, []byte("B has what B has sent"))
		witness.expect(ws.OpText, "B has what B has sent")
	}
	publish(20, 30) // B has these from the beginning
	for _, addr := range []string{atB, atA, atB} {
		late := dial(t, addr, "/last?topic=t")
		if got := late.past(); !slices.Equal(got, numbers(0, 30)) {
			t.Fatalf("the past is %q, want 0 to 29", got)
		}
		late.conn.Close()
	}
	publish(30, 40)
	last := dial(t, atB, "/last?n=99&topic=t")
	if got := last.past(); !slices.Equal(got, numbers(5, 40)) {
		t.Errorf("the past is %q, want 5 to 39", got)
	}
	other := dial(t, atB, "/last?topic=%FF") // a name that isn't UTF-8
	if got := other.past(); got != nil {
		t.Errorf("the past of a topic that has none is %q", got)
	}
}

// What is too much for one answer is cut at its old end; what a server keeps of it is bounded as ever.
func TestLateServerGetsWhatFits(t *testing.T) {
	e := network(t)
	a, atA := join(t, e, Config{})
	for i := range 30 {
		a.PublishKept("t", Text, []byte(fmt.Sprint(i%10, strings.Repeat("x", 60<<10))))
	}
	early := dial(t, atA, "/last?topic=t&n=5")
	if got := early.past(); len(got) != 5 {
		t.Fatalf("%d messages, want 5", len(got))
	}
	_, atB := join(t, e, Config{MaxBacklog: 64 << 20})
	got := dial(t, atB, "/last?topic=t").past()
	if len(got) != 8 || got[0][0] != '2' || got[7][0] != '9' {
		t.Errorf("%d messages, want the last 8", len(got))
	}
}

// slowBus is a Bus of one server, whose answers come when the test says so.
type slowBus struct {
	id      uint64 // of the last message that was to be kept
	node    Node
	answer  func([]byte) []byte
	asked   chan struct{} // gets something for each question
	answers chan []byte   // what is answered
	sure    bool          // there will be an answer: nobody gives up
}

func newSlowBus() *slowBus {
	return &slowBus{asked: make(chan struct{}, 100), answers: make(chan []byte)}
}

func (b *slowBus) Attach(n Node) error { b.node = n; return nil }
func (b *slowBus) Publish(topic string, t MessageType, payload []byte) error {
	if t&wire.Kept != 0 {
		b.id = binary.BigEndian.Uint64(payload)
	}
	b.node.Deliver(topic, t, slices.Clone(payload))
	return nil
}
func (b *slowBus) Subscribers(context.Context, string) (int, error) { return 0, nil }
func (b *slowBus) Answer(_ string, f func([]byte) []byte) error     { b.answer = f; return nil }
func (b *slowBus) Ask(ctx context.Context, _ string, _ []byte) ([][]byte, error) {
	b.asked <- struct{}{}
	if b.sure {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
	}
	select {
	case a := <-b.answers:
		return [][]byte{a}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// What a connection does while its subscription waits for an answer.
func TestWhileThePastIsAskedFor(t *testing.T) {
	b := newSlowBus()
	b.sure = true
	s, addr := start(t, Config{Bus: b, Endpoints: map[string]Endpoint{"/": {
		OnText: func(c *Conn, text []byte) {
			switch string(text) {
			case "last":
				c.SubscribeLast("t", 9, func() { c.Send(Text, []byte("subscribed")) })
			case "plain":
				c.Subscribe("t")
			case "leave":
				c.Unsubscribe("t")
			}
			c.Send(Text, text)
		},
	}}})
	do := func(p *client, what ...string) {
		for _, w := range what {
			p.send(ws.OpText, w)
			p.expect(ws.OpText, w)
		}
	}
	patient, impatient, fickle, gone := dial(t, addr, "/"), dial(t, addr, "/"), dial(t, addr, "/"), dial(t, addr, "/")
	do(patient, "last", "last")
	<-b.asked
	do(impatient, "last", "plain")
	do(fickle, "last", "leave")
	do(gone, "last")
	gone.conn.Close()
	s.PublishKept("t", Text, []byte("meanwhile"))
	impatient.expect(ws.OpText, "meanwhile")
	waitFor(t, "the one that left to be gone", func() bool { return s.Connections() == 3 })
	// "a", "b", and what came meanwhile.
	b.answers <- fmt.Appendf(nil, `[{"IDs":[1,2,%d],"Frames":["gQFh","gQFi","gQFj"]}]`, b.id)
	for _, want := range []string{"a", "b", "meanwhile", "subscribed"} {
		patient.expect(ws.OpText, want)
	}
	s.PublishKept("t", Text, []byte("news"))
	patient.expect(ws.OpText, "news")
	impatient.expect(ws.OpText, "news")
	do(fickle, "nothing for me")
	select {
	case <-b.asked:
		t.Error("the topic was asked about twice")
	default:
	}
}

// Nobody waits longer than it takes the others to be given up; and nobody is asked again.
func TestNobodyAnswers(t *testing.T) {
	b := newSlowBus()
	s, addr := start(t, Config{Bus: b, Endpoints: lastEndpoints()})
	s.PublishKept("t", Text, []byte("mine"))
	for range 2 {
		if got := dial(t, addr, "/last?topic=t").past(); !slices.Equal(got, []string{"mine"}) {
			t.Errorf("the past is %q", got)
		}
	}
	<-b.asked
	if len(b.asked) > 0 {
		t.Error("the topic was asked about twice")
	}
}

// Many topics at once are few questions, and a server that ends waits for none.
func TestShutdownWhileAsking(t *testing.T) {
	b := newSlowBus()
	s, addr := start(t, Config{Bus: b, Endpoints: lastEndpoints()})
	dial(t, addr, "/last?topic=first")
	<-b.asked
	for i := range 40 {
		dial(t, addr, fmt.Sprint("/last?topic=", i))
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v", err)
	}
	if n := len(b.asked); n > 3 {
		t.Errorf("%d questions about 40 topics", n)
	}
}

// Answers that no server of this version gives harm nobody.
func TestForeignAnswersAboutThePast(t *testing.T) {
	b := newSlowBus()
	b.sure = true
	_, addr := start(t, Config{Bus: b, Endpoints: lastEndpoints()})
	for i, foreign := range []string{"", "{}", "[]", `[{"IDs":[1]}]`, `[{},{}]`} {
		p := dial(t, addr, fmt.Sprint("/last?topic=", i))
		<-b.asked
		b.answers <- []byte(foreign)
		if got := p.past(); got != nil {
			t.Errorf("%s: the past is %q", foreign, got)
		}
	}
	for _, foreign := range []string{"", "{}", "[]"} {
		if got := b.answer([]byte(foreign)); got != nil {
			t.Errorf("the question %q is answered by %s", foreign, got)
		}
	}
	b.node.Deliver("t", Text|wire.Kept, []byte("short"))
}
