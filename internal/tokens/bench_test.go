package tokens

import (
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// BenchmarkConnect verifies an ordinary token of each algorithm: it is what an event loop does for each client that
// connects.
func BenchmarkConnect(b *testing.B) {
	for _, alg := range each() {
		b.Run(alg, func(b *testing.B) {
			v := mustNew(b, only(kinds()[alg]), &clocked{now: today})
			token := sign(alg, kinds()[alg], "", jwt.MapClaims{"sub": "anna", "exp": 1900000000, "info": map[string]string{"name": "Anna"}})
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Connect(token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkHostile refuses the longest tokens that are looked at.
func BenchmarkHostile(b *testing.B) {
	v := mustNew(b, Config{HMAC: []byte("secret"), PublicKeys: [][]byte{inPEM(kinds()["RS256"])}}, &clocked{now: today})
	for name, token := range map[string]string{
		"nested":    signJSON(hs256, strings.Repeat("[", 9000)+strings.Repeat("]", 9000)) + "A",
		"long":      signJSON(hs256, `{"sub":"`+strings.Repeat("a", 48<<10)+`"}`)[:maxToken],
		"signature": "eyJhbGciOiJSUzI1NiJ9.e30." + strings.Repeat("A", maxToken-100),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Connect(token); err == nil {
					b.Fatal("it is good")
				}
			}
		})
	}
}
