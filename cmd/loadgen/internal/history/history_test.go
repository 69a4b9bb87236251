package history

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws/wsutil"

	"hubbub/cmd/loadgen/internal/plan"
	"hubbub/cmd/loadgen/internal/relay"
	"hubbub/internal/testcert"
)

func planFor(t *testing.T, r *relay.Relay) *plan.Plan {
	t.Helper()
	r.Rooms = true
	host := strings.TrimSuffix(strings.TrimPrefix(r.Start(t), "ws://"), "/ws")
	return &plan.Plan{Run: 99, Protocol: plan.Rooms, Prefix: "chat:", Addr: netip.MustParseAddrPort(host), Host: host, Target: "/ws", Topics: 2, Size: 60, Recover: 70}
}

// Everything is published once in each topic, as payloads are, though the server
// pings in between.
func TestPublish(t *testing.T) {
	var published atomic.Int32
	p := planFor(t, &relay.Relay{
		Before: func(_ int, subscribers []net.Conn) {
			if len(subscribers) != 1 {
				t.Errorf("%d subscribers of a topic, want who publishes", len(subscribers))
			}
			if published.Load()%10 == 0 {
				wsutil.WriteServerText(subscribers[0], []byte("{}"))
			}
		},
		Fault: func(m, _ int, data []byte) [][]byte {
			published.Add(1)
			if len(data) != 60 || data[0] != '"' {
				t.Errorf("message %d is %s", m, data)
			}
			return [][]byte{data}
		},
	})
	if err := Publish(t.Context(), p); err != nil || published.Load() != 140 {
		t.Errorf("%d published, want 140; %v", published.Load(), err)
	}
}

// It trusts whom the run's connections do.
func TestPublishEncrypted(t *testing.T) {
	cert, ca := testcert.Loopback(time.Hour)
	p := planFor(t, &relay.Relay{Wrap: func(c net.Conn) net.Conn {
		return tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}})
	}})
	p.TLS = &plan.TLS{ServerName: "127.0.0.1", CA: ca}
	if err := Publish(t.Context(), p); err != nil {
		t.Error(err)
	}
	p.TLS.CA = nil
	if err := Publish(t.Context(), p); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("with a certificate that nobody trusts: %v", err)
	}
}

func TestPublishFails(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	for _, tt := range []struct {
		name string
		r    *relay.Relay
		ctx  context.Context
		want string // a regular expression
	}{
		{"refused", &relay.Relay{Answer: func(_ int, _ uint32, answer string) string {
			return strings.Replace(answer, `"subscribe":{}`, `"error":{"code":102,"message":"unknown channel"}`, 1)
		}}, t.Context(), "102 unknown channel"},
		{"sent away", &relay.Relay{Before: func(_ int, subscribers []net.Conn) {
			wsutil.WriteServerText(subscribers[0], []byte(`{"push":{"disconnect":{"code":3001,"reason":"shutdown"}}}`))
		}}, t.Context(), "disconnected: 3001 shutdown"},
		{"nonsense", &relay.Relay{Answer: func(int, uint32, string) string { return "hello" }}, t.Context(), "isn't in JSON"},
		{"hung up", &relay.Relay{HangUp: func(int) bool { return true }}, t.Context(), "EOF|connection reset|broken pipe"},
		{"broken off", &relay.Relay{Before: func(int, []net.Conn) { cancel() }, Answer: func(_ int, command uint32, answer string) string {
			if command > 2 {
				return ""
			}
			return answer
		}}, ctx, "context canceled"},
	} {
		if err := Publish(tt.ctx, planFor(t, tt.r)); err == nil || !regexp.MustCompile(tt.want).MatchString(err.Error()) {
			t.Errorf("%s: %v, want an error with %q", tt.name, err, tt.want)
		}
	}
}
