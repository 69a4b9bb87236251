package tokens

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// clocked is a clock that tests set. It ticks when they say so.
type clocked struct {
	mu      sync.Mutex
	now     time.Time
	ticks   chan time.Time
	stopped chan struct{} // closed when nobody waits for ticks any more, if it isn't nil
}

func (c *clocked) set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
}

func (c *clocked) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func (c *clocked) clock() clock {
	return clock{
		now: func() time.Time {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.now
		},
		every: func(time.Duration) (<-chan time.Time, func()) {
			return c.ticks, func() {
				if c.stopped != nil {
					close(c.stopped)
				}
			}
		},
	}
}

func mustNew(t testing.TB, cfg Config, c *clocked) *Verifier {
	t.Helper()
	v, err := newVerifier(t.Context(), cfg, c.clock())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// today is when the tokens of the tests are looked at.
var today = time.Unix(1_800_000_000, 0)

// each returns the algorithms in order.
func each() []string { return slices.Sorted(maps.Keys(kinds())) }

// only returns a Config with the key for one algorithm, or with what verifies what it signs.
func only(key any) Config {
	if secret, ok := key.([]byte); ok {
		return Config{HMAC: secret}
	}
	return Config{PublicKeys: [][]byte{inPEM(key)}}
}

// stranger returns a new key of the same kind.
func stranger(t *testing.T, key any) any {
	t.Helper()
	var other any
	var err error
	switch key := key.(type) {
	case []byte:
		return []byte("Secret")
	case *rsa.PrivateKey:
		other, err = rsa.GenerateKey(rand.Reader, 2048)
	case *ecdsa.PrivateKey:
		other, err = ecdsa.GenerateKey(key.Curve, rand.Reader)
	case ed25519.PrivateKey:
		_, other, err = ed25519.GenerateKey(rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	return other
}

// TestAlgorithms: a token of each algorithm is good with its key, and with its key among others; with no other key,
// of whatever kind, and not once it has been changed.
func TestAlgorithms(t *testing.T) {
	all := Config{HMAC: []byte("secret")}
	for _, alg := range each() {
		if key := kinds()[alg]; alg[:2] != "HS" {
			all.PublicKeys = append(all.PublicKeys, inPEM(stranger(t, key), key))
		}
	}
	everything := mustNew(t, all, &clocked{now: today})
	for _, alg := range each() {
		t.Run(alg, func(t *testing.T) {
			key := kinds()[alg]
			token := sign(alg, key, "", jwt.MapClaims{"sub": "anna"})
			for name, v := range map[string]*Verifier{
				"its key": mustNew(t, only(key), &clocked{now: today}), "its key among others": everything,
			} {
				if c, err := v.Connect(token); err != nil || c.User != "anna" {
					t.Errorf("with %s: %+v and %v, want anna", name, c, err)
				}
				header, rest, _ := strings.Cut(token, ".")
				claims, signature, _ := strings.Cut(rest, ".")
				cut := base64.RawURLEncoding.EncodeToString(unbase64(signature)[1:])
				long := base64.RawURLEncoding.EncodeToString(append(unbase64(signature), 0))
				zero := base64.RawURLEncoding.EncodeToString(make([]byte, len(unbase64(signature))))
				flipped := unbase64(signature)
				flipped[len(flipped)/2] ^= 1
				for what, hostile := range map[string]string{
					"other claims":            header + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"otto"}`)) + "." + signature,
					"padding":                 header + "." + claims + "=." + signature,
					"no signature":            header + "." + claims + ".",
					"no signature and no dot": header + "." + claims,
					"a part too many":         token + ".",
					"a signature cut short":   header + "." + claims + "." + cut,
					"a signature too long":    header + "." + claims + "." + long,
					"a signature of zeros":    header + "." + claims + "." + zero,
					"a bit flipped":           header + "." + claims + "." + base64.RawURLEncoding.EncodeToString(flipped),
					"another spelling":        header + "." + claims + "." + respelled(signature),
					"an end of line":          token + "\n",
					"an end of line inside":   header + ".\r\n" + claims + "." + signature,
					"a blank before it":       " " + token,
					"another's signature":     sign(alg, stranger(t, key), "", jwt.MapClaims{"sub": "anna"}),
				} {
					refuses(t, v, name+", "+what, hostile)
				}
			}
			for other, otherKey := range kinds() {
				if compatible(alg, other) {
					continue
				}
				refuses(t, mustNew(t, only(otherKey), &clocked{now: today}), "with the key for "+other, token)
			}
		})
	}
}

// respelled returns other text in Base64 for the same bytes, or for others if there are no bits to spare.
func respelled(text string) string {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := len(text) - 1
	return text[:last] + digits[strings.IndexByte(digits, text[last])^1:][:1]
}

// compatible reports whether a key for an algorithm is one for another, too.
func compatible(a, b string) bool {
	return a == b || a[:2] == b[:2] && (a[:2] == "HS" || a[:2] == "RS")
}

// refuses checks that a token is, and that nothing of it is in the error that could be used.
func refuses(t *testing.T, v *Verifier, what, token string) {
	t.Helper()
	_, connect := v.Connect(token)
	_, subscribe := v.Subscribe(token)
	for _, err := range []error{connect, subscribe} {
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, want %v", what, err, ErrInvalid)
			continue
		}
		if i := strings.LastIndexByte(token, '.'); i >= 0 && len(token)-i > 20 && strings.Contains(err.Error(), token[i+1:i+20]) {
			t.Errorf("%s: the signature is in the error: %v", what, err)
		}
		if len(err.Error()) > 300 {
			t.Errorf("%s: an error of %d bytes", what, len(err.Error()))
		}
	}
}

// TestConfusion: a token can't choose how a key is used.
func TestConfusion(t *testing.T) {
	rsaKey, p384 := kinds()["RS256"], kinds()["ES384"]
	public := Config{PublicKeys: [][]byte{inPEM(rsaKey), inPEM(p384), inPEM(kinds()["EdDSA"])}}
	v := mustNew(t, public, &clocked{now: today})
	claims := jwt.MapClaims{"sub": "anna"}
	for name, secret := range map[string][]byte{
		"PEM":        inPEM(rsaKey),
		"PEM, shut":  []byte(strings.TrimSpace(string(inPEM(rsaKey)))),
		"modulus":    publicOf(rsaKey).(*rsa.PublicKey).N.Bytes(),
		"Ed25519":    publicOf(kinds()["EdDSA"]).(ed25519.PublicKey),
		"nothing":    {},
		"JSON's nil": []byte("null"),
	} {
		for _, alg := range forHMAC {
			refuses(t, v, alg+" with the public key as a secret: "+name, sign(alg, secret, "", claims))
		}
	}
	// golang-jwt verifies ES256 with a key on any curve; RFC 7518 section 3.4 has one curve for each.
	if keys := v.fixed["ES256"]; len(keys) != 0 {
		t.Errorf("a key on P-384 is for ES256: %v", keys)
	}
	for _, pss := range []string{"PS256", "PS384", "PS512"} {
		refuses(t, v, pss, sign(pss, rsaKey, "", claims))
	}
	for _, v := range []*Verifier{v, mustNew(t, Config{HMAC: []byte("secret")}, &clocked{now: today})} {
		refuses(t, v, "none", sign("none", jwt.UnsafeAllowNoneSignatureType, "", claims))
		for _, header := range []string{
			`{"alg":"none"}`, `{"alg":"None"}`, `{"alg":"NONE"}`, `{"alg":""}`, `{"alg":null}`, `{"alg":["HS256"]}`, `{"alg":1}`,
			`{}`, `null`, `[]`, `""`, ``, `{"alg":"hs256"}`, `{"alg":"HS256 "}`, `{"alg":"HS1"}`,
			`{"alg":"HS256","crit":["exp"]}`, `{"alg":"HS256","crit":["b64"],"b64":false}`, `{"alg":"HS256"`,
		} {
			refuses(t, v, header, signJSON(header, `{"sub":"anna"}`))
		}
	}
	secret := mustNew(t, Config{HMAC: []byte("secret")}, &clocked{now: today})
	refuses(t, secret, "its own key in the header", sign("RS256", rsaKey, "", claims))
}

func TestLongTokens(t *testing.T) {
	v := mustNew(t, Config{HMAC: []byte("secret")}, &clocked{now: today})
	token := func(n int) string { return signJSON(`{"alg":"HS256"}`, `{"sub":"`+strings.Repeat("a", n)+`"}`) }
	n := 48 << 10
	for len(token(n)) > maxToken {
		n--
	}
	if c, err := v.Connect(token(n)); err != nil || len(c.User) != n {
		t.Errorf("a token of %d bytes: %v", len(token(n)), err)
	}
	for len(token(n)) <= maxToken {
		n++
	}
	refuses(t, v, "a long one", token(n))
	refuses(t, v, "a very long one", strings.Repeat(".", 1<<20))
}

func TestMistakes(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"nothing", Config{Audience: "us"}, "without a key"},
		{"an empty secret", Config{HMAC: []byte{}}, "the HMAC secret is empty"},
		{"no PEM", Config{PublicKeys: [][]byte{inPEM(kinds()["EdDSA"]), nil}}, "public key 2: no public key in PEM"},
		{"no URL", Config{JWKS: "keys"}, "https://example.com/"},
		{"no URL at all", Config{JWKS: "https://%"}, "https://example.com/"},
		{"no host", Config{JWKS: "https:///keys"}, "https://example.com/"},
		{"a file", Config{JWKS: "file:///keys"}, "https://example.com/"},
		{"another scheme", Config{JWKS: "ftp://a.example/keys"}, "https://example.com/"},
	} {
		v, err := New(context.Background(), tt.cfg)
		if v != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// TestOwnCopy: what becomes of the caller's secret is nothing to the Verifier.
func TestOwnCopy(t *testing.T) {
	secret := []byte("secret")
	v, err := New(t.Context(), Config{HMAC: secret})
	if err != nil {
		t.Fatal(err)
	}
	clear(secret)
	if _, err := v.Connect(sign("HS256", []byte("secret"), "", jwt.MapClaims{})); err != nil {
		t.Error(err)
	}
	if _, err := v.Connect(sign("HS256", secret, "", jwt.MapClaims{})); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
}
