package main

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"hubbub/internal/tokens"
)

// tokenKey is a key for tokens, and its public half in a file.
func tokenKey(t *testing.T, seed byte) (key ed25519.PrivateKey, file string) {
	t.Helper()
	key = ed25519.NewKeyFromSeed(slices.Repeat([]byte{seed}, ed25519.SeedSize))
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "public.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return key, file
}

// TestTokenFlags: each key that is configured is one that tokens may be signed with, for whom and from whom it says.
func TestTokenFlags(t *testing.T) {
	if v, err := newVerifier(t.Context(), mustParse(t), slog.New(slog.DiscardHandler)); v != nil || err != nil {
		t.Errorf("without keys: %v and %v, want neither", v, err)
	}
	first, firstFile := tokenKey(t, 1)
	second, secondFile := tokenKey(t, 2)
	if v, err := newVerifier(t.Context(), mustParse(t, "-token-public-key", firstFile), slog.New(slog.DiscardHandler)); v == nil || err != nil {
		t.Errorf("with a file alone: %v and %v", v, err)
	}
	published, _ := tokenKey(t, 3)
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		x := base64.RawURLEncoding.EncodeToString(published.Public().(ed25519.PublicKey))
		fmt.Fprintf(w, `{"keys":[{"kty":"OKP","crv":"Ed25519","x":%q}]}`, x)
	}))
	defer keys.Close()
	t.Setenv("HUBBUB_TOKEN_HMAC_SECRET", "hush")
	all := []string{"-token-public-key", firstFile + "," + secondFile, "-token-jwks", keys.URL}
	v, err := newVerifier(t.Context(), mustParse(t, all...), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	picky, err := newVerifier(t.Context(), mustParse(t, append(all, "-token-audience", "us", "-token-issuer", "them")...), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	sign := func(method jwt.SigningMethod, key any, claims jwt.MapClaims) string {
		token, err := jwt.NewWithClaims(method, claims).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	for name, key := range map[string]any{"the secret": []byte("hush"), "the first file": first, "the second": second, "the URL": published} {
		method := jwt.SigningMethod(jwt.SigningMethodEdDSA)
		if name == "the secret" {
			method = jwt.SigningMethodHS256
		}
		plain, full := sign(method, key, jwt.MapClaims{}), sign(method, key, jwt.MapClaims{"aud": "us", "iss": "them"})
		if _, err := v.Connect(plain); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := picky.Connect(full); err != nil {
			t.Errorf("%s, for us from them: %v", name, err)
		}
		for _, claims := range []jwt.MapClaims{{}, {"aud": "us"}, {"iss": "them"}} {
			if _, err := picky.Connect(sign(method, key, claims)); !errors.Is(err, tokens.ErrInvalid) {
				t.Errorf("%s, with %v: %v, want %v", name, claims, err, tokens.ErrInvalid)
			}
		}
	}
	if _, err := v.Connect(sign(jwt.SigningMethodHS256, []byte("other"), jwt.MapClaims{})); !errors.Is(err, tokens.ErrInvalid) {
		t.Errorf("another secret: %v, want %v", err, tokens.ErrInvalid)
	}
}

func TestTokenMistakes(t *testing.T) {
	_, file := tokenKey(t, 1)
	files := newPKI(t, 1)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	missing := filepath.Join(t.TempDir(), "missing.pem")
	for _, tt := range []struct {
		args []string
		want []string
	}{
		{[]string{"-token-public-key", file + "," + missing}, []string{"-token-public-key " + missing, "no such file"}},
		{[]string{"-token-public-key", files.key}, []string{"-token-public-key " + files.key, "private key"}},
		{[]string{"-token-public-key", files.cert}, []string{"-token-public-key " + files.cert, "openssl x509 -pubkey"}},
		{[]string{"-token-jwks", "keys.json"}, []string{"-token-jwks", "https://example.com"}},
		{[]string{"-token-jwks", gone.URL}, []string{"-token-jwks", gone.URL, "refused"}},
	} {
		v, err := newVerifier(t.Context(), mustParse(t, append(tt.args, "-token-hmac-secret", "hush")...), slog.New(slog.DiscardHandler))
		var usage usageError
		if v != nil || !errors.As(err, &usage) {
			t.Errorf("%q: %v, want a usage error", tt.args, err)
			continue
		}
		for _, part := range tt.want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q: %q, want something with %q", tt.args, err, part)
			}
		}
		if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "hush") {
			t.Errorf("%q: %q, want one line without the secret", tt.args, err)
		}
	}
}
