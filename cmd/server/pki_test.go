package main

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
	"sync"
	"testing"
	"time"
)

// authority signs the certificates of the tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

var theAuthority = sync.OnceValues(func() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "hubbub tests"},
		NotAfter:     time.Now().Add(time.Hour),
		IsCA:         true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &authority{cert, key}, err
})

// pki is a pair of files that a server is given.
type pki struct {
	t         *testing.T
	cert, key string         // their names
	trust     *x509.CertPool // what it takes to trust them
}

// newPKI returns files with a certificate of this serial number.
func newPKI(t *testing.T, serial int64) pki {
	t.Helper()
	a, err := theAuthority()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	p := pki{t, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), x509.NewCertPool()}
	p.trust.AddCert(a.cert)
	cert, key := p.issue(serial)
	p.put(p.cert, cert)
	p.put(p.key, key)
	return p
}

func (p pki) args() []string { return []string{"-tls-cert", p.cert, "-tls-key", p.key} }

// issue returns a new certificate for 127.0.0.1 and its key, as PEM.
func (p pki) issue(serial int64) (cert, key []byte) {
	p.t.Helper()
	a, err := theAuthority()
	if err != nil {
		p.t.Fatal(err)
	}
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &own.PublicKey, a.key)
	if err != nil {
		p.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		p.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
}

// put writes a file as those who renew certificates do, all at once. It is
// older than the one before, which is a change like any other.
func (p pki) put(name string, text []byte) {
	p.t.Helper()
	modified := time.Now()
	if info, err := os.Stat(name); err == nil {
		modified = info.ModTime().Add(-time.Hour)
	}
	next := name + ".next"
	if err := os.WriteFile(next, text, 0o600); err != nil {
		p.t.Fatal(err)
	}
	if err := os.Chtimes(next, modified, modified); err != nil {
		p.t.Fatal(err)
	}
	if err := os.Rename(next, name); err != nil {
		p.t.Fatal(err)
	}
}
