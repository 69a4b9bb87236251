// Package tokens verifies the JSON Web Tokens (RFC 7519) by which clients of the
// Centrifuge protocol say who they are and which channels they may subscribe to. What
// the tokens claim is what it is for Centrifugo, so that whoever makes tokens for one
// can make them for the other:
//
//   - https://centrifugal.dev/docs/server/authentication
//   - https://centrifugal.dev/docs/server/channel_token_auth
//
// A Verifier (tokens.go) is called on event loops: it computes, but never waits. Keys
// are for the algorithms that they are made for and no others (keys.go). Those that
// are published at a URL are read in the background (jwks.go). What tokens claim is in
// claims.go, and is looked at once the signature is known to be good.
//
// Signatures are those of github.com/golang-jwt/jwt, published keys are parsed by
// github.com/MicahParks/jwkset.
package tokens
