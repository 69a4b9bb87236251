package tokens

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// What a token is refused with. No error has any of the token's signature in it.
var (
	// ErrExpired is for a token that is fine but for the time: its client is to fetch another.
	ErrExpired = errors.New("the token is not of this time")
	// ErrInvalid is for all others, with the reason: there is no use in coming back with it.
	ErrInvalid = errors.New("the token is invalid")
	// ErrUnavailable is for a token whose key may be among those that are about to be read: its client is to come back.
	ErrUnavailable = errors.New("the token's key isn't known yet")
)

// maxToken is the length of the longest token that is looked at, in bytes: verification takes the time of an event loop.
const maxToken = 64 << 10

// Config says which tokens are good: those signed with any of the keys, of which there has to be one.
type Config struct {
	HMAC       []byte       // secret of HS256, HS384 and HS512; nil for none. Whoever knows it can make tokens.
	PublicKeys [][]byte     // PEM, with one or more keys in each: RSA, ECDSA on P-256, P-384 or P-521, Ed25519
	JWKS       string       // URL where more public keys are published, as a JSON Web Key Set (RFC 7517)
	Audience   string       // has to be among those that a token is for; "" for any. Without it a token for another service with the same key is good.
	Issuer     string       // who has to have made a token; "" for anybody
	Logger     *slog.Logger // for published keys that can't be read; default slog.Default()
}

// Verifier verifies tokens. It can be used by any number of goroutines at a time.
type Verifier struct {
	fixed     keyring
	published *publishedKeys // nil if there are none
	parser    *jwt.Parser
	audience  string
	issuer    string
	now       func() time.Time
}

// New returns a Verifier, which reads published keys in the background until ctx ends. It waits for the first of them.
func New(ctx context.Context, cfg Config) (*Verifier, error) {
	return newVerifier(ctx, cfg, clock{time.Now, tick})
}

// clock is the time, and what comes every so often; tests have their own.
type clock struct {
	now   func() time.Time
	every func(time.Duration) (ticks <-chan time.Time, stop func())
}

func tick(d time.Duration) (<-chan time.Time, func()) {
	t := time.NewTicker(d)
	return t.C, t.Stop
}

func newVerifier(ctx context.Context, cfg Config, c clock) (*Verifier, error) {
	if cfg.HMAC == nil && len(cfg.PublicKeys) == 0 && cfg.JWKS == "" {
		return nil, errors.New("tokens can't be verified without a key: an HMAC secret, a public key, or the URL of a JSON Web Key Set")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	v := &Verifier{
		fixed: make(keyring),
		// Canonical Base64 only: a token has one spelling. Claims are looked at later, and against our own clock.
		parser:   jwt.NewParser(jwt.WithValidMethods(algorithms), jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation()),
		audience: cfg.Audience,
		issuer:   cfg.Issuer,
		now:      c.now,
	}
	if cfg.HMAC != nil {
		if len(cfg.HMAC) == 0 {
			return nil, errors.New("the HMAC secret is empty: anybody could make tokens; make one with openssl rand -hex 32")
		}
		v.fixed.addSecret(slices.Clone(cfg.HMAC))
	}
	for i, text := range cfg.PublicKeys {
		keys, err := parsePEM(text)
		if err != nil {
			return nil, fmt.Errorf("public key %d: %w", i+1, err)
		}
		for _, key := range keys {
			v.fixed.add(key.public, key.algorithms)
		}
	}
	if cfg.JWKS != "" {
		p, err := publish(ctx, cfg.JWKS, cfg.Logger, c)
		if err != nil {
			return nil, err
		}
		v.published = p
	}
	return v, nil
}

// Connect verifies the token with which a client connects.
func (v *Verifier) Connect(token string) (Connection, error) {
	var claims connectionClaims
	if err := v.read(token, &claims); err != nil {
		return Connection{}, err
	}
	c, err := claims.connection()
	if err != nil {
		return Connection{}, invalid(err)
	}
	if !claims.timely(v.now()) {
		return Connection{}, ErrExpired
	}
	return c, nil
}

// Subscribe verifies the token with which a client subscribes. Whether the channel, the user and, if the token names
// one, the client are those who bring it is left to the caller.
func (v *Verifier) Subscribe(token string) (Subscription, error) {
	var claims subscriptionClaims
	if err := v.read(token, &claims); err != nil {
		return Subscription{}, err
	}
	s, err := claims.subscription()
	if err != nil {
		return Subscription{}, invalid(err)
	}
	if !claims.timely(v.now()) {
		return Subscription{}, ErrExpired
	}
	return s, nil
}

// read decodes the claims of a token whose signature is good, and which is from whom and for whom it has to be.
func (v *Verifier) read(token string, claims interface{ shared() *sharedClaims }) error {
	text, err := v.payload(token)
	if err != nil {
		return err
	}
	if err := decode(text, claims); err != nil {
		return invalid(err)
	}
	switch c := claims.shared(); {
	case v.audience != "" && !slices.Contains(c.Audience, v.audience):
		return invalid(fmt.Errorf("it is for %.64q", []string(c.Audience)))
	case v.issuer != "" && c.Issuer != v.issuer:
		return invalid(fmt.Errorf("its issuer is %.64q", c.Issuer))
	}
	return nil
}

// payload returns what a token says, if its signature is good.
func (v *Verifier) payload(token string) ([]byte, error) {
	switch {
	case len(token) > maxToken:
		return nil, invalid(fmt.Errorf("it has %d bytes, more than %d", len(token), maxToken))
	case strings.ContainsAny(token, "\r\n"): // which the Base64 decoder would pass over
		return nil, invalid(errors.New("it has more than one line"))
	}
	var p payload
	var missing string
	_, err := v.parser.ParseWithClaims(token, &p, func(t *jwt.Token) (any, error) {
		keys, kid, err := v.keys(t)
		missing = kid
		return jwt.VerificationKeySet{Keys: keys}, err
	})
	switch {
	case err == nil:
		return p.text, nil
	case missing != "":
		return nil, v.published.await(missing)
	}
	return nil, invalid(err)
}

// keys returns those with which a token may be signed, and the name of one that it asks for and that isn't published.
func (v *Verifier) keys(t *jwt.Token) (keys []jwt.VerificationKey, missing string, err error) {
	if _, ok := t.Header["crit"]; ok {
		return nil, "", errors.New("it has extensions that have to be understood") // RFC 7515 section 4.1.11
	}
	alg := t.Method.Alg()
	keys = v.fixed[alg]
	if _, symmetric := t.Method.(*jwt.SigningMethodHMAC); v.published != nil && !symmetric {
		more, kid, err := v.published.find(t.Header, alg)
		if err != nil {
			return nil, "", err
		}
		missing = kid
		keys = slices.Concat(keys, more)
	}
	if len(keys) == 0 {
		err = fmt.Errorf("there is no key for %s", alg)
	}
	return keys, missing, err
}

// payload takes what a token says as it is, to be decoded when the signature has been found good.
type payload struct {
	jwt.Claims // nil: they would be asked for by the validation that the parser is told to leave out
	text       []byte
}

// UnmarshalJSON is called with any JSON but null, of which nothing is left to decode then.
func (p *payload) UnmarshalJSON(text []byte) error {
	p.text = bytes.Clone(text)
	return nil
}

// invalid bounds the reason: parts of it may be the client's.
func invalid(reason error) error { return fmt.Errorf("%w: %.200s", ErrInvalid, reason.Error()) }
