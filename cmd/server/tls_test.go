package main

import (
	"crypto/tls"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestTLS: the ports are encrypted, the Unix socket isn't, and all are one
// server.
func TestTLS(t *testing.T) {
	for _, form := range forms {
		t.Run(form.name, func(t *testing.T) {
			files, path := newPKI(t, 1), socketPath(t)
			p := start(t, append(append(form.args, files.args()...), "-addr", "127.0.0.1:0,unix:"+path)...)
			sites := p.sites(files.trust)
			members := expectAllTogether(t, sites)

			for _, s := range sites[:2] {
				if resp, answer := s.ask("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"); resp.StatusCode != http.StatusBadRequest || !strings.Contains(answer, "this is a TLS port") {
					t.Errorf("without TLS at %s: %q, want 400 and what is wrong", s.name, answer)
				}
			}
			refused := p.scrapePage("?sum").byWorker("hubbub_handshakes_refused_total", "reason", "tls")[""]
			if refused != 2 {
				t.Errorf("%v handshakes refused for TLS, want 2", refused)
			}
			p.endWith(members)
			expectMissing(t, path)
		})
	}
}

func TestCertificateMistakes(t *testing.T) {
	files, other := newPKI(t, 1), newPKI(t, 2)
	missing := filepath.Join(t.TempDir(), "missing.pem")
	rubbish := filepath.Join(t.TempDir(), "rubbish.pem")
	if err := os.WriteFile(rubbish, []byte("rubbish\nin two lines\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, form := range forms {
		for _, tt := range []struct{ name, cert, key, want string }{
			{"no certificate", missing, files.key, "no such file"},
			{"no key", files.cert, missing, "no such file"},
			{"a key of another", files.cert, other.key, "private key does not match public key"},
			{"no PEM", rubbish, files.key, "PEM"},
		} {
			t.Run(form.name+"/"+tt.name, func(t *testing.T) {
				args := onFreePorts(append(form.args, "-tls-cert", tt.cert, "-tls-key", tt.key, "-log-level", "error")...)
				line := launch(t, append([]string{self(t)}, args...)...).expectUsageError()
				if !strings.Contains(line, "-tls-cert "+tt.cert+" and -tls-key "+tt.key+": ") || !strings.Contains(line, tt.want) {
					t.Errorf("it says %q, want the files and something with %q", line, tt.want)
				}
			})
		}
	}
}

// dialSerial dials and returns the serial number of the certificate that was
// shown.
func (s site) dialSerial(path string) (*client, int64) {
	s.t.Helper()
	c := s.dial(path)
	return c, c.conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

func TestCertificateIsExchanged(t *testing.T) {
	for _, form := range forms {
		t.Run(form.name, func(t *testing.T) {
			t.Parallel() // there are seconds between looks at the files
			files := newPKI(t, 1)
			p := start(t, append(append(form.args, files.args()...), "-max-conns", "10")...)
			s := p.sites(files.trust)[0]
			// shown returns the certificates that are shown to more connections
			// than one of two processes has room for.
			shown := func() []int64 {
				var serials []int64
				for range 6 {
					c, serial := s.dialSerial("/echo")
					defer c.conn.Close()
					serials = append(serials, serial)
				}
				slices.Sort(serials)
				return slices.Compact(serials)
			}
			old, serial := s.dialSerial("/ws")
			if serial != 1 {
				t.Fatalf("certificate %d, want 1", serial)
			}
			cert, key := files.issue(2)
			files.put(files.key, key)
			files.put(files.cert, cert)
			eventually(t, "the new certificate to be shown to everyone", func() bool { return slices.Equal(shown(), []int64{2}) })
			fresh, serial := s.dialSerial("/ws")
			if serial != 2 {
				t.Errorf("certificate %d, want 2", serial)
			}
			expectRelay([]*client{old, fresh})

			files.put(files.cert, []byte("rubbish"))
			const broken = "the new certificate can't be used; the old one stays"
			eventually(t, "every process to log the broken file", func() bool {
				if got := shown(); !slices.Equal(got, []int64{2}) {
					t.Fatalf("certificates %d with a broken file, want the old one", got)
				}
				return len(p.logged(broken)) == max(1, len(p.workers()))
			})
			if err := p.logged(broken)[0]["error"].(string); !strings.Contains(err, files.cert) {
				t.Errorf("it says %q, want something with %s", err, files.cert)
			}
			newest, _ := s.dialSerial("/ws")
			expectRelay([]*client{old, fresh, newest})
		})
	}
}
