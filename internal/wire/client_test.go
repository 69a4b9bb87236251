package wire

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
)

// The key of RFC 6455 section 1.3.
func rfcHandshake() *ClientHandshake {
	c := &ClientHandshake{Host: "example.com:8080", Target: "/ws?topic=a"}
	copy(c.Key[:], "the sample nonce")
	return c
}

func TestAppendRequest(t *testing.T) {
	c := rfcHandshake()
	const plain = "GET /ws?topic=a HTTP/1.1\r\n" +
		"Host: example.com:8080\r\n" +
		"Upgrade: websocket\r\n" +
		"Connection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: " + rfcKey + "\r\n"
	if got := c.AppendRequest([]byte("before")); string(got) != "before"+plain+"\r\n" {
		t.Errorf("got %q", got)
	}
	c = rfcHandshake()
	c.Origin, c.Protocol = "https://example.com", "chat, superchat"
	want := plain + "Origin: https://example.com\r\nSec-WebSocket-Protocol: chat, superchat\r\n\r\n"
	if got := c.AppendRequest(nil); string(got) != want {
		t.Errorf("got %q", got)
	}
	req, err := http.ReadRequest(bufio.NewReader(strings.NewReader(want)))
	if err != nil || req.URL.Path != "/ws" || req.Host != "example.com:8080" {
		t.Errorf("net/http reads %+v, %v", req, err)
	}
}

// RFC 6455 section 4.1, what a client has to validate.
func TestCheckResponse(t *testing.T) {
	const (
		status  = "HTTP/1.1 101 Switching Protocols\r\n"
		upgrade = "Upgrade: websocket\r\n"
		conn    = "Connection: Upgrade\r\n"
		accept  = "Sec-WebSocket-Accept: " + rfcAccept + "\r\n"
	)
	tests := []struct {
		name string
		in   string
		ok   bool
		rest int // bytes behind the response
	}{
		{"right", status + upgrade + conn + accept + "\r\n", true, 0},
		{"right, with a frame behind it", status + upgrade + conn + accept + "\r\n\x81\x02ok", true, 4},
		{"right, in another order and case", status + "sec-websocket-accept:" + rfcAccept + "\r\nCONNECTION: keep-alive, UPGRADE\r\nDate: x\r\nupgrade: WebSocket\r\n\r\n", true, 0},
		{"two Connection fields", status + upgrade + "Connection: Upgrade\r\nConnection: keep-alive\r\n" + accept + "\r\n", true, 0},
		{"no words behind the status", "HTTP/1.1 101\r\n" + upgrade + conn + accept + "\r\n", true, 0},
		{"a subprotocol that was offered", status + upgrade + conn + accept + "Sec-WebSocket-Protocol: superchat\r\n\r\n", true, 0},
		{"a subprotocol that wasn't", status + upgrade + conn + accept + "Sec-WebSocket-Protocol: mqtt\r\n\r\n", false, 0},
		{"a subprotocol in another case", status + upgrade + conn + accept + "Sec-WebSocket-Protocol: Chat\r\n\r\n", false, 0},
		{"a part of a subprotocol", status + upgrade + conn + accept + "Sec-WebSocket-Protocol: super\r\n\r\n", false, 0},
		{"no subprotocol by name", status + upgrade + conn + accept + "Sec-WebSocket-Protocol: \r\n\r\n", false, 0},
		{"an extension", status + upgrade + conn + accept + "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n", false, 0},
		{"another status", "HTTP/1.1 200 OK\r\n" + upgrade + conn + accept + "\r\n", false, 0},
		{"a refusal", "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", false, 0},
		{"a longer status", "HTTP/1.1 1010 x\r\n" + upgrade + conn + accept + "\r\n", false, 0},
		{"HTTP/1.0", "HTTP/1.0 101 Switching Protocols\r\n" + upgrade + conn + accept + "\r\n", false, 0},
		{"not HTTP", "SSH-2.0-OpenSSH_9.2\r\n\r\n", false, 0},
		{"only an empty line", "\r\n\r\n", false, 0},
		{"no Upgrade", status + conn + accept + "\r\n", false, 0},
		{"another Upgrade", status + "Upgrade: h2c\r\n" + conn + accept + "\r\n", false, 0},
		{"no Connection", status + upgrade + accept + "\r\n", false, 0},
		{"another Connection", status + upgrade + "Connection: close\r\n" + accept + "\r\n", false, 0},
		{"no Accept", status + upgrade + conn + "\r\n", false, 0},
		{"Accept for another key", status + upgrade + conn + "Sec-WebSocket-Accept: " + acceptFor("another") + "\r\n\r\n", false, 0},
		{"Accept in another case", status + upgrade + conn + "Sec-WebSocket-Accept: " + strings.ToLower(rfcAccept) + "\r\n\r\n", false, 0},
		{"too long", status + upgrade + conn + accept + "A: " + strings.Repeat("b", MaxHead) + "\r\n\r\n", false, 0},
		{"no end", strings.Repeat("b", MaxHead), false, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := rfcHandshake()
			c.Protocol = "chat , superchat"
			in := []byte(tt.in)
			n, err := c.CheckResponse(in)
			want := 0
			if tt.ok {
				want = len(in) - tt.rest
			}
			if (err == nil) != tt.ok || n != want {
				t.Fatalf("%d bytes taken, want %d, and %v", n, want, err)
			}
			for i := 1; i < len(in)-tt.rest; i += max(1, len(in)/200) {
				early, earlyErr := c.CheckResponse(in[:i])
				if early != 0 || earlyErr != nil && i < MaxHead {
					t.Fatalf("after %d bytes: %d bytes taken, %v", i, early, earlyErr)
				}
			}
			// What was right once is right again; what was wrong isn't, behind a right one.
			right := []byte(status + upgrade + conn + accept + "\r\n")
			if n, err := c.CheckResponse(right); n != len(right) || err != nil {
				t.Fatalf("%d bytes of a right one taken, %v", n, err)
			}
			if n, err := c.CheckResponse(in); (err == nil) != tt.ok || n != want {
				t.Fatalf("the second time %d bytes taken, want %d, and %v", n, want, err)
			}
		})
	}
	c := rfcHandshake()
	if _, err := c.CheckResponse([]byte(status + upgrade + conn + accept + "Sec-WebSocket-Protocol: chat\r\n\r\n")); err == nil {
		t.Error("a subprotocol is accepted though none was offered")
	}
	if _, err := c.CheckResponse([]byte("HTTP/1.1 403 Forbidden\r\n\r\n")); err == nil || !strings.Contains(err.Error(), "403 Forbidden") {
		t.Errorf("the error doesn't say what the server said: %v", err)
	}
}

// Both sides of the handshake understand each other.
func TestClientMeetsUpgrader(t *testing.T) {
	for _, protocol := range []string{"", "chat"} {
		c := rfcHandshake()
		c.Origin, c.Protocol = "https://example.com", protocol
		var h Head
		req := c.AppendRequest(nil)
		if n, err := h.Parse(req, 0); n != len(req) || err != nil {
			t.Fatalf("%d of %d bytes parsed, %v", n, len(req), err)
		}
		got := "not asked"
		out, err := NewUpgrader(false).Upgrade(nil, &h, []string{"chat"}, func(a Agreement) error { got = a.Protocol; return nil })
		if err != nil || got != protocol {
			t.Fatalf("subprotocol %q, %v", got, err)
		}
		if n, err := c.CheckResponse(out); n != len(out) || err != nil {
			t.Errorf("%d of %d bytes, %v", n, len(out), err)
		}
	}
}
