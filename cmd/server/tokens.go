package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"hubbub/internal/tokens"
)

// tokens reports whether there is a key to verify tokens with.
func (o *options) tokens() bool {
	return o.tokenHMACSecret != "" || len(o.tokenPublicKey) > 0 || o.tokenJWKS != ""
}

// newVerifier returns what verifies clients' tokens, nil if there is no key for that. Published keys are read again and
// again until ctx ends.
func newVerifier(ctx context.Context, o *options, log *slog.Logger) (*tokens.Verifier, error) {
	if !o.tokens() {
		return nil, nil
	}
	cfg := tokens.Config{JWKS: o.tokenJWKS, Audience: o.tokenAudience, Issuer: o.tokenIssuer, Logger: log}
	if o.tokenHMACSecret != "" {
		cfg.HMAC = []byte(o.tokenHMACSecret)
	}
	for _, file := range o.tokenPublicKey {
		text, err := os.ReadFile(file)
		if err == nil {
			err = tokens.CheckPublicKeys(text)
		}
		if err != nil {
			return nil, usageError{fmt.Errorf("-token-public-key %s: %s", file, oneLine(err))}
		}
		cfg.PublicKeys = append(cfg.PublicKeys, text)
	}
	v, err := tokens.New(ctx, cfg)
	if err != nil { // of the published keys: the others are fine
		return nil, usageError{errors.New("-token-jwks: " + oneLine(err))}
	}
	return v, nil
}

// checkVerifier returns why newVerifier would fail.
func checkVerifier(o *options, log *slog.Logger) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	_, err := newVerifier(ctx, o, log)
	return err
}
