package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"
)

// serialOf returns the serial number of a certificate.
func serialOf(t *testing.T, cert *tls.Certificate) int64 {
	t.Helper()
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return leaf.SerialNumber.Int64()
}

func TestStamps(t *testing.T) {
	files := newPKI(t, 1)
	c := &certificate{certFile: files.cert, keyFile: files.key}
	was := c.stamps()
	if was != c.stamps() {
		t.Error("they change by themselves")
	}
	if was[0] == (stamp{}) || was[1] == (stamp{}) {
		t.Errorf("%v: a file that is there has none", was)
	}
	info, err := os.Stat(files.cert)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		change func() error
	}{
		{"a later time", func() error { return os.Chtimes(files.cert, time.Time{}, info.ModTime().Add(time.Second)) }},
		{"an earlier time", func() error { return os.Chtimes(files.key, time.Time{}, info.ModTime().Add(-time.Hour)) }},
		{"another size", func() error {
			return errors.Join(os.Truncate(files.cert, info.Size()-1), os.Chtimes(files.cert, time.Time{}, info.ModTime().Add(time.Second)))
		}},
		{"no certificate", func() error { return os.Remove(files.cert) }},
		{"no key", func() error { return os.Remove(files.key) }},
	} {
		if err := tt.change(); err != nil {
			t.Fatal(err)
		}
		now := c.stamps()
		if now == was {
			t.Errorf("%s: no change is seen", tt.name)
		}
		was = now
	}
}

func TestCertificateIsReadAgain(t *testing.T) {
	files := newPKI(t, 1)
	log := make(lines, 100)
	c := &certificate{certFile: files.cert, keyFile: files.key, log: slog.New(slog.NewTextHandler(log, nil))}
	if err := c.load(); err != nil {
		t.Fatal(err)
	}
	// look has it look at the files, expects a certificate, and something in the
	// log, or nothing.
	look := func(what string, serial int64, said string) {
		t.Helper()
		c.looked = time.Time{}
		if got := serialOf(t, c.current()); got != serial {
			t.Errorf("%s: certificate %d, want %d", what, got, serial)
		}
		select {
		case line := <-log:
			if said == "" || !strings.Contains(line, said) {
				t.Errorf("%s: it says %q, want %q", what, line, said)
			}
		default:
			if said != "" {
				t.Errorf("%s: it says nothing, want %q", what, said)
			}
		}
	}
	const again, broken = "the certificate was read again", "the new certificate can't be used; the old one stays"
	look("unchanged", 1, "")

	cert, key := files.issue(2)
	files.put(files.cert, cert)
	c.looked = time.Now().Add(time.Hour) // as if it had just looked
	if got := serialOf(t, c.current()); got != 1 {
		t.Errorf("it looks at every handshake: certificate %d", got)
	}
	look("a certificate without its key", 1, broken)
	look("the same, later", 1, "")
	files.put(files.key, key)
	look("with its key", 2, again)
	look("the same, later", 2, "")

	for what, text := range map[string]string{"no PEM": "rubbish", "empty": "", "cut off": string(cert[:len(cert)/2])} {
		files.put(files.cert, []byte(text))
		look(what, 2, broken)
	}
	if err := os.Remove(files.cert); err != nil {
		t.Fatal(err)
	}
	look("no file", 2, broken)
	look("no file still", 2, "")
	files.put(files.cert, cert)
	look("the same certificate again", 2, again)
}

func TestTLSConfig(t *testing.T) {
	discard := slog.New(slog.NewTextHandler(io.Discard, nil))
	if cfg, err := tlsConfig(mustParse(t), discard); cfg != nil || err != nil {
		t.Errorf("without a certificate: %v, %v", cfg, err)
	}
	files := newPKI(t, 7)
	cfg, err := tlsConfig(mustParse(t, files.args()...), discard)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := cfg.GetCertificate(&tls.ClientHelloInfo{})
	if err != nil || serialOf(t, cert) != 7 || cfg.MinVersion != tls.VersionTLS12 {
		t.Errorf("certificate %v from TLS %x on, and %v", cert, cfg.MinVersion, err)
	}
}
