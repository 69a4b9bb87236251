package tokens

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// kinds are a key of each kind for each algorithm. The keys are always the same, for the corpus of the fuzz target.
var kinds = sync.OnceValue(func() map[string]any {
	secret := []byte("secret")
	rsaKey := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: number(rsaN), E: 65537},
		D:         number(rsaD),
		Primes:    []*big.Int{number(rsaP), number(rsaQ)},
	}
	rsaKey.Precompute()
	return map[string]any{
		"HS256": secret, "HS384": secret, "HS512": secret,
		"RS256": rsaKey, "RS384": rsaKey, "RS512": rsaKey,
		"ES256": onCurve(elliptic.P256(), 32), "ES384": onCurve(elliptic.P384(), 48), "ES512": onCurve(elliptic.P521(), 66),
		"EdDSA": ed25519.NewKeyFromSeed(unbase64(ed25519D)),
	}
})

func onCurve(curve elliptic.Curve, size int) *ecdsa.PrivateKey {
	scalar := make([]byte, size)
	scalar[size-1] = 7
	key, err := ecdsa.ParseRawPrivateKey(curve, scalar)
	if err != nil {
		panic(err)
	}
	return key
}

func unbase64(s string) []byte {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

func number(s string) *big.Int { return new(big.Int).SetBytes(unbase64(s)) }

// publicOf returns what verifies what key signs.
func publicOf(key any) any {
	if signer, ok := key.(crypto.Signer); ok {
		return signer.Public()
	}
	return key
}

// inPEM returns public keys in a PEM file.
func inPEM(keys ...any) (text []byte) {
	for _, key := range keys {
		der, err := x509.MarshalPKIXPublicKey(publicOf(key))
		if err != nil {
			panic(err)
		}
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})...)
	}
	return text
}

// sign makes a token. kid may be "".
func sign(alg string, key any, kid string, claims jwt.MapClaims) string {
	token := jwt.NewWithClaims(jwt.GetSigningMethod(alg), claims)
	if kid != "" {
		token.Header["kid"] = kid
	}
	text, err := token.SignedString(key)
	if err != nil {
		panic(err)
	}
	return text
}

// signJSON makes a token of what needn't be the claims of one, with "secret".
func signJSON(header, claims string) string {
	text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	signature, err := jwt.SigningMethodHS256.Sign(text, []byte("secret"))
	if err != nil {
		panic(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func TestPublicKeys(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind, text string) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: []byte(text)})
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(kinds()["EdDSA"])
	if err != nil {
		t.Fatal(err)
	}
	all := inPEM(kinds()["RS256"], kinds()["ES256"], kinds()["ES384"], kinds()["ES512"], kinds()["EdDSA"])
	pkcs1 := pem.EncodeToMemory(&pem.Block{
		Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(publicOf(kinds()["RS256"]).(*rsa.PublicKey)),
	})
	for _, tt := range []struct {
		name string
		text []byte
		want string // "" if it is fine
	}{
		{"one of each kind", all, ""},
		{"PKCS #1", pkcs1, ""},
		{"text around it", slices.Concat([]byte("the key:\n"), inPEM(kinds()["EdDSA"]), []byte("that's it\n")), ""},
		{"beside something else", slices.Concat(block("CERTIFICATE", "x"), inPEM(kinds()["EdDSA"])), ""},
		{"empty", nil, "-----BEGIN PUBLIC KEY-----"},
		{"no PEM", []byte("ssh-ed25519 AAAA"), "-----BEGIN PUBLIC KEY-----"},
		{"a private key", block("PRIVATE KEY", string(pkcs8)), "this is a private key"},
		{"a private key behind a public one", slices.Concat(all, block("EC PRIVATE KEY", "x")), "this is a private key"},
		{"an encrypted private key", block("ENCRYPTED PRIVATE KEY", "x"), "openssl pkey -pubout"},
		{"a certificate", block("CERTIFICATE", "x"), "openssl x509 -pubkey"},
		{"something else", block("X509 CRL", "x"), `but "X509 CRL"`},
		{"garbage", block("PUBLIC KEY", "x"), "a public key that can't be read"},
		{"garbage in PKCS #1", block("RSA PUBLIC KEY", "x"), "a public key that can't be read"},
		{"RSA of 1024 bits", inPEM(small), "an RSA key of 1024 bits; it has to have from 2048 to 8192"},
		{"another curve", inPEM(p224), "an ECDSA key on P-224"},
		{"X25519", func() []byte {
			der, err := base64.StdEncoding.DecodeString("MCowBQYDK2VuAyEAhSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=")
			if err != nil {
				panic(err)
			}
			return block("PUBLIC KEY", string(der))
		}(), "a kind that doesn't sign tokens"},
	} {
		err := CheckPublicKeys(tt.text)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	keys, err := parsePEM(all)
	if err != nil || len(keys) != 5 {
		t.Errorf("%d keys and %v, want 5", len(keys), err)
	}
}
