package main

import (
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"hubbub/cmd/loadgen/internal/relay"
	"hubbub/cmd/loadgen/internal/report"
	"hubbub/cmd/loadgen/internal/rooms"
)

// inRooms runs the program against a server that speaks the Centrifuge client
// protocol.
func inRooms(t *testing.T, r *relay.Relay, args ...string) (int, *report.Report, string) {
	t.Helper()
	r.Rooms = true
	return loadgen(t, append([]string{"-protocol", "rooms", "-url", r.Start(t)}, args...)...)
}

func TestRoomsProtocol(t *testing.T) {
	for _, tt := range []struct {
		name     string
		args     string
		messages int64 // 0: as many as there were
		each     int64 // deliveries of a message
	}{
		{"fan-out", "-conns 60 -rate 50 -duration 200ms -processes 2", 10, 60},
		{"least size", "-conns 60 -rate 50 -duration 200ms -size 56", 10, 60},
		{"big messages", "-conns 60 -rate 50 -duration 200ms -size 70000", 10, 60},
		{"topics", "-conns 60 -rate 50 -duration 200ms -topics 3 -publishers 6 -processes 2", 10, 20},
		{"in flight", "-conns 60 -window 4 -publishers 2 -duration 1s -processes 2", 0, 60},
		{"rooms", "-rooms 12 -members 5 -window 1 -duration 1s -processes 2", 0, 5},
		{"stalled", "-conns 60 -rate 50 -duration 200ms -slow 0.2", 10, 48},
		{"churn", "-conns 60 -rate 50 -duration 200ms -churn 100", 10, 60},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, r, said := inRooms(t, &relay.Relay{}, strings.Fields(tt.args)...)
			if r == nil || code != exitOK {
				t.Fatalf("exit code %d, want 0:\n%s", code, said)
			}
			want := tt.messages
			if want == 0 {
				want = max(r.Messages, 8)
			}
			if r.ConnsOpen != 60 || r.Messages != want || r.Delivered != tt.each*want || r.Answers == nil || r.Answers.Acknowledged != want {
				t.Errorf("open %d, messages %d, delivered %d, answers %+v; want 60, %d, %d:\n%s",
					r.ConnsOpen, r.Messages, r.Delivered, r.Answers, want, tt.each*want, said)
			}
		})
	}
}

// A connection is open when it is subscribed, not before.
func TestRoomsIdle(t *testing.T) {
	var subscribed atomic.Int32
	server := &relay.Relay{
		Opened: func(int, net.Conn) { subscribed.Add(1) },
		Answer: func(n int, command uint32, answer string) string {
			if n == 20 && command == rooms.Subscribe {
				return `{"id":2,"error":{"code":103,"message":"permission denied"}}`
			}
			return answer
		},
	}
	code, r, said := inRooms(t, server, "-mode", "idle", "-conns", "50", "-duration", "100ms")
	server.Stop() // so that it has seen all
	if r == nil || code != exitFailed {
		t.Fatalf("exit code %d, want 1:\n%s", code, said)
	}
	if r.ConnsOpen != 49 || r.ConnsFailed != 1 || r.Answers != nil || subscribed.Load() != 50 {
		t.Errorf("open %d, failed %d, answers %+v, %d seen by the server; want 49, 1, none, 50:\n%s", r.ConnsOpen, r.ConnsFailed, r.Answers, subscribed.Load(), said)
	}
	if !strings.Contains(said, "1 × the server refused to subscribe: 103 permission denied") {
		t.Errorf("the report doesn't say why:\n%s", said)
	}
}

func TestRoomsRefusedMessages(t *testing.T) {
	code, r, said := inRooms(t, &relay.Relay{Answer: func(_ int, command uint32, answer string) string {
		if command == rooms.FirstPublish+4 {
			return `{"id":7,"error":{"code":107,"message":"bad request"}}`
		}
		return answer
	}}, "-conns", "50", "-rate", "50", "-duration", "200ms")
	if r == nil || code != exitFailed || r.Missing != 0 {
		t.Fatalf("exit code %d, want 1 though nothing is missing:\n%s", code, said)
	}
	for _, want := range []string{"9 acknowledged, 1 refused, 0 without an answer", "1 × publish: 107 bad request"} {
		if !strings.Contains(said, want) {
			t.Errorf("the report doesn't say %q:\n%s", want, said)
		}
	}
}

// Against the real thing: everybody gets what was there, or, where it keeps less,
// the report says so.
func TestRecovery(t *testing.T) {
	url := relay.Channels(t)
	for _, tt := range []struct {
		args string
		code int
		says []string
	}{
		{"-recover 30 -mode idle -processes 2", exitOK, []string{"60 got the 30 publications of before as they subscribed, 0 something else", "all ready after "}},
		{"-recover 7 -mode idle -topics 3", exitOK, []string{"60 got the 7 publications of before as they subscribed, 0 something else"}},
		{"-recover 5 -rate 50", exitOK, []string{"60 got the 5 publications of before", "10 sent; 600 of 600 deliveries"}},
		{"-recover 31 -mode idle", exitFailed, []string{"0 got the 31 publications of before as they subscribed, 60 something else",
			"60 × recovery: 0 of 31 publications came, recovered: false"}},
	} {
		code, r, said := loadgen(t, append([]string{"-protocol", "rooms", "-url", url, "-conns", "60", "-duration", "200ms"}, strings.Fields(tt.args)...)...)
		if r == nil || code != tt.code {
			t.Fatalf("%s: exit code %d, want %d:\n%s", tt.args, code, tt.code, said)
		}
		if (r.Recovery.AllReady > 0) != (tt.code == exitOK) {
			t.Errorf("%s: all ready after %v s", tt.args, r.Recovery.AllReady)
		}
		for _, want := range tt.says {
			if !strings.Contains(said, want) {
				t.Errorf("%s: the report doesn't say %q:\n%s", tt.args, want, said)
			}
		}
	}
}

// A run can't begin where there is nothing to recover.
func TestNothingToRecover(t *testing.T) {
	code, r, said := inRooms(t, &relay.Relay{Answer: func(_ int, command uint32, answer string) string {
		if command == rooms.FirstPublish+4 {
			return `{"id":7,"error":{"code":103,"message":"permission denied"}}`
		}
		return answer
	}}, "-conns", "5", "-mode", "idle", "-recover", "40")
	if want := "loadgen: publishing what is to be recovered: 103 permission denied\n"; r != nil || code != exitUsage || !strings.HasSuffix(said, want) {
		t.Errorf("exit code %d, want 2 and %q:\n%s", code, want, said)
	}
}
