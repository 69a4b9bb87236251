package tokens

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// The RSA key of RFC 7515 appendix A.2, and the seed of the Ed25519 key of RFC 8037 appendix A.1.
const (
	rsaN = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"
	rsaD = "Eq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyWPEAeP88vLNO97IjlA7_GQ5sLKMgvfTeXZx9SE-7YwVol2NXOoAJe46sui395IW_GO-pWJ1O0BkTGoVEn2bKVRUCgu-GjBVaYLU6f3l9kJfFNS3E0QbVdxzubSu3Mkqzjkn439X0M_V51gfpRLI9JYanrC4D4qAdGcopV_0ZHHzQlBjudU2QvXt4ehNYTCBr6XCLQUShb1juUO1ZdiYoFaFQT5Tw8bGUl_x_jTj3ccPDVZFD9pIuhLhBOneufuBiB4cS98l2SR_RQyGWSeWjnczT0QU91p1DhOVRuOopznQ"
	rsaP = "4BzEEOtIpmVdVEZNCqS7baC4crd0pqnRH_5IB3jw3bcxGn6QLvnEtfdUdiYrqBdss1l58BQ3KhooKeQTa9AB0Hw_Py5PJdTJNPY8cQn7ouZ2KKDcmnPGBY5t7yLc1QlQ5xHdwW1VhvKn-nXqhJTBgIPgtldC-KDV5z-y2XDwGUc"
	rsaQ = "uQPEfgmVtjL0Uyyx88GZFF1fOunH3-7cepKmtH4pxhtCoHqpWmT8YAmZxaewHgHAjLYsp1ZSe7zFYHj7C6ul7TjeLQeZD_YwD66t62wDmpe_HlB-TnBA-njbglfIsRLtXlnDzQkv5dTltRJ11BKBBypeeF6689rjcJIDEz9RWdc"

	ed25519D = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"
	ed25519X = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
)

// point returns the public key at a point of a curve.
func point(t *testing.T, curve elliptic.Curve, x, y string) *ecdsa.PublicKey {
	t.Helper()
	key, err := ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{4}, unbase64(x), unbase64(y)))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestVectors: the examples of RFC 7515 appendix A and RFC 8037 appendix A, which have expired since. Two of them don't
// say anything in JSON: they are refused for that, and not for their signatures.
func TestVectors(t *testing.T) {
	const joe = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
	hmac := unbase64("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
	p256 := point(t, elliptic.P256(), "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0")
	p521 := point(t, elliptic.P521(),
		"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
		"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2")
	ed := ed25519.PublicKey(unbase64(ed25519X))
	const expires = 1300819380
	c := new(clocked)
	v := mustNew(t, Config{HMAC: hmac, PublicKeys: [][]byte{inPEM(kinds()["RS256"], p256, p521, ed)}}, c)
	for _, tt := range []struct {
		name, token string
		claims      bool
	}{
		{"RFC 7515 A.1", "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." + joe + ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", true},
		{"RFC 7515 A.2", "eyJhbGciOiJSUzI1NiJ9." + joe + ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw", true},
		{"RFC 7515 A.3", "eyJhbGciOiJFUzI1NiJ9." + joe + ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q", true},
		{"RFC 7515 A.4", "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn", false},
		{"RFC 8037 A.4", "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg", false},
	} {
		if !tt.claims {
			// The signature by itself, since the parser doesn't come so far.
			cut := strings.LastIndexByte(tt.token, '.')
			var method jwt.SigningMethod = jwt.SigningMethodEdDSA
			var key any = ed
			if tt.name == "RFC 7515 A.4" {
				method, key = jwt.SigningMethodES512, p521
			}
			if err := method.Verify(tt.token[:cut], unbase64(tt.token[cut+1:]), key); err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			if _, err := v.Connect(tt.token); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "claim") {
				t.Errorf("%s: %v, want its claims to be refused", tt.name, err)
			}
			continue
		}
		c.set(time.Unix(expires-1, 0))
		got, err := v.Connect(tt.token)
		if want := time.Unix(expires, 0); err != nil || !got.ExpireAt.Equal(want) || got.User != "" {
			t.Errorf("%s: %+v and %v, want an anonymous one until %v", tt.name, got, err, want)
		}
		c.set(time.Unix(expires, 0))
		if _, err := v.Connect(tt.token); !errors.Is(err, ErrExpired) {
			t.Errorf("%s, later: %v, want %v", tt.name, err, ErrExpired)
		}
	}
}

// TestJavaScriptClient: the tokens of the JavaScript client's own tests.
func TestJavaScriptClient(t *testing.T) {
	v := mustNew(t, Config{HMAC: []byte("secret")}, new(clocked))
	connection := "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpYXQiOjE3MzgwNzg4MjR9.MTb3higWfFW04E9-8wmTFOcf4MEm-rMDQaNKJ1VU_n4"
	c, err := v.Connect(connection)
	if err != nil || c.User != "" || !c.ExpireAt.IsZero() || c.Info != nil || c.Channels != nil || c.Subs != nil {
		t.Errorf("%+v and %v, want an anonymous one that never expires", c, err)
	}
	subscription := "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpYXQiOjE3Mzc1MzIzNDgsImNoYW5uZWwiOiJ0ZXN0MSJ9.eqPQxbBtyYxL8Hvbkm-P6aH7chUsSG_EMWe-rTwF_HI"
	s, err := v.Subscribe(subscription)
	if err != nil || s.Channel != "test1" || s.User != "" || !s.ExpireAt.IsZero() {
		t.Errorf("%+v and %v, want test1 for anonymous ones, never to expire", s, err)
	}
	if _, err := v.Connect(subscription); !errors.Is(err, ErrInvalid) {
		t.Errorf("the subscription's token connects: %v", err)
	}
	if _, err := v.Subscribe(connection); !errors.Is(err, ErrInvalid) {
		t.Errorf("the connection's token subscribes: %v", err)
	}
}
