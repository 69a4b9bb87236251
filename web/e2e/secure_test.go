package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certificate makes a certificate for 127.0.0.1 and returns the flags that name it.
func certificate(t *testing.T) []string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return []string{"-tls-cert", write("cert.pem", "CERTIFICATE", der), "-tls-key", write("key.pem", "PRIVATE KEY", secret)}
}

// The page and its socket over TLS, with compression, which Chromium offers.
func TestSecureAndCompressed(t *testing.T) {
	s := serve(t, append(certificate(t), "-compress", "-compress-min", "1")...)
	writer, reader := open(t, s), open(t, s)
	text := strings.Repeat("hello, hello, ", 20)
	writer.say(text)
	for _, p := range []*tab{writer, reader} {
		p.wait(shows(strings.TrimSpace(text)))
		p.quiet()
	}

	const size = 60_000
	eval[bool](writer, fmt.Sprintf(`(() => {
		const socket = new WebSocket("wss://%s/echo");
		socket.onopen = () => socket.send("compressible ".repeat(%d));
		socket.onmessage = e => { window.echoed = socket.extensions + " " + e.data.length; };
		return true;
	})()`, s.addr, size/len("compressible ")))
	writer.wait(`"echoed" in window`)
	got := eval[string](writer, `window.echoed`)
	if !strings.HasPrefix(got, "permessage-deflate") || !strings.HasSuffix(got, fmt.Sprint(" ", size/13*13)) {
		t.Errorf("echoed: %q, want permessage-deflate and a length of %d", got, size/13*13)
	}
}
