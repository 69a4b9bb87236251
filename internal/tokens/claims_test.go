package tokens

import (
	"encoding/json"
	"errors"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
)

const hs256 = `{"alg":"HS256","typ":"JWT"}`

func TestConnectionClaims(t *testing.T) {
	v := mustNew(t, Config{HMAC: []byte("secret")}, &clocked{now: today})
	for _, tt := range []struct {
		claims string
		want   Connection
	}{
		{`{}`, Connection{}},
		{`{"sub":"anna"}`, Connection{User: "anna"}},
		{`{"sub":"Ånna 🎈"}`, Connection{User: "Ånna 🎈"}},
		{`{"iat":"yesterday","jti":7,"meta":[1],"unknown":{},"client":9}`, Connection{}},
		{`{"exp":1800000001}`, Connection{ExpireAt: time.Unix(1800000001, 0)}},
		{`{"exp":1800000001.9}`, Connection{ExpireAt: time.Unix(1800000001, 0)}},
		{`{"exp":"1800000001"}`, Connection{ExpireAt: time.Unix(1800000001, 0)}},
		{`{"exp":1800000001,"nbf":1800000000}`, Connection{ExpireAt: time.Unix(1800000001, 0)}},
		{`{"exp":null,"nbf":null,"expire_at":null,"info":null}`, Connection{Info: []byte("null")}},
		{`{"exp":1800000001,"expire_at":0}`, Connection{}},
		{`{"exp":1800000001,"expire_at":-5}`, Connection{}},
		{`{"exp":1800000001,"expire_at":1900000000}`, Connection{ExpireAt: time.Unix(1900000000, 0)}},
		{`{"expire_at":1900000000}`, Connection{ExpireAt: time.Unix(1900000000, 0)}},
		{`{"expire_at":1000000000}`, Connection{ExpireAt: time.Unix(1000000000, 0)}},
		{`{"exp":253402300799}`, Connection{ExpireAt: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)}},
		{"{\"info\":{ \"name\" :\n\"an na\"}}", Connection{Info: []byte(`{"name":"an na"}`)}},
		{`{"info":"<b>"}`, Connection{Info: []byte(`"<b>"`)}},
		{`{"info":7}`, Connection{Info: []byte(`7`)}},
		{`{"b64info":"AP8K"}`, Connection{Info: []byte{0, 255, 10}}},
		{`{"b64info":"AP8K","info":7}`, Connection{Info: []byte{0, 255, 10}}},
		{`{"b64info":"","info":7}`, Connection{Info: []byte(`7`)}},
		{`{"channels":["a","b:c"]}`, Connection{Channels: []string{"a", "b:c"}}},
		{`{"channels":["a"],"subs":{}}`, Connection{Channels: []string{"a"}}},
		{`{"channels":["a"],"subs":{"b":{"info":{"x": 1},"override":{"presence":{"value":true}},"data":{},"recover":1},"c":{"b64info":"AP8K"},"d":{}}}`,
			Connection{Subs: map[string]SubscriptionOptions{"b": {[]byte(`{"x":1}`)}, "c": {[]byte{0, 255, 10}}, "d": {}}}},
	} {
		got, err := v.Connect(signJSON(hs256, tt.claims))
		if err != nil || !reflect.DeepEqual(inUTC(got), inUTC(tt.want)) {
			t.Errorf("%s: %+v and %v, want %+v", tt.claims, got, err, tt.want)
		}
	}
}

// inUTC makes times comparable.
func inUTC(c Connection) Connection {
	c.ExpireAt = c.ExpireAt.UTC()
	return c
}

func TestSubscriptionClaims(t *testing.T) {
	v := mustNew(t, Config{HMAC: []byte("secret")}, &clocked{now: today})
	for _, tt := range []struct {
		claims string
		want   Subscription
	}{
		{`{"channel":"a"}`, Subscription{Channel: "a"}},
		{`{"channel":"a","sub":"anna","client":"c1","info":[1, 2],"override":{"presence":{"value":true}},"channels":7,"subs":8}`,
			Subscription{Channel: "a", User: "anna", Client: "c1", Info: []byte(`[1,2]`)}},
		{`{"channel":"a","b64info":"AP8K","exp":1800000001}`, Subscription{Channel: "a", Info: []byte{0, 255, 10}, ExpireAt: time.Unix(1800000001, 0)}},
		{`{"channel":"a","exp":1800000001,"expire_at":0}`, Subscription{Channel: "a"}},
		{`{"channel":"a","exp":1800000001,"expire_at":1900000000}`, Subscription{Channel: "a", ExpireAt: time.Unix(1900000000, 0)}},
	} {
		got, err := v.Subscribe(signJSON(hs256, tt.claims))
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v and %v, want %+v", tt.claims, got, err, tt.want)
		}
	}
}

// TestHostileClaims: what is signed but no claims is refused, whichever kind of token it is taken for.
func TestHostileClaims(t *testing.T) {
	v := mustNew(t, Config{HMAC: []byte("secret")}, &clocked{now: today})
	deep := strings.Repeat("[", 20_000)
	for _, claims := range []string{
		``, ` `, `null`, ` null `, `7`, `"a"`, `[]`, `{`, `{}{}`, `{"channel":"a"`, deep,
		`{"sub":7}`, `{"sub":["anna"]}`, "{\"sub\":\"\xff\"}", "{\"channel\":\"a\",\"info\":\"\xff\"}",
		`{"exp":true}`, `{"exp":"soon"}`, `{"exp":{}}`, `{"exp":1e300}`, `{"exp":-1e300}`, `{"exp":1e999}`, `{"exp":253402300800}`,
		`{"nbf":[]}`, `{"expire_at":"x"}`, `{"expire_at":1e300}`,
		`{"channel":"a","expire_at":` + strings.Repeat("1", 40_000) + `}`,
		`{"channel":7}`, `{"channel":"a","b64info":"!"}`, `{"channel":"a","b64info":7}`, `{"channel":"a","b64info":"AP8"}`,
		`{"info":` + deep + `}`, `{"aud":{}}`, `{"aud":7}`, `{"aud":[7]}`, `{"iss":7}`, strconv.Quote(strings.Repeat("a", 40_000)),
	} {
		refuses(t, v, claims[:min(len(claims), 60)], signJSON(hs256, claims))
	}
	for _, claims := range []string{
		`{"channels":"a"}`, `{"channels":[7]}`, `{"channels":{}}`, `{"subs":[]}`, `{"subs":{"a":7}}`, `{"subs":{"a":{"b64info":"!"}}}`,
		`{"channel":"a"}`, `{"channel":"a","exp":1}`,
	} {
		if _, err := v.Connect(signJSON(hs256, claims)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s connects: %v", claims, err)
		}
	}
	for _, claims := range []string{`{}`, `{"channel":""}`, `{"channel":null}`, `{"channel":"a","client":7}`, `{"exp":1}`} {
		if _, err := v.Subscribe(signJSON(hs256, claims)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s subscribes: %v", claims, err)
		}
	}
}

func TestTime(t *testing.T) {
	c := new(clocked)
	v := mustNew(t, Config{HMAC: []byte("secret")}, c)
	for _, tt := range []struct {
		claims string
		at     float64
		want   error
	}{
		{`{"channel":"a"}`, 1e12, nil},
		{`{"channel":"a","exp":100}`, 99.999, nil},
		{`{"channel":"a","exp":100}`, 100, ErrExpired},
		{`{"channel":"a","exp":0}`, 100, ErrExpired},
		{`{"channel":"a","exp":-100}`, 100, ErrExpired},
		{`{"channel":"a","exp":100,"expire_at":0}`, 100, ErrExpired},
		{`{"channel":"a","exp":100,"expire_at":1000}`, 100, ErrExpired},
		{`{"channel":"a","expire_at":100}`, 200, nil},
		{`{"channel":"a","nbf":100}`, 100, nil},
		{`{"channel":"a","nbf":100}`, 99.999, ErrExpired},
		{`{"channel":"a","nbf":100,"exp":200}`, 150, nil},
	} {
		c.set(time.UnixMilli(int64(tt.at * 1000)))
		if _, err := v.Subscribe(signJSON(hs256, tt.claims)); !errors.Is(err, tt.want) {
			t.Errorf("%s subscribes at %v: %v, want %v", tt.claims, tt.at, err, tt.want)
		}
		if _, err := v.Connect(signJSON(hs256, strings.Replace(tt.claims, `"channel":"a"`, `"sub":"a"`, 1))); !errors.Is(err, tt.want) {
			t.Errorf("%s connects at %v: %v, want %v", tt.claims, tt.at, err, tt.want)
		}
	}
	if _, err := v.Connect(signJSON(hs256, `{"exp":1}`)[1:]); !errors.Is(err, ErrInvalid) {
		t.Errorf("one that has expired and has no good signature: %v, want %v", err, ErrInvalid)
	}
}

func TestAudienceAndIssuer(t *testing.T) {
	v := mustNew(t, Config{HMAC: []byte("secret"), Audience: "us", Issuer: "them"}, &clocked{now: today})
	for claims, good := range map[string]bool{
		`"aud":"us","iss":"them"`:           true,
		`"aud":["you","us"],"iss":"them"`:   true,
		`"aud":["you"],"iss":"them"`:        false,
		`"aud":[],"iss":"them"`:             false,
		`"aud":null,"iss":"them"`:           false,
		`"aud":"usa","iss":"them"`:          false,
		`"iss":"them"`:                      false,
		`"aud":"us"`:                        false,
		`"aud":"us","iss":""`:               false,
		`"aud":"us","iss":"Them"`:           false,
		`"aud":"us","iss":"they"`:           false,
		`"aud":"you","iss":"them","exp":1`:  false, // not just expired
		`"aud":"us","iss":"you","exp":1`:    false,
		`"aud":"` + long + `","iss":"them"`: false,
		`"aud":"us","iss":"` + long + `"`:   false,
		`"aud":["you"` + strings.Repeat(`,"you"`, 1000) + `],"iss":"them"`: false,
	} {
		_, connect := v.Connect(signJSON(hs256, "{"+claims+"}"))
		_, subscribe := v.Subscribe(signJSON(hs256, `{"channel":"a",`+claims+"}"))
		for _, err := range []error{connect, subscribe} {
			if good && err != nil || !good && (!errors.Is(err, ErrInvalid) || len(err.Error()) > 300) {
				t.Errorf("%.60s: %v", claims, err)
			}
		}
	}
	anybody := mustNew(t, Config{HMAC: []byte("secret")}, &clocked{now: today})
	if _, err := anybody.Connect(signJSON(hs256, `{"aud":"you","iss":"you"}`)); err != nil {
		t.Errorf("one for others, where that is all the same: %v", err)
	}
}

var long = strings.Repeat("a", 10_000)

// TestInfoIsALine: info is as the protocol has it in JSON, whatever the token's layout.
func TestInfoIsALine(t *testing.T) {
	v := mustNew(t, Config{HMAC: []byte("secret")}, &clocked{now: today})
	info := map[string]any{"a": []any{1.0, "b\nc"}, "d": nil}
	text, err := json.MarshalIndent(map[string]any{"info": info}, "\r\n", "\t")
	if err != nil {
		t.Fatal(err)
	}
	c, err := v.Connect(signJSON(hs256, string(text)))
	if err != nil || strings.ContainsAny(string(c.Info), "\r\n\t ") {
		t.Fatalf("%q and %v, want one line", c.Info, err)
	}
	var got map[string]any
	if err := json.Unmarshal(c.Info, &got); err != nil || !reflect.DeepEqual(got, info) {
		t.Errorf("%v and %v, want %v", got, err, info)
	}
}
