package tokens

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

// publisher is a server with a JSON Web Key Set.
type publisher struct {
	*httptest.Server
	mu     sync.Mutex
	answer http.HandlerFunc
	asked  chan struct{} // one for each time
}

func newPublisher(t *testing.T, keys string) *publisher {
	p := &publisher{asked: make(chan struct{}, 1000)}
	p.put(keys)
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		answer := p.answer
		p.mu.Unlock()
		p.asked <- struct{}{}
		answer(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *publisher) put(keys string) {
	p.answers(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, keys) })
}

func (p *publisher) answers(f http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = f
}

// jwk returns a public key as JSON, with further members.
func jwk(key any, kid string, more ...string) string {
	k, err := jwkset.NewJWKFromKey(publicOf(key), jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: kid}})
	if err != nil {
		panic(err)
	}
	text, err := json.Marshal(k.Marshal())
	if err != nil {
		panic(err)
	}
	if len(more) == 0 {
		return string(text)
	}
	return "{" + strings.Join(more, ",") + "," + string(text[1:])
}

func keySetOf(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }

// readings tells a test of each reading of the keys, by what is logged about it.
type readings chan string

func (r readings) Enabled(context.Context, slog.Level) bool { return true }
func (r readings) WithAttrs([]slog.Attr) slog.Handler       { return r }
func (r readings) WithGroup(string) slog.Handler            { return r }
func (r readings) Handle(_ context.Context, record slog.Record) error {
	text := record.Level.String() + ": " + record.Message
	record.Attrs(func(a slog.Attr) bool {
		text += " " + a.String()
		return true
	})
	r <- text
	return nil
}

// next waits until the keys have been read once more, and checks what came of it.
func (r readings) next(t *testing.T, want ...string) {
	t.Helper()
	select {
	case got := <-r:
		for _, part := range want {
			if !strings.Contains(got, part) {
				t.Errorf("%q is logged, want %q in it", got, part)
			}
		}
	case <-time.After(patience):
		t.Fatalf("the keys are not read within %v", patience)
	}
}

// published is what the tests of published keys begin with.
type published struct {
	t     *testing.T
	p     *publisher
	v     *Verifier
	clock *clocked
	log   readings
}

func newPublished(t *testing.T, cfg Config, keys string) *published {
	t.Helper()
	s := &published{t, newPublisher(t, keys), nil, &clocked{now: today, ticks: make(chan time.Time)}, make(readings, 1000)}
	cfg.JWKS, cfg.Logger = s.p.URL, slog.New(s.log)
	s.v = mustNew(t, cfg, s.clock)
	s.reads(1)
	return s
}

// reads checks that the keys have been asked for so many times since the last check.
func (s *published) reads(want int) {
	s.t.Helper()
	got := 0
	for len(s.p.asked) > 0 {
		<-s.p.asked
		got++
	}
	if got != want {
		s.t.Errorf("the keys were read %d times, want %d", got, want)
	}
}

// connects checks what becomes of a token signed with a key of that name.
func (s *published) connects(what, alg string, key any, kid string, want error) {
	s.t.Helper()
	_, err := s.v.Connect(sign(alg, key, kid, jwt.MapClaims{"sub": "anna"}))
	if !errors.Is(err, want) {
		s.t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func seeded(seed byte) ed25519.PrivateKey {
	text := make([]byte, ed25519.SeedSize)
	text[0] = seed
	return ed25519.NewKeyFromSeed(text)
}
