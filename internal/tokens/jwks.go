package tokens

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

const (
	readEvery   = 10 * time.Minute // the published keys are read again
	askEvery    = 10 * time.Second // at most, for tokens whose keys aren't among them
	readTimeout = 10 * time.Second // for one reading
	maxKeySet   = 1 << 20          // bytes of a JSON Web Key Set
	maxAwaited  = 1000             // unknown keys that are kept in mind
	maxKeyID    = 256              // bytes of a key's name
)

// publishedKeys are those of a JSON Web Key Set at a URL. A goroutine reads them; everybody else looks at what it has
// read last.
type publishedKeys struct {
	url    string
	name   string // the URL without what may be a secret
	client *http.Client
	log    *slog.Logger
	now    func() time.Time
	wake   chan struct{} // has the goroutine read
	set    atomic.Pointer[keySet]

	mu          sync.Mutex
	begun, done uint64            // readings: the number of the last, and of the last that succeeded
	awaited     map[string]uint64 // names of unknown keys, with the first reading that can tell whether there are such keys
	asked       time.Time         // when the goroutine was last woken
}

// keySet is a JSON Web Key Set, not changed once it is there.
type keySet struct {
	named map[string]keyring
	all   keyring
}

// publish reads the keys at a URL, and then again and again until ctx ends.
func publish(ctx context.Context, address string, log *slog.Logger, c clock) (*publishedKeys, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return nil, errors.New("the URL of the JSON Web Key Set has to be like https://example.com/.well-known/jwks.json")
	}
	p := &publishedKeys{
		url: address, name: u.Scheme + "://" + u.Host + u.Path, client: &http.Client{CheckRedirect: stayEncrypted}, log: log, now: c.now,
		wake: make(chan struct{}, 1), awaited: make(map[string]uint64),
	}
	if err := p.read(ctx); err != nil {
		return nil, err
	}
	ticks, stop := c.every(readEvery)
	go func() {
		defer stop()
		p.run(ctx, ticks)
	}()
	return p, nil
}

// stayEncrypted follows redirects, but to nowhere where anybody could put keys in between.
func stayEncrypted(next *http.Request, via []*http.Request) error {
	if via[0].URL.Scheme == "https" && next.URL.Scheme != "https" {
		return errors.New("it redirects to what isn't https")
	}
	if len(via) >= 10 {
		return errors.New("it redirects without end")
	}
	return nil
}

func (p *publishedKeys) run(ctx context.Context, ticks <-chan time.Time) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		case <-ticks:
			p.mu.Lock()
			clear(p.awaited) // keys may have come up by these names
			p.mu.Unlock()
		}
		switch err := p.read(ctx); {
		case ctx.Err() != nil:
			return
		case err != nil:
			p.log.Error("the keys of tokens could not be read; those from before stay", "error", err)
		default:
			p.log.Debug("the keys of tokens were read", "names", len(p.set.Load().named))
		}
	}
}

// find returns the keys that a token with this header may be signed with, and the name of the one that it asks for if
// that is unknown. One that asks for none may be signed with any.
func (p *publishedKeys) find(header map[string]any, alg string) (keys []jwt.VerificationKey, missing string, err error) {
	set := p.set.Load()
	id, ok := header["kid"]
	if !ok {
		return set.all[alg], "", nil
	}
	name, ok := id.(string)
	if !ok || name == "" || len(name) > maxKeyID {
		return nil, "", fmt.Errorf("its kid is no string of 1 to %d bytes", maxKeyID)
	}
	if ring, ok := set.named[name]; ok {
		return ring[alg], "", nil
	}
	return nil, name, nil
}

// await returns the error for a token that asks for an unknown key: ErrUnavailable as long as a reading may bring it,
// which await has begun if the last isn't just over, and ErrInvalid once one that began after the key was first asked
// for hasn't.
func (p *publishedKeys) await(name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.set.Load().named[name]; ok {
		return ErrUnavailable // it has come since the token was looked at
	}
	switch reading, ok := p.awaited[name]; {
	case ok && reading <= p.done:
		return invalid(fmt.Errorf("there is no key %.64q at %s", name, p.name))
	case !ok && len(p.awaited) < maxAwaited: // where there are more, there are no verdicts
		p.awaited[name] = p.begun + 1
	}
	if now := p.now(); now.Sub(p.asked) >= askEvery {
		p.asked = now
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
	return ErrUnavailable
}

// read reads the keys. Those from before stay if it can't.
func (p *publishedKeys) read(ctx context.Context) error {
	p.mu.Lock()
	p.begun++
	reading := p.begun
	p.mu.Unlock()
	text, err := p.fetch(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	set, err := parseKeySet(text)
	if err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	p.set.Store(set) // before it is done: await looks in this order
	p.mu.Lock()
	p.done = reading
	p.mu.Unlock()
	return nil
}

func (p *publishedKeys) fetch(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		return nil, err
	}
	req.Close = true // the next is minutes away
	resp, err := p.client.Do(req)
	if err != nil {
		if e := (*url.Error)(nil); errors.As(err, &e) {
			err = e.Err // without the URL
		}
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answers %s", resp.Status)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxKeySet+1))
	if err == nil && len(text) > maxKeySet {
		err = fmt.Errorf("it has more than %d bytes", maxKeySet)
	}
	return text, err
}

// parseKeySet reads a JSON Web Key Set, without the keys that aren't for tokens or can't be read, as RFC 7517 section 5
// has it. A set that has no others is an error: whoever withdraws all keys makes no tokens.
func parseKeySet(text []byte) (*keySet, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, fmt.Errorf("no JSON Web Key Set: %w", err)
	}
	s := &keySet{make(map[string]keyring), make(keyring)}
	for _, text := range set.Keys {
		key, err := jwkset.NewJWKFromRawJSON(text, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
		if err != nil {
			continue
		}
		algorithms, err := algorithmsOf(key.Key())
		if err != nil {
			continue
		}
		about := key.Marshal()
		if about.USE != "" && about.USE != jwkset.UseSig ||
			len(about.KEYOPS) > 0 && !slices.Contains(about.KEYOPS, jwkset.KeyOpsVerify) {
			continue
		}
		if only := about.ALG.String(); only != "" {
			if !slices.Contains(algorithms, only) {
				continue
			}
			algorithms = []string{only}
		}
		s.all.add(key.Key(), algorithms)
		if s.named[about.KID] == nil {
			s.named[about.KID] = make(keyring)
		}
		s.named[about.KID].add(key.Key(), algorithms)
	}
	if len(s.all) == 0 {
		return nil, errors.New("no key for tokens among those published")
	}
	return s, nil
}
