package tokens

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
)

// signed reports whether a token's signature is good, by what its own header says and with nothing but the standard
// library: an oracle for the Verifier.
func signed(token string) bool {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return false
	}
	strict := base64.RawURLEncoding.Strict()
	head, err := strict.DecodeString(parts[0])
	if err != nil {
		return false
	}
	signature, err := strict.DecodeString(parts[2])
	if err != nil {
		return false
	}
	var header struct {
		Alg string `json:"alg"`
	}
	if err := json.Unmarshal(head, &header); err != nil {
		return false
	}
	text := []byte(parts[0] + "." + parts[1])
	hash := map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[strings.TrimLeft(header.Alg, "HRES")]
	sum := func() []byte {
		h := hash.New()
		h.Write(text)
		return h.Sum(nil)
	}
	switch key := publicOf(kinds()[header.Alg]).(type) {
	case []byte:
		h := hmac.New(hash.New, key)
		h.Write(text)
		return hmac.Equal(h.Sum(nil), signature)
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(key, hash, sum(), signature) == nil
	case *ecdsa.PublicKey:
		n := (key.Params().BitSize + 7) / 8
		return len(signature) == 2*n && ecdsa.Verify(key, sum(), new(big.Int).SetBytes(signature[:n]), new(big.Int).SetBytes(signature[n:]))
	case ed25519.PublicKey:
		return ed25519.Verify(key, text, signature)
	}
	return false
}

// FuzzTokens: no token that isn't signed is good, and whatever is signed is either good or refused. Where the input is
// asked to be signed it is the claims.
func FuzzTokens(f *testing.F) {
	for _, alg := range each() {
		token := sign(alg, kinds()[alg], "", jwt.MapClaims{"sub": "anna", "channel": "a"})
		f.Add(token, false)
		f.Add(strings.Replace(token, ".", ".e30.", 1), false)
	}
	f.Add("..", false)
	f.Add("eyJhbGciOiJub25lIn0.e30.", false)
	for _, claims := range []string{
		`{}`, `null`, `{"sub":"anna","exp":1900000000,"nbf":0,"aud":["us"],"iss":"them"}`,
		`{"channels":["a","b"],"info":{"a":[1]},"expire_at":0}`, `{"subs":{"a":{"b64info":"AP8K"},"b":{"info":"x"}}}`,
		`{"channel":"a","client":"c","b64info":"AP8K","exp":"1"}`,
	} {
		f.Add(claims, true)
	}
	cfg := Config{HMAC: []byte("secret")}
	for _, alg := range each() {
		if alg[:2] != "HS" {
			cfg.PublicKeys = append(cfg.PublicKeys, inPEM(kinds()[alg]))
		}
	}
	v := mustNew(f, cfg, &clocked{now: today})
	f.Fuzz(func(t *testing.T, token string, claims bool) {
		if claims {
			token = signJSON(hs256, token)
		}
		c, connect := v.Connect(token)
		s, subscribe := v.Subscribe(token)
		for _, err := range []error{connect, subscribe} {
			switch {
			case err == nil || errors.Is(err, ErrExpired):
				if !signed(token) {
					t.Errorf("%q isn't signed: %v", token, err)
				}
			case !errors.Is(err, ErrInvalid):
				t.Errorf("%q: %v, want %v", token, err, ErrInvalid)
			case len(err.Error()) > 300:
				t.Errorf("%q: an error of %d bytes", token, len(err.Error()))
			}
		}
		if connect == nil && subscribe == nil {
			t.Errorf("%q connects and subscribes", token)
		}
		if subscribe == nil && s.Channel == "" {
			t.Errorf("%q subscribes to nothing", token)
		}
		if connect != nil && (c.User != "" || c.Info != nil || c.Channels != nil || c.Subs != nil) || subscribe != nil && s.Channel != "" {
			t.Errorf("%q is refused but not without a trace: %+v, %+v", token, c, s)
		}
		if !utf8.ValidString(c.User) || !utf8.ValidString(s.User) || !utf8.ValidString(s.Channel) {
			t.Errorf("%q has names that aren't UTF-8", token)
		}
	})
}

// FuzzKeySet: whatever is published, what comes of it are keys that can be used, or an error.
func FuzzKeySet(f *testing.F) {
	var keys []string
	for _, alg := range each() {
		if alg[:2] != "HS" {
			keys = append(keys, jwk(kinds()[alg], alg))
			f.Add([]byte(keySetOf(keys[len(keys)-1])))
		}
	}
	f.Add([]byte(keySetOf(keys...)))
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"c2VjcmV0","alg":"HS256"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		set, err := parseKeySet(text)
		if err != nil {
			return
		}
		for alg, keys := range set.all {
			for _, key := range keys {
				if err := jwt.GetSigningMethod(alg).Verify("text", make([]byte, 64), key); err == nil || errors.Is(err, jwt.ErrInvalidKeyType) || alg[:2] == "HS" {
					t.Errorf("%T for %s: %v", key, alg, err)
				}
			}
		}
	})
}
