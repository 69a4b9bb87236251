package main

import (
	"strings"
	"testing"

	"hubbub/internal/wire"
)

func TestParseKind(t *testing.T) {
	seen := map[string]bool{}
	for _, want := range kinds {
		if seen[want.name] || want.what == "" || want.turn != nil && want.frames == 0 {
			t.Errorf("the kind %q is there twice, or isn't complete", want.name)
		}
		seen[want.name] = true
		if got, err := parseKind(want.name); err != nil || got.name != want.name {
			t.Errorf("parseKind(%q) = %v, %v", want.name, got, err)
		}
	}
	if kinds[0].name != "calm" { // the driver relies on it
		t.Errorf("the first kind is %q, want calm", kinds[0].name)
	}
	if _, err := parseKind("polite"); err == nil || !strings.Contains(err.Error(), "trickle") {
		t.Errorf("parseKind of an unknown name: %v, want what there is", err)
	}
}

func TestTurns(t *testing.T) {
	act := func(*herd, *conn) {}
	for _, test := range []struct {
		name  string
		kind  kind
		asked float64
		want  float64
	}{
		{"no turns", kind{}, 100, 0},
		{"for each connection", kind{turn: act, frames: 1, perConn: 2}, 0, 1000},
		{"for all", kind{turn: act, frames: 10, total: 20_000}, 0, 2000},
		{"as asked for", kind{turn: act, frames: 10, total: 20_000, perConn: 7}, 50, 5},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.kind.turns(500, test.asked); got != test.want {
				t.Errorf("turns = %v, want %v", got, test.want)
			}
		})
	}
}

func TestTarget(t *testing.T) {
	for _, test := range []struct {
		topic topic
		conn  int
		want  string
	}{
		{honest, 7, "/ws?topic=all"},
		{aside, 7, "/ws?topic=hostile"},
		{parties, 9, "/ws?topic=hostile-0"},
		{parties, 10, "/ws?topic=hostile-1"},
	} {
		k := kind{topic: test.topic}
		if got := k.target(test.conn, "/ws", "topic=all"); got != test.want {
			t.Errorf("topic %d, connection %d: %s, want %s", test.topic, test.conn, got, test.want)
		}
	}
	if got := (&kind{}).target(0, "/ws", ""); got != "/ws" {
		t.Errorf("without a query the target is %s", got)
	}
}

func TestHandshakes(t *testing.T) {
	for topic, want := range map[topic][2]bool{honest: {true, true}, nowhere: {false, false}, halfways: {false, true}} {
		k := kind{topic: topic}
		if got := [2]bool{k.handshakes(0), k.handshakes(1)}; got != want {
			t.Errorf("topic %d: of two connections %v get through their handshake, want %v", topic, got, want)
		}
	}
}

// What is sent is what it claims to be: a flood must not end in an error of ours.
func TestFramesAreValid(t *testing.T) {
	for _, test := range []struct {
		name            string
		bytes           []byte
		messages, empty int
	}{
		{"pings", pings, 10, 0},
		{"fragments", append(append([]byte{}, first...), fragments...), 0, 11},
		{"tiny", append([]byte{}, tiny...), 1, 0},
		{"big", append([]byte{}, big...), 1, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			var d wire.Decoder
			messages := 0
			for p := append([]byte{}, test.bytes...); len(p) > 0; {
				m, n, err := d.Next(p, &wire.Rules{MaxMessage: 1 << 20})
				if err != nil {
					t.Fatal(err)
				}
				if m.Op != 0 {
					messages++
				}
				p = p[n:]
			}
			if empty := d.Empty(); messages != test.messages || empty != test.empty {
				t.Errorf("there are %d messages and %d empty fragments, want %d and %d", messages, empty, test.messages, test.empty)
			}
			d.Reset()
		})
	}
}

func TestStatus(t *testing.T) {
	for answer, want := range map[string]string{
		"HTTP/1.1 431 Request Header Fields Too Large\r\n": "http 431",
		"HTTP/1.1 101 Switching Protocols\r\n":             "",
		"\x88\x02\x03\xea":                                 "",
		"HTTP/1.1 ":                                        "",
	} {
		if got := status([]byte(answer)); got != want {
			t.Errorf("status(%q) = %q, want %q", answer, got, want)
		}
	}
}
