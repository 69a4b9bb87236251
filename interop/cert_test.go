package interop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// certificates are the files that make TLS: clients trust ca alone, and the
// server has cert and key.
type certificates struct{ ca, cert, key string }

// authority is a certificate with the key that signs others by it.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// certify makes certificates for 127.0.0.1. As with public ones an intermediate
// stands between, which the server has to send along.
func certify(t *testing.T) certificates {
	t.Helper()
	root := sign(t, nil, &x509.Certificate{IsCA: true, Subject: pkix.Name{CommonName: "hubbub test root"}})
	middle := sign(t, root, &x509.Certificate{IsCA: true, Subject: pkix.Name{CommonName: "hubbub test intermediate"}})
	leaf := sign(t, middle, &x509.Certificate{
		Subject:     pkix.Name{CommonName: "hubbub test server"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	key, err := x509.MarshalPKCS8PrivateKey(leaf.key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c := certificates{ca: filepath.Join(dir, "ca.pem"), cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem")}
	writePEM(t, c.ca, "CERTIFICATE", root.cert.Raw)
	writePEM(t, c.cert, "CERTIFICATE", leaf.cert.Raw, middle.cert.Raw)
	writePEM(t, c.key, "PRIVATE KEY", key)
	return c
}

// sign completes a certificate, gives it a key, and has it signed by another,
// or by itself.
func sign(t *testing.T, by *authority, c *x509.Certificate) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if c.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		t.Fatal(err)
	}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	c.BasicConstraintsValid = true
	c.KeyUsage = x509.KeyUsageDigitalSignature
	if c.IsCA {
		c.KeyUsage = x509.KeyUsageCertSign
	}
	if by == nil {
		by = &authority{c, key}
	}
	raw, err := x509.CreateCertificate(rand.Reader, c, by.cert, &key.PublicKey, by.key)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(raw); err != nil {
		t.Fatal(err)
	}
	return &authority{c, key}
}

func writePEM(t *testing.T, path, kind string, blocks ...[]byte) {
	t.Helper()
	var text []byte
	for _, b := range blocks {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b})...)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}
