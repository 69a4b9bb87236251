package tokens

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func TestPublishedAlgorithms(t *testing.T) {
	var keys []string
	for _, alg := range each() {
		if alg[:2] != "HS" {
			keys = append(keys, jwk(kinds()[alg], alg))
		}
	}
	s := newPublished(t, Config{}, keySetOf(append(keys, jwk(seeded(8), ""))...))
	s.connects("a key without a name", "EdDSA", seeded(8), "", nil)
	for _, alg := range each() {
		want := error(nil)
		if alg[:2] == "HS" {
			want = ErrInvalid
		}
		s.connects(alg, alg, kinds()[alg], alg, want)
		s.connects(alg+" without a name", alg, kinds()[alg], "", want)
		for _, other := range each() {
			if other[:2] != "HS" && !compatible(alg, other) {
				s.connects(alg+" with the name of "+other, alg, kinds()[alg], other, ErrInvalid)
			}
		}
	}
	secret := publicOf(kinds()["EdDSA"]).(ed25519.PublicKey)
	s.connects("a public key as a secret", "HS256", []byte(secret), "EdDSA", ErrInvalid)
	s.connects("a stranger's", "EdDSA", seeded(1), "EdDSA", ErrInvalid)
	s.connects("a stranger's without a name", "EdDSA", seeded(1), "", ErrInvalid)
	refuses(t, s.v, "none", sign("none", jwt.UnsafeAllowNoneSignatureType, "nobody", jwt.MapClaims{}))
	refuses(t, s.v, "RSA-PSS", sign("PS256", kinds()["RS256"], "nobody", jwt.MapClaims{}))
	for _, kid := range []any{"", 7, nil, []string{"EdDSA"}, strings.Repeat("a", maxKeyID+1)} {
		token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{})
		token.Header["kid"] = kid
		text, err := token.SignedString(seeded(8))
		if err != nil {
			t.Fatal(err)
		}
		refuses(t, s.v, fmt.Sprintf("the name %.20v", kid), text)
	}
	s.reads(0)
}

// TestKeysThatDontCount: those that are for something else, or can't be read, harm no others.
func TestKeysThatDontCount(t *testing.T) {
	ed, rsaKey := kinds()["EdDSA"], kinds()["RS256"]
	useless := map[string]string{
		"encryption":      jwk(ed, "x", `"use":"enc"`),
		"unknown use":     jwk(ed, "x", `"use":"fun"`),
		"signing only":    jwk(ed, "x", `"key_ops":["sign"]`),
		"another alg":     strings.Replace(jwk(ed, "x"), "EdDSA", "ES256", 1),
		"RSA for PSS":     jwk(rsaKey, "x", `"alg":"PS256"`),
		"a secret":        `{"kty":"oct","kid":"x","alg":"HS256","k":"c2VjcmV0"}`,
		"an unknown type": `{"kty":"AKP","kid":"x","alg":"ML-DSA-44"}`,
		"a small RSA key": `{"kty":"RSA","kid":"x","n":"` + rsaP + `","e":"AQAB"}`,
		"no modulus":      `{"kty":"RSA","kid":"x"}`,
		"off the curve":   `{"kty":"EC","kid":"x","crv":"P-256","x":"AQ","y":"AQ"}`,
		"secp256k1":       `{"kty":"EC","kid":"x","crv":"secp256k1","x":"AQ","y":"AQ"}`,
		"too short":       `{"kty":"OKP","kid":"x","crv":"Ed25519","x":"AQ"}`,
		"X25519":          `{"kty":"OKP","kid":"x","crv":"X25519","x":"` + ed25519X + `"}`,
		"no object":       `7`, "null": `null`, "text": `"key"`, "nothing in it": `{}`,
	}
	for name, key := range useless {
		if set, err := parseKeySet([]byte(keySetOf(key, jwk(seeded(1), "good")))); err != nil || len(set.all["EdDSA"]) != 1 || len(set.all) != 1 || set.named["good"] == nil {
			t.Errorf("%s: %+v and %v, want the other key", name, set, err)
		}
		if set, err := parseKeySet([]byte(keySetOf(key))); err == nil {
			t.Errorf("%s is taken for a key: %+v", name, set)
		}
	}
	for name, key := range map[string]string{
		"signature": jwk(ed, "x", `"use":"sig"`), "verification": jwk(ed, "x", `"key_ops":["verify"]`),
		"a private key": `{"kty":"OKP","kid":"x","crv":"Ed25519","x":"` + ed25519X + `","d":"` + ed25519D + `"}`,
	} {
		if set, err := parseKeySet([]byte(keySetOf(key))); err != nil || len(set.named["x"]["EdDSA"]) != 1 {
			t.Errorf("%s: %+v and %v, want the key", name, set, err)
		}
	}
	set, err := parseKeySet([]byte(keySetOf(jwk(rsaKey, "x", `"alg":"RS384"`), jwk(ed, "x"))))
	if err != nil || len(set.named["x"]) != 2 || len(set.named["x"]["RS384"]) != 1 || len(set.named["x"]["EdDSA"]) != 1 {
		t.Errorf("two by one name: %+v and %v, want RS384 and EdDSA", set, err)
	}
}

func TestRotation(t *testing.T) {
	s := newPublished(t, Config{}, keySetOf(jwk(seeded(1), "old")))
	s.connects("before", "EdDSA", seeded(1), "old", nil)
	s.p.put(keySetOf(jwk(seeded(2), "new"), jwk(seeded(1), "old")))
	s.connects("a new key", "EdDSA", seeded(2), "new", ErrUnavailable)
	s.log.next(t, "DEBUG", "names=2")
	s.reads(1)
	s.connects("a new key, again", "EdDSA", seeded(2), "new", nil)
	s.connects("the old one", "EdDSA", seeded(1), "old", nil)
	s.connects("the old one by the new name", "EdDSA", seeded(1), "new", ErrInvalid)

	s.p.put(keySetOf(jwk(seeded(2), "new")))
	s.clock.ticks <- today
	s.log.next(t, "DEBUG", "names=1")
	s.reads(1)
	s.connects("the new one", "EdDSA", seeded(2), "new", nil)
	s.connects("the old one, withdrawn", "EdDSA", seeded(1), "old", ErrUnavailable)
	s.clock.pass(askEvery)
	s.connects("the old one, withdrawn", "EdDSA", seeded(1), "old", ErrUnavailable)
	s.log.next(t, "DEBUG", "names=1")
	s.connects("the old one, gone", "EdDSA", seeded(1), "old", ErrInvalid)
	s.reads(1)
}

// TestUnknownKeys: the keys are read at most every so often, and a token is only refused for good once they have been
// read after it came.
func TestUnknownKeys(t *testing.T) {
	s := newPublished(t, Config{}, keySetOf(jwk(seeded(1), "a")))
	s.connects("unknown", "EdDSA", seeded(2), "b", ErrUnavailable)
	s.log.next(t, "DEBUG")
	s.connects("still unknown", "EdDSA", seeded(2), "b", ErrInvalid)
	s.connects("another, right after", "EdDSA", seeded(3), "c", ErrUnavailable)
	s.clock.pass(askEvery - 1)
	s.connects("another, soon after", "EdDSA", seeded(3), "c", ErrUnavailable)
	s.reads(1)
	s.clock.pass(1)
	s.p.put(keySetOf(jwk(seeded(1), "a"), jwk(seeded(3), "c")))
	s.connects("another, in time", "EdDSA", seeded(3), "c", ErrUnavailable)
	s.log.next(t, "DEBUG")
	s.connects("another, come", "EdDSA", seeded(3), "c", nil)
	s.connects("the first", "EdDSA", seeded(2), "b", ErrInvalid)
	s.reads(1)

	// A name that was unknown may be a key's later.
	s.p.put(keySetOf(jwk(seeded(1), "a"), jwk(seeded(2), "b")))
	s.clock.ticks <- today
	s.log.next(t, "DEBUG")
	s.connects("the first, come", "EdDSA", seeded(2), "b", nil)

	// No token of an algorithm that isn't published for has the keys read, nor has one that needs none.
	s.reads(1)
	s.clock.pass(askEvery)
	s.connects("HMAC", "HS256", []byte("secret"), "unknown", ErrInvalid)
	s.connects("nameless", "EdDSA", seeded(4), "", ErrInvalid)
	s.reads(0)
}

// TestReadingUnderWay: a reading that began before a key was asked for tells nothing of that key.
func TestReadingUnderWay(t *testing.T) {
	s := newPublished(t, Config{}, keySetOf(jwk(seeded(1), "a")))
	under, on := make(chan struct{}), make(chan struct{})
	s.p.answers(func(w http.ResponseWriter, _ *http.Request) {
		close(under)
		<-on
		fmt.Fprint(w, keySetOf(jwk(seeded(1), "a")))
	})
	s.clock.ticks <- today
	<-under
	s.connects("while the keys are read", "EdDSA", seeded(2), "b", ErrUnavailable)
	s.connects("again", "EdDSA", seeded(2), "b", ErrUnavailable)
	s.connects("a known one", "EdDSA", seeded(1), "a", nil)
	s.p.put(keySetOf(jwk(seeded(2), "b")))
	close(on)
	s.log.next(t, "DEBUG")
	s.log.next(t, "DEBUG") // the reading that b was waiting for, right after
	s.connects("after", "EdDSA", seeded(2), "b", nil)
	s.reads(2)
}

// TestOutage: the keys from before stay, and no key is said not to exist.
func TestOutage(t *testing.T) {
	s := newPublished(t, Config{}, keySetOf(jwk(seeded(1), "a")))
	for what, answer := range map[string]http.HandlerFunc{
		"answers 503":           func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		"EOF":                   func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"no JSON Web Key Set":   func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
		"unexpected end":        func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"keys":[`) },
		"no key for tokens":     func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{}`) },
		"among those published": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"keys":[]}`) },
		"more than 1048576 bytes": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, keySetOf(jwk(seeded(2), "b"))+strings.Repeat(" ", maxKeySet))
		},
		"redirects without end": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) },
	} {
		s.p.answers(answer)
		s.clock.pass(askEvery)
		s.connects(what+": an unknown key", "EdDSA", seeded(2), "b", ErrUnavailable)
		s.log.next(t, "ERROR", "those from before stay", what, s.p.URL)
		s.connects(what+": an unknown key, again", "EdDSA", seeded(2), "b", ErrUnavailable)
		s.connects(what+": a known one", "EdDSA", seeded(1), "a", nil)
		s.clock.ticks <- today
		s.log.next(t, "ERROR", what)
	}
	s.p.put(keySetOf(jwk(seeded(2), "b")))
	s.clock.pass(askEvery)
	s.connects("over", "EdDSA", seeded(2), "b", ErrUnavailable)
	s.log.next(t, "DEBUG")
	s.connects("over, again", "EdDSA", seeded(2), "b", nil)
}

// TestNamesAreBounded: strangers can't have unknown names kept without end, nor keep others' keys from being read.
func TestNamesAreBounded(t *testing.T) {
	s := newPublished(t, Config{}, keySetOf(jwk(seeded(1), "a")))
	s.connects("the first", "EdDSA", seeded(9), "first", ErrUnavailable)
	s.log.next(t, "DEBUG")
	for i := range maxAwaited + 100 {
		if err := s.v.published.await(fmt.Sprint(i)); !errors.Is(err, ErrUnavailable) {
			t.Fatal(err)
		}
	}
	if n := len(s.v.published.awaited); n != maxAwaited {
		t.Errorf("%d names are kept, want %d", n, maxAwaited)
	}
	s.p.put(keySetOf(jwk(seeded(2), "b")))
	s.clock.pass(askEvery)
	s.connects("one too many", "EdDSA", seeded(2), "b", ErrUnavailable)
	s.log.next(t, "DEBUG")
	s.connects("one too many, again", "EdDSA", seeded(2), "b", nil)
	s.connects("the first, again", "EdDSA", seeded(9), "first", ErrInvalid)
	s.connects("another too many", "EdDSA", seeded(9), "nowhere", ErrUnavailable)
	s.clock.ticks <- today
	s.log.next(t, "DEBUG")
	if n := len(s.v.published.awaited); n != 0 {
		t.Errorf("%d names are kept after a while, want none", n)
	}
}

// TestJustCome: a key that comes between the look at the keys and the question whether there is one isn't denied.
func TestJustCome(t *testing.T) {
	s := newPublished(t, Config{}, keySetOf(jwk(seeded(1), "a")))
	s.v.published.awaited["a"] = 0
	if err := s.v.published.await("a"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("%v, want %v", err, ErrUnavailable)
	}
}

// TestFilesAndPublished: both kinds of keys, and a secret, side by side.
func TestFilesAndPublished(t *testing.T) {
	s := newPublished(t, Config{HMAC: []byte("secret"), PublicKeys: [][]byte{inPEM(seeded(1))}}, keySetOf(jwk(seeded(2), "b")))
	s.connects("the secret's", "HS256", []byte("secret"), "", nil)
	s.connects("the secret's, with a name", "HS256", []byte("secret"), "x", nil)
	s.connects("the file's", "EdDSA", seeded(1), "", nil)
	s.connects("the file's, with a name", "EdDSA", seeded(1), "x", nil)
	s.connects("the published one's", "EdDSA", seeded(2), "b", nil)
	s.connects("the published one's, without a name", "EdDSA", seeded(2), "", nil)
	s.connects("nobody's", "EdDSA", seeded(3), "", ErrInvalid)
	s.reads(0)
	s.connects("nobody's, with a name", "EdDSA", seeded(3), "x", ErrUnavailable)
	s.log.next(t, "DEBUG")
	s.connects("nobody's, with a name, again", "EdDSA", seeded(3), "x", ErrInvalid)
	s.connects("the file's, with that name", "EdDSA", seeded(1), "x", nil)
}

func TestPublishedMistakes(t *testing.T) {
	encrypted := httptest.NewUnstartedServer(http.NotFoundHandler())
	encrypted.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	encrypted.StartTLS()
	defer encrypted.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	p := newPublisher(t, "{}")
	for _, tt := range []struct{ name, url, want string }{
		{"nobody there", gone.URL, "connection refused"},
		{"a certificate nobody knows", encrypted.URL, "certificate"},
		{"no keys", p.URL, "no key for tokens"},
		{"secrets", strings.Replace(gone.URL, "http://", "http://me:hush@", 1) + "/keys?key=hush#hush", gone.URL + "/keys: "},
	} {
		v, err := New(t.Context(), Config{JWKS: tt.url})
		if v != nil || err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	from, to := httptest.NewRequest(http.MethodGet, "https://a.example/", nil), httptest.NewRequest(http.MethodGet, "http://a.example/", nil)
	if stayEncrypted(to, []*http.Request{from}) == nil || stayEncrypted(from, []*http.Request{to}) != nil {
		t.Error("redirects go from https to http, or not the other way")
	}
}

// TestRealClock: New's Verifier ends with its context, which TestMain sees.
func TestRealClock(t *testing.T) {
	p := newPublisher(t, keySetOf(jwk(seeded(1), "a")))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	v, err := New(ctx, Config{JWKS: p.URL})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Connect(sign("EdDSA", seeded(1), "a", jwt.MapClaims{"exp": time.Now().Add(time.Hour).Unix()})); err != nil {
		t.Error(err)
	}
	if _, err := v.Connect(sign("EdDSA", seeded(1), "a", jwt.MapClaims{"exp": 1})); !errors.Is(err, ErrExpired) {
		t.Errorf("%v, want %v", err, ErrExpired)
	}
	cancel()
	canceled, err := New(ctx, Config{JWKS: p.URL})
	if canceled != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want %v", err, context.Canceled)
	}
}

// TestEndWhileReading: the end is no outage.
func TestEndWhileReading(t *testing.T) {
	p := newPublisher(t, keySetOf(jwk(seeded(1), "a")))
	c, log := &clocked{ticks: make(chan time.Time), stopped: make(chan struct{})}, make(readings, 10)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if _, err := newVerifier(ctx, Config{JWKS: p.URL, Logger: slog.New(log)}, c.clock()); err != nil {
		t.Fatal(err)
	}
	p.answers(func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	c.ticks <- today
	select {
	case <-c.stopped:
	case <-time.After(patience):
		t.Fatalf("not ended within %v", patience)
	}
	if len(log) > 0 {
		t.Errorf("%q is logged", <-log)
	}
}

// Loops verify while the keys change.
func TestManyLoops(t *testing.T) {
	s := newPublished(t, Config{}, keySetOf(jwk(seeded(1), "a")))
	good, unknown := sign("EdDSA", seeded(1), "a", jwt.MapClaims{}), sign("EdDSA", seeded(2), "b", jwt.MapClaims{})
	var loops sync.WaitGroup
	for range 4 {
		loops.Go(func() {
			for range 200 {
				if _, err := s.v.Connect(good); err != nil {
					t.Error(err)
				}
				if _, err := s.v.Connect(unknown); err == nil {
					t.Error("an unknown key's token is good")
				}
				s.clock.pass(time.Second)
			}
		})
	}
	for range 10 {
		s.clock.ticks <- today
	}
	loops.Wait()
}
