package hubbub

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/crypto/chacha20poly1305"
)

// records13 encrypts TLS 1.3 records by hand (RFC 8446 section 5.2), in the suites
// with SHA-256: crypto/tls chooses one on machines with AES instructions, the other
// on those without.
type records13 struct {
	suite  uint16
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
}

func expandLabel(secret []byte, label string, n int) []byte {
	full := "tls13 " + label
	info := binary.BigEndian.AppendUint16(nil, uint16(n))
	info = append(info, byte(len(full)))
	info = append(info, full...)
	info = append(info, 0)
	out, err := hkdf.Expand(sha256.New, secret, string(info), n)
	if err != nil {
		panic(err)
	}
	return out
}

func (r *records13) set(secret []byte) {
	r.secret = secret
	if r.suite == tls.TLS_AES_128_GCM_SHA256 {
		b, _ := aes.NewCipher(expandLabel(secret, "key", 16)) // the length is right
		r.aead, _ = cipher.NewGCM(b)
	} else {
		r.aead, _ = chacha20poly1305.New(expandLabel(secret, "key", chacha20poly1305.KeySize)) // likewise
	}
	r.iv = expandLabel(secret, "iv", 12)
	r.seq = 0
}

func (r *records13) record(dst []byte, typ byte, p []byte) []byte {
	inner := append(bytes.Clone(p), typ)
	hdr := []byte{23, 3, 3, 0, 0}
	binary.BigEndian.PutUint16(hdr[3:], uint16(len(inner)+16))
	nonce := bytes.Clone(r.iv)
	for i := range 8 {
		nonce[4+i] ^= byte(r.seq >> (56 - 8*i))
	}
	r.seq++
	return r.aead.Seal(append(dst, hdr...), nonce, inner, hdr)
}

func (r *records13) keyUpdate(dst []byte) []byte {
	dst = r.record(dst, 22, []byte{24, 0, 0, 1, 1}) // update_requested
	r.set(expandLabel(r.secret, "traffic upd", 32))
	return dst
}

// takeOver shakes hands and returns the raw connection with its client keys.
func takeOver(t *testing.T, addr string) (net.Conn, *records13) {
	t.Helper()
	raw, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	_, trust := identity()
	trust = trust.Clone()
	var keys bytes.Buffer
	trust.KeyLogWriter = &keys
	trust.MinVersion = tls.VersionTLS13
	conn := tls.Client(raw, trust)
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	suite := conn.ConnectionState().CipherSuite
	if suite != tls.TLS_AES_128_GCM_SHA256 && suite != tls.TLS_CHACHA20_POLY1305_SHA256 {
		t.Fatalf("records of %s are not made here", tls.CipherSuiteName(suite))
	}
	raw.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { raw.Close() })
	r := &records13{suite: suite}
	for sc := bufio.NewScanner(&keys); sc.Scan(); {
		if f := strings.Fields(sc.Text()); f[0] == "CLIENT_TRAFFIC_SECRET_0" {
			s, _ := hex.DecodeString(f[2])
			r.set(s)
		}
	}
	return raw, r
}

const echoRequest = "GET /echo HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

// A peer that asks for new keys again and again, and doesn't read the answers, is
// ended: what is kept for it is bounded.
func TestTLSKeyUpdates(t *testing.T) {
	s, _, addr := startTLS(t, Config{Endpoints: relayEndpoints()})
	raw, r := takeOver(t, addr)
	b := r.record(nil, 23, []byte(echoRequest))
	b = r.record(b, 23, []byte{0x82, 0xfe, 0xff, 0xff, 0, 0, 0, 0}) // a long message
	for range 2 * floodBurst / 16 {
		for range 16 { // as many as crypto/tls takes without data
			b = r.keyUpdate(b)
		}
		b = r.record(b, 23, []byte{0})
	}
	raw.Write(b) // may be cut off
	raw.(*net.TCPConn).CloseWrite()
	waitFor(t, "it to be ended", func() bool { return s.ended(endFlood) == 1 })
}

// What crypto/tls holds when reading is resumed is handled then, not when the peer
// sends again.
func TestTLSResume(t *testing.T) {
	s, _, addr := startTLS(t, Config{Endpoints: relayEndpoints(), Loops: 1})
	raw, r := takeOver(t, addr)
	s.choked.Store(true)
	b := r.record(nil, 23, []byte(echoRequest))
	raw.Write(r.record(b, 23, ws.MustCompileFrame(ws.MaskFrame(ws.NewTextFrame([]byte("hello"))))))
	waitFor(t, "it to be paused", func() bool {
		paused := 0
		s.onShards(func(sh *shard) { paused = len(sh.paused) })
		return paused == 1
	})
	s.choked.Store(false)
	s.relieved()
	waitFor(t, "the message to be handled", func() bool { return s.shards[0].stats.messagesIn[0].Load() == 1 })
}
