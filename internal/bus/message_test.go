package bus

import (
	"bytes"
	"errors"
	"testing"

	"hubbub/internal/wire"
)

func TestEncode(t *testing.T) {
	for _, tt := range []struct {
		topic   string
		t       wire.MessageType
		payload string
		want    string
	}{
		{"lobby", wire.Text, "hi", "\x01\x05lobbyhi"},
		{"lobby", wire.Binary, "\x00\xff", "\x02\x05lobby\x00\xff"},
		{"", wire.Text, "hi", "\x01\x00hi"},
		{"lobby", wire.Text, "", "\x01\x05lobby"},
		{"", wire.Binary, "", "\x02\x00"},
		{string(bytes.Repeat([]byte("t"), 300)), wire.Text, "hi", "\x01\xac\x02" + string(bytes.Repeat([]byte("t"), 300)) + "hi"},
	} {
		if got := encode(tt.topic, tt.t, []byte(tt.payload)); string(got) != tt.want {
			t.Errorf("encode(%.10q, %d, %q) = %.20q, want %.20q", tt.topic, tt.t, tt.payload, got, tt.want)
		}
		topic, typ, payload, err := parse([]byte(tt.want))
		if err != nil || topic != tt.topic || typ != tt.t || string(payload) != tt.payload {
			t.Errorf("parse(%.20q) = %.10q, %d, %q, %v", tt.want, topic, typ, payload, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for name, p := range map[string]string{
		"nothing":                       "",
		"a type alone":                  "\x01",
		"no type that exists":           "\x00\x00",
		"the type of a close frame":     "\x08\x00",
		"a topic that is cut off":       "\x01\x05lobb",
		"a length that is cut off":      "\x01\x80",
		"a length over 64 bits":         "\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01lobby",
		"a length that fills 64 bits":   "\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01lobby",
		"a length one over what is had": "\x02\x01",
	} {
		if topic, typ, payload, err := parse([]byte(p)); !errors.Is(err, errMalformed) {
			t.Errorf("%s: parse(%q) = %q, %d, %q, %v; want errMalformed", name, p, topic, typ, payload, err)
		}
	}
}

// FuzzParse gives parse any bytes, and has the same bytes, cut in two, go there
// and back.
func FuzzParse(f *testing.F) {
	f.Add([]byte("\x01\x05lobbyhi"))
	f.Add([]byte("\x02\x00"))
	f.Add([]byte("\x81\x05lobby12345678hi"))
	f.Fuzz(func(t *testing.T, p []byte) {
		if topic, typ, payload, err := parse(p); err == nil {
			if plain := typ &^ wire.Kept; plain != wire.Text && plain != wire.Binary {
				t.Errorf("type %d", typ)
			}
			// The length may have been longer than it had to be.
			if again := encode(topic, typ, payload); len(again) > len(p) || !bytes.HasSuffix(p, again[len(again)-len(topic)-len(payload):]) {
				t.Errorf("%q was parsed as what is sent as %q", p, again)
			}
		}
		topic, payload := string(p[:len(p)/2]), p[len(p)/2:]
		for _, typ := range []wire.MessageType{wire.Text, wire.Binary, wire.Text | wire.Kept, wire.Binary | wire.Kept} {
			gotTopic, gotType, gotPayload, err := parse(encode(topic, typ, payload))
			if err != nil || gotTopic != topic || gotType != typ || !bytes.Equal(gotPayload, payload) {
				t.Errorf("%q, %d, %q came back as %q, %d, %q, %v", topic, typ, payload, gotTopic, gotType, gotPayload, err)
			}
		}
	})
}
