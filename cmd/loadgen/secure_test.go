package main

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hubbub/cmd/loadgen/internal/relay"
	"hubbub/internal/testcert"
)

// startSecure starts the real server with TLS of one version, 0 for any. It
// returns its URL without the path, and the file that says whom to trust.
func startSecure(t *testing.T, version uint16) (url, ca string) {
	t.Helper()
	cert, pem := testcert.Loopback(time.Hour)
	ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem, 0o600); err != nil {
		t.Fatal(err)
	}
	return relay.Hubbub(t, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: version, MaxVersion: version}), ca
}

func TestSecure(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, tt := range []struct {
			name, path string
			args       []string
			messages   int64 // 0: any number
			each       int64 // deliveries
		}{
			{"fan-out", "/ws", []string{"-rate", "50", "-duration", "200ms", "-publishers", "7", "-size", "70000"}, 10, subscribers},
			{"echo", "/echo", []string{"-mode", "echo", "-window", "8", "-duration", "1s"}, 0, 1},
			{"idle", "/ws", []string{"-mode", "idle", "-duration", "100ms"}, 0, 0},
		} {
			t.Run(tls.VersionName(version)+" "+tt.name, func(t *testing.T) {
				url, ca := startSecure(t, version)
				args := append([]string{"-url", url + tt.path, "-tls-ca", ca, "-conns", fmt.Sprint(subscribers), "-processes", "2"}, tt.args...)
				code, r, said := loadgen(t, args...)
				if r == nil || code != exitOK {
					t.Fatalf("exit code %d, want 0:\n%s", code, said)
				}
				if r.ConnsOpen != subscribers || r.ConnectPerS == 0 || r.Handshake == nil || r.Delivered != r.Expected || r.Delivered != r.Messages*tt.each ||
					tt.messages > 0 && r.Messages != tt.messages || tt.each > 0 && r.Messages == 0 {
					t.Errorf("open %d, messages %d, expected %d, delivered %d:\n%s", r.ConnsOpen, r.Messages, r.Expected, r.Delivered, said)
				}
				if len(r.Warnings) != 0 {
					t.Errorf("warnings %q, want none", r.Warnings)
				}
			})
		}
	}
}

func TestUntrusted(t *testing.T) {
	url, _ := startSecure(t, 0)
	_, other := startSecure(t, 0)
	for name, args := range map[string][]string{
		"nobody":      nil,
		"another one": {"-tls-ca", other},
	} {
		code, r, said := loadgen(t, fan(url+"/ws", append(args, "-processes", "2")...)...)
		if r == nil || code != exitFailed {
			t.Fatalf("%s: exit code %d, want 1:\n%s", name, code, said)
		}
		if r.ConnsFailed != subscribers || r.ConnsOpen != 0 || len(r.Failures) != 1 {
			t.Errorf("%s: failed %d, open %d; want %d, 0, for one reason:\n%s", name, r.ConnsFailed, r.ConnsOpen, subscribers, said)
		}
		want := fmt.Sprintf("%d × handshake: tls: failed to verify certificate: x509: certificate signed by unknown authority", subscribers)
		if !strings.Contains(said, want) {
			t.Errorf("%s: the report doesn't say %q:\n%s", name, want, said)
		}
	}
}

func TestInsecure(t *testing.T) {
	url, _ := startSecure(t, 0)
	code, r, said := loadgen(t, fan(url+"/ws", "-tls-insecure", "-processes", "2")...)
	if r == nil || code != exitOK || r.Delivered != 10*subscribers {
		t.Fatalf("exit code %d, want 0:\n%s", code, said)
	}
	if !strings.Contains(said, "the server's certificate was not checked (-tls-insecure)") {
		t.Errorf("the report doesn't say so:\n%s", said)
	}
}

// Either end may be mistaken about TLS.
func TestMistakenScheme(t *testing.T) {
	url, ca := startSecure(t, 0)
	code, r, said := loadgen(t, fan("ws"+strings.TrimPrefix(url, "wss")+"/ws")...)
	if r == nil || code != exitFailed || r.ConnsFailed != subscribers || len(r.Failures) != 1 || !strings.Contains(said, "400") {
		t.Errorf("ws:// to a TLS port: exit code %d, want 1 and one reason:\n%s", code, said)
	}
	plain := (&relay.Relay{HangUp: func(int) bool { return true }}).Start(t)
	code, r, said = loadgen(t, "-url", "wss"+strings.TrimPrefix(plain, "ws"), "-tls-ca", ca, "-conns", "2", "-mode", "idle", "-duration", "1ms")
	if r == nil || code != exitFailed || r.ConnsFailed != 2 || !strings.Contains(said, "handshake: ") {
		t.Errorf("a server that hangs up: exit code %d, want 1:\n%s", code, said)
	}
}
