package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificate is a certificate and its key, read again when the files change, as
// they do when it is renewed.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu     sync.Mutex
	cert   *tls.Certificate
	seen   [2]stamp
	looked time.Time
}

// stamp tells whether a file has changed.
type stamp struct {
	modified time.Time
	size     int64
}

// lookEvery is how long a change of the files may go unnoticed.
const lookEvery = time.Second

// tlsConfig returns how to encrypt, nil if there is no certificate.
func tlsConfig(o *options, log *slog.Logger) (*tls.Config, error) {
	if o.tlsCert == "" {
		return nil, nil
	}
	c := &certificate{certFile: o.tlsCert, keyFile: o.tlsKey, log: log}
	if err := c.load(); err != nil {
		return nil, usageError{err}
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current(), nil },
	}, nil
}

// load reads the files.
func (c *certificate) load() error {
	seen := c.stamps()
	cert, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("-tls-cert %s and -tls-key %s: %s", c.certFile, c.keyFile, oneLine(err))
	}
	c.cert, c.seen, c.looked = &cert, seen, time.Now()
	return nil
}

func (c *certificate) stamps() (s [2]stamp) {
	for i, name := range []string{c.certFile, c.keyFile} {
		if info, err := os.Stat(name); err == nil {
			s[i] = stamp{info.ModTime(), info.Size()}
		}
	}
	return s
}

// current returns the certificate, after a look at the files every so often. If
// they can't be read, or don't fit together, the old one stays.
func (c *certificate) current() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) < lookEvery {
		return c.cert
	}
	c.looked = time.Now()
	if seen := c.stamps(); seen != c.seen {
		if err := c.load(); err != nil {
			c.log.Error("the new certificate can't be used; the old one stays", "error", err)
			c.seen = seen // said once
		} else {
			c.log.Info("the certificate was read again", "file", c.certFile)
		}
	}
	return c.cert
}
