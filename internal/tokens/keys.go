package tokens

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// keyring has the keys by algorithm (RFC 7518 section 3.1). A key is under those that it is made for only, so that a
// token can't have it used in another way: a public key as a secret, say, or with another curve's hash.
type keyring map[string][]jwt.VerificationKey

func (r keyring) add(key jwt.VerificationKey, algorithms []string) {
	for _, alg := range algorithms {
		r[alg] = append(r[alg], key)
	}
}

func (r keyring) addSecret(secret []byte) { r.add(secret, forHMAC) }

// What the kinds of keys are made for.
var (
	forHMAC    = []string{"HS256", "HS384", "HS512"}
	forRSA     = []string{"RS256", "RS384", "RS512"}
	forP256    = []string{"ES256"}
	forP384    = []string{"ES384"}
	forP521    = []string{"ES512"}
	forEd25519 = []string{"EdDSA"}

	// algorithms are all of them. Tokens with others, or with none, are refused whatever the keys.
	algorithms = slices.Concat(forHMAC, forRSA, forP256, forP384, forP521, forEd25519)
)

// The sizes of RSA keys: the least that RFC 7518 section 3.3 allows, and the most that an event loop has time for.
const (
	minRSA = 2048
	maxRSA = 8192
)

// algorithmsOf returns what a public key is made for.
func algorithmsOf(key any) ([]string, error) {
	switch key := key.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < minRSA || bits > maxRSA {
			return nil, fmt.Errorf("an RSA key of %d bits; it has to have from %d to %d", bits, minRSA, maxRSA)
		}
		return forRSA, nil
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256():
			return forP256, nil
		case elliptic.P384():
			return forP384, nil
		case elliptic.P521():
			return forP521, nil
		}
		return nil, fmt.Errorf("an ECDSA key on %s; it has to be on P-256, P-384 or P-521", key.Params().Name)
	case ed25519.PublicKey:
		return forEd25519, nil
	}
	return nil, fmt.Errorf("a key of a kind that doesn't sign tokens (%T); it has to be RSA, ECDSA or Ed25519", key)
}

// publicKey is one with what it is made for.
type publicKey struct {
	public     jwt.VerificationKey
	algorithms []string
}

// CheckPublicKeys returns what is wrong with an element of Config.PublicKeys.
func CheckPublicKeys(text []byte) error {
	_, err := parsePEM(text)
	return err
}

// parsePEM returns the public keys of a PEM file.
func parsePEM(text []byte) (keys []publicKey, err error) {
	other := "none: it has to begin with -----BEGIN PUBLIC KEY-----"
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		var key any
		switch {
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			return nil, errors.New("this is a private key, which belongs where tokens are made: openssl pkey -pubout makes the public one of it")
		case block.Type == "PUBLIC KEY":
			key, err = x509.ParsePKIXPublicKey(block.Bytes)
		case block.Type == "RSA PUBLIC KEY":
			key, err = x509.ParsePKCS1PublicKey(block.Bytes)
		case block.Type == "CERTIFICATE":
			other = "a certificate: openssl x509 -pubkey -noout takes the key out"
			continue
		default:
			other = fmt.Sprintf("%.64q", block.Type)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("a public key that can't be read: %w", err)
		}
		algorithms, err := algorithmsOf(key)
		if err != nil {
			return nil, err
		}
		keys = append(keys, publicKey{key, algorithms})
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("no public key in PEM, but %s", other)
	}
	return keys, nil
}
