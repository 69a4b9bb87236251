package client

import (
	"fmt"
	"maps"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"hubbub/cmd/loadgen/internal/history"
	"hubbub/cmd/loadgen/internal/ledger"
	"hubbub/cmd/loadgen/internal/payload"
	"hubbub/cmd/loadgen/internal/plan"
	"hubbub/cmd/loadgen/internal/relay"
	"hubbub/cmd/loadgen/internal/rooms"
	"hubbub/internal/wire"
)

// roomsPlan is newPlan in rooms.
func roomsPlan(t *testing.T, r *relay.Relay, conns int) *plan.Plan {
	t.Helper()
	r.Rooms = true
	p := newPlan(t, r.Start(t), conns)
	p.Protocol, p.Prefix = plan.Rooms, "chat:"
	return p
}

// say is what a server sends as text.
func say(lines string) func(net.Conn) {
	return func(c net.Conn) { wsutil.WriteServerText(c, []byte(lines)) }
}

func TestRoomsInPieces(t *testing.T) {
	for _, chop := range []int{0, 1, 50} {
		p := roomsPlan(t, &relay.Relay{Chop: chop}, 6)
		p.Topics, p.Publishers = 2, 2
		c := play(t, p).Counts
		if c.Opened != 6 || c.Sent != 10 || c.Delivered != 30 || c.Missing != 0 || c.Corrupt != 0 || c.Acknowledged != 10 || c.Unanswered != 0 {
			t.Errorf("pieces of %d bytes: %+v", chop, c)
		}
	}
}

func TestRoomsPing(t *testing.T) {
	for _, wanted := range []bool{true, false} {
		var pongs atomic.Int32
		p := roomsPlan(t, &relay.Relay{
			Answer: func(_ int, _ uint32, answer string) string {
				return strings.Replace(answer, `"pong":true`, fmt.Sprintf(`"pong":%v`, wanted), 1)
			},
			Before: func(_ int, subscribers []net.Conn) {
				for _, c := range subscribers {
					say("{}")(c)
				}
			},
			Pong: func([]byte) { pongs.Add(1) },
		}, 5)
		c := play(t, p).Counts
		want := int32(0)
		if wanted {
			want = 50 // the closing handshake comes behind them
		}
		if c.Delivered != 50 || c.Lost != 0 || pongs.Load() != want {
			t.Errorf("%d pongs, want %d: %+v", pongs.Load(), want, c)
		}
	}
}

// A server refuses to let some in: two for good, two for the time being.
func TestRoomsRefusal(t *testing.T) {
	p := roomsPlan(t, &relay.Relay{Answer: func(n int, command uint32, answer string) string {
		switch {
		case n < 2 && command == rooms.Subscribe:
			return `{"id":2,"error":{"code":103,"message":"permission denied"}}`
		case n >= 2 && n < 4 && command == rooms.Connect:
			return `{"id":1,"error":{"code":100,"message":"internal server error","temporary":true}}`
		}
		return answer
	}}, 10)
	p.Mode, p.Publishers = plan.Idle, 0
	res := play(t, p)
	want := map[string]int{"the server refused to subscribe: 103 permission denied": 2}
	if c := res.Counts; c.Opened != 8 || c.Failed != 2 || c.Retries != 2 || !maps.Equal(res.Failures, want) {
		t.Errorf("opened %d, failed %d, retries %d, %v; want 8, 2, 2, %v", c.Opened, c.Failed, c.Retries, res.Failures, want)
	}
}

// witness is an errand that only remembers.
type witness struct {
	times   int // opened
	refusal refusal
}

func (w *witness) opened(c *conn, _ int64, _ []byte) {
	w.times++
	c.dial, c.st = nil, open
}

func (w *witness) refused(_ *conn, r refusal) { w.refusal = r }

func TestRoomsJoining(t *testing.T) {
	const (
		welcome = `{"id":1,"connect":{"client":"x","ping":25,"pong":true}}`
		there   = `{"id":2,"subscribe":{}}`
	)
	for _, tt := range []struct {
		answers string
		opened  int
		want    refusal
	}{
		{welcome + "\n" + there, 1, refusal{}},
		{there + "\n" + welcome, 1, refusal{}},
		{welcome, 0, refusal{}},
		{welcome + "\n" + welcome, 0, refusal{}},
		{"{}\n" + there, 0, refusal{}},
		{`{"id":1,"error":{"code":101,"message":"unauthorized"}}`, 0, refusal{reason: "the server refused to connect: 101 unauthorized"}},
		{welcome + "\n" + `{"id":2,"error":{"code":103,"message":"permission denied"}}`, 0, refusal{reason: "the server refused to subscribe: 103 permission denied"}},
		{`{"id":2,"error":{"code":100,"message":"internal server error","temporary":true}}`, 0,
			refusal{reason: "the server refused to subscribe: 100 internal server error", transient: true}},
		{`{"push":{"disconnect":{"code":3500,"reason":"invalid token"}}}`, 0, refusal{reason: "join: disconnected: 3500 invalid token by the server", transient: true}},
		{`{"id":3,"publish":{}}`, 0, refusal{reason: "join: the server broke the protocol: it answered what it wasn't asked", transient: true}},
		{`hello`, 0, refusal{reason: "join: the server broke the protocol: what came isn't in JSON as answers and pushes are", transient: true}},
	} {
		l := laneOf(t, plan.Rooms, 1)
		c, w := &l.conns[0], &witness{}
		pair(t, c)
		c.st, c.dial = joining, &attempt{errand: w}
		c.receive(wire.AppendFrame(nil, wire.OpText, []byte(tt.answers)))
		if w.times != tt.opened || w.refusal != tt.want {
			t.Errorf("%s: opened %d times, %+v; want %d, %+v", tt.answers, w.times, w.refusal, tt.opened, tt.want)
		}
		if tt.opened == 1 && !c.pongs {
			t.Errorf("%s: pings wouldn't be answered", tt.answers)
		}
		if w.refusal.reason != "" && (c.fd >= 0 || c.dial.answers != 0) {
			t.Errorf("%s: something is left over for the next attempt", tt.answers)
		}
		c.end(lost)
	}
}

// With recovery, a connection is ready when it has just what was there before.
func TestRoomsRecovering(t *testing.T) {
	const (
		welcome = `{"id":1,"connect":{"client":"x","ping":25,"pong":true}}`
		kept    = `{"data":"abcdefgh","offset":2}`
	)
	answer := func(recovered bool, publications ...string) string {
		return fmt.Sprintf(`{"id":2,"subscribe":{"recoverable":true,"epoch":"e","publications":[%s],"recovered":%v,"offset":3,"positioned":true,"was_recovering":true}}`,
			strings.Join(publications, ","), recovered)
	}
	for _, tt := range []struct {
		answer string
		reason string // empty: it is ready
	}{
		{answer(true, kept, kept), ""},
		{answer(true, kept), "recovery: 1 of 2 publications came, recovered: true"},
		{answer(true, kept, kept, kept), "recovery: 3 of 2 publications came, recovered: true"},
		{answer(false, kept, kept), "recovery: 2 of 2 publications came, recovered: false"},
		{`{"id":2,"subscribe":{}}`, "recovery: 0 of 2 publications came, recovered: false"},
	} {
		l := laneOf(t, plan.Rooms, 1)
		l.plan.Recover = 2
		if hello := string(l.proto.hello(0)); !strings.HasSuffix(hello, `"recover":true,"offset":0,"epoch":""}}`) {
			t.Errorf("it begins with %s", hello)
		}
		c, w := &l.conns[0], &witness{}
		pair(t, c)
		c.st, c.dial = joining, &attempt{errand: w}
		c.receive(wire.AppendFrame(nil, wire.OpText, []byte(welcome+"\n"+tt.answer)))
		ready := tt.reason == ""
		if (w.times == 1) != ready || w.refusal != (refusal{reason: tt.reason}) {
			t.Errorf("%s: opened %d times, %+v; want %q", tt.answer, w.times, w.refusal, tt.reason)
		}
		if (l.count.Recovered == 1) != ready || l.count.Recovered+l.count.Short != 1 {
			t.Errorf("%s: entered as %d and %d", tt.answer, l.count.Recovered, l.count.Short)
		}
		c.end(lost)
	}
}

// The answers may come in any order, and with what is behind them. That is none
// of the business of those who pass.
func TestRoomsAnswers(t *testing.T) {
	const push = `{"push":{"channel":"x","pub":{"data":1}}}`
	p := roomsPlan(t, &relay.Relay{Answer: func(n int, command uint32, answer string) string {
		switch {
		case command > rooms.Subscribe:
			return answer
		case command == rooms.Connect:
			return ""
		case n%2 == 0:
			return push + "\n" + answer + "\n" + `{"id":1,"connect":{}}` + "\n{}"
		}
		return `{"id":1,"connect":{}}` + "\n" + answer + "\n" + push
	}}, 10)
	p.Churn = 100
	c := play(t, p).Counts
	if c.Opened != 10 || c.ChurnOpened != 10 || c.Lost != 0 || c.Delivered != 100 || c.Missing != 0 || c.Corrupt != 5 {
		t.Errorf("%+v; want the push to five of ten counted as corrupt, since it came when they were open", c)
	}
}

func TestRoomsAcknowledgements(t *testing.T) {
	const breach = "lost: the server broke the protocol: it answered what it wasn't asked"
	for _, tt := range []struct {
		name                  string
		answer                string // to the third message
		acknowledged, refused int64
		lost                  int
		failure               string
	}{
		{"refused", `{"id":5,"error":{"code":103,"message":"permission denied"}}`, 9, 1, 0, "publish: 103 permission denied"},
		{"missing", "", 9, 0, 0, ""},
		{"twice", `{"id":5,"publish":{}}` + "\n" + `{"id":5,"publish":{}}`, 3, 0, 1, breach},
		{"unasked", `{"id":500,"publish":{}}`, 2, 0, 1, breach},
		{"nobody's", `{"error":{"code":100,"message":"internal server error"}}`, 2, 0, 1, breach},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := roomsPlan(t, &relay.Relay{Answer: func(_ int, command uint32, answer string) string {
				if command == rooms.FirstPublish+2 {
					return tt.answer
				}
				return answer
			}}, 5)
			if tt.answer == "" { // all of it has to pass
				p.Timeout = time.Second
			}
			res := play(t, p)
			c := res.Counts
			if c.Acknowledged != tt.acknowledged || c.Refused != tt.refused || c.Lost != tt.lost || c.Acknowledged+c.Refused+c.Unanswered != c.Sent {
				t.Errorf("%+v", c)
			}
			if tt.failure != "" && res.Failures[tt.failure] != 1 {
				t.Errorf("failures %v, want 1 × %q", res.Failures, tt.failure)
			}
		})
	}
}

// A run isn't over before every message has its answer, if its sender is still
// there to hear it.
func TestFinishingWithAnswers(t *testing.T) {
	for _, lost := range []bool{false, true} {
		l := laneOf(t, plan.Rooms, 1)
		c := &l.conns[0]
		pair(t, c)
		c.pub = &publisher{conn: c, next: 2, answers: ledger.New(1)}
		l.pubs = append(l.pubs, c.pub)
		c.receive(pushes(l, l.plan.TopicName(0), 0, 2))
		c.acknowledged(1, nil)
		done := false
		l.await([]uint32{2}, func() { done = true })
		if done {
			t.Fatal("finished with an answer to come")
		}
		if lost {
			c.lose("test")
		} else {
			c.acknowledged(0, nil)
		}
		if !done {
			t.Errorf("lost %v: still waiting for %d", lost, l.outstanding)
		}
		if !lost {
			c.end(waiting)
		}
	}
}

func TestRoomsLoss(t *testing.T) {
	const at = 5 // message before which connections are lost
	closed := func(c net.Conn) {
		wsutil.WriteServerMessage(c, ws.OpClose, ws.NewCloseFrameBody(3008, "slow"))
	}
	for _, tt := range []struct {
		name   string
		break_ func(net.Conn)
		reason string
	}{
		{"disconnected", say(`{"push":{"disconnect":{"code":3001,"reason":"shutdown"}}}`), "lost: disconnected: 3001 shutdown by the server"},
		{"unsubscribed", say(`{"push":{"channel":"x","unsubscribe":{"code":2500,"reason":"off"}}}`), "lost: unsubscribed: 2500 off by the server"},
		{"closed", closed, "lost: closed by the server: 3008 slow"},
		{"nonsense", say("{}\nnonsense"), "lost: the server broke the protocol: what came isn't in JSON as answers and pushes are"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := roomsPlan(t, &relay.Relay{Before: func(m int, subscribers []net.Conn) {
				if m == at {
					tt.break_(subscribers[3])
					tt.break_(subscribers[7])
				}
			}}, 10)
			p.Publishers, p.Rate, p.Timeout = 10, 1000, 500*time.Millisecond // as in TestLostConnections
			expectTwoLost(t, play(t, p), []string{tt.reason})
		})
	}
}

func TestRoomsStorm(t *testing.T) {
	e := newEnds()
	p := roomsPlan(t, &relay.Relay{Opened: e.opened}, 30)
	expectBack(t, weather(t, p, 1, func() { e.each(30, hangUp) }, allBack))
}

// Who comes back in a storm recovers again.
func TestRoomsRecoveringStorm(t *testing.T) {
	e := newEnds()
	p := roomsPlan(t, &relay.Relay{Opened: e.opened}, 30)
	p.Recover = 3
	if err := history.Publish(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	e.each(1, hangUp) // who has published
	res := weather(t, p, 1, func() { e.each(30, hangUp) }, allBack)
	expectBack(t, res)
	if res.Counts.Recovered != 60 || res.Counts.Short != 0 {
		t.Errorf("%d recovered all, %d didn't; want 60, 0", res.Counts.Recovered, res.Counts.Short)
	}
}

// pushes are a frame with messages from..to-1 in as many lines.
func pushes(l *lane, channel string, from, to uint32) []byte {
	codec := payload.NewCodec(l.plan.Run, true)
	var lines []string
	for seq := from; seq < to; seq++ {
		codec.Put(l.body, payload.Header{Seq: seq, Intended: l.clk.Now()})
		lines = append(lines, fmt.Sprintf(`{"push":{"channel":"%s","pub":{"data":%s}}}`, channel, l.body))
	}
	return wire.AppendFrame(nil, wire.OpText, []byte(strings.Join(lines, "\n")))
}

func TestRoomsReceiving(t *testing.T) {
	l := laneOf(t, plan.Rooms, 2)
	a, b := &l.conns[0], &l.conns[1]
	own := l.plan.TopicName(0)
	a.receive(pushes(l, own, 0, 16))
	if l.count.Delivered != 16 || l.count.Corrupt != 0 {
		t.Errorf("sixteen in a frame: %+v", l.count)
	}
	for _, channel := range []string{l.plan.TopicName(1), own + "x", "x" + own, ""} {
		l.count = Counts{}
		b.receive(pushes(l, channel, 0, 1))
		if l.count.Delivered != 0 || l.count.Corrupt != 1 {
			t.Errorf("on channel %q: %+v", channel, l.count)
		}
	}
	l.count = Counts{}
	frame := pushes(l, own, 0, 1)
	frame[0] = frame[0]&^0xf | byte(wire.OpBinary)
	b.receive(frame)
	if l.count.Delivered != 0 || l.count.Corrupt != 1 {
		t.Errorf("as bytes: %+v", l.count)
	}
}

func TestRoomsReceivingAllocatesNothing(t *testing.T) {
	l := laneOf(t, plan.Rooms, 2001)
	frame := pushes(l, l.plan.TopicName(0), 0, 1)
	expectNoAllocations(t, l, frame)
}

func BenchmarkReceiveRooms(b *testing.B) {
	l := laneOf(b, plan.Rooms, 10_000)
	benchmarkReceive(b, l, pushes(l, l.plan.TopicName(0), 0, 1))
}
