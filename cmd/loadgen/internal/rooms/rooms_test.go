package rooms

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestNext(t *testing.T) {
	for _, tt := range []struct {
		line string
		want Message
	}{
		{`{}`, Message{Kind: Ping}},
		{` { } `, Message{Kind: Ping}},
		{`{"push":{"channel":"chat:1","pub":{"data":"abc"}}}`, Message{Kind: Publication, Channel: []byte("chat:1"), Data: []byte(`"abc"`)}},
		{`{"push":{"channel":"chat:1","pub":{"data":"abc","offset":17}}}`, Message{Kind: Publication, Channel: []byte("chat:1"), Data: []byte(`"abc"`)}},
		{`{"push":{"channel":"chat:1","pub":{"data":"abc","info":{"client":"x"}}}}`, Message{Kind: Publication, Channel: []byte("chat:1"), Data: []byte(`"abc"`)}},
		{`{"push":{"pub":{"offset":17,"data": "a\"c"},"channel":"ch\u0061t:1"}}`, Message{Kind: Publication, Channel: []byte("chat:1"), Data: []byte(`"a\"c"`)}},
		{`{"push":{"channel":"chat:1","pub":{"data":{"a":[1]}}}}`, Message{Kind: Publication, Channel: []byte("chat:1"), Data: []byte(`{"a":[1]}`)}},
		{`{"push":{"channel":"chat:1","join":{"info":{}}}}`, Message{}},
		{`{"push":{"channel":"chat:1","unsubscribe":{"code":2500,"reason":"no"}}}`, Message{Kind: Farewell, Why: "unsubscribed: 2500 no"}},
		{`{"push":{"disconnect":{"code":3001,"reason":"shutdown"}}}`, Message{Kind: Farewell, Why: "disconnected: 3001 shutdown"}},
		{`{"id":1,"connect":{"client":"x","version":"","ping":25,"pong":true}}`, Message{Kind: Answer, ID: Connect, Pong: true}},
		{`{"id":2,"subscribe":{}}`, Message{Kind: Answer, ID: Subscribe}},
		{recovered(`{"data":"abc","offset":2}`), Message{Kind: Answer, ID: Subscribe, Recovered: true, Publications: 1}},
		{recovered(`{"data":"\"data\"","offset":2},{"data":{"data":[]}}`), Message{Kind: Answer, ID: Subscribe, Recovered: true, Publications: 2}},
		{`{"id":2,"subscribe":{"was_recovering":true,"offset":7,"publications":[]}}`, Message{Kind: Answer, ID: Subscribe}},
		{`{"id":4711,"publish":{}}`, Message{Kind: Answer, ID: 4711}},
		{`{"id":4294967295,"publish":{}}`, Message{Kind: Answer, ID: 1<<32 - 1}},
		{`{"id":7,"error":{"code":100,"message":"internal server error","temporary":true}}`,
			Message{Kind: Answer, ID: 7, Err: &Error{Code: 100, Message: "internal server error", Temporary: true}}},
		{`{"error":{"code":103,"message":"permission denied"}}`, Message{Kind: Answer, Err: &Error{Code: 103, Message: "permission denied"}}},
	} {
		for _, behind := range []string{"", "\n", "\n{}"} {
			m, rest, err := Next([]byte(tt.line + behind))
			if err != nil || !reflect.DeepEqual(m, tt.want) || string(rest) != strings.TrimPrefix(behind, "\n") {
				t.Errorf("%s: %+v, rest %q, %v; want %+v", tt.line, m, rest, err, tt.want)
			}
		}
	}
	for _, line := range []string{"\n", "nothing", `{"id":-1}`, `{"push":{"channel":"c","pub":{"data":"abcdefgh` + "\x01" + `ijkl"}}}`, `{"id":5,"publish":{}}{}`} {
		if m, _, err := Next([]byte(line)); err == nil {
			t.Errorf("%q is taken for %+v", line, m)
		}
	}
}

// Whatever the length, what comes all the time is read by scan.
func TestScanReads(t *testing.T) {
	for n := 4; n < 200; n++ {
		data := `"` + strings.Repeat("x", n) + `"`
		for _, line := range []string{
			fmt.Sprintf(`{"push":{"channel":"chat:loadgen-0123456789abcdef-t0","pub":{"data":%s}}}`, data),
			fmt.Sprintf(`{"push":{"channel":"c","pub":{"data":%s,"offset":%d}}}`, data, n),
			fmt.Sprintf(`{"push":{"channel":"c","pub":{"data":%s,"info":{"user":"","client":"0-1"}}}}`, data),
			fmt.Sprintf(`{"push":{"channel":"c","pub":{"data":%s,"info":{"user":"u","client":"0-1"},"offset":%d}}}`, data, n),
		} {
			for _, behind := range []string{"", "\n"} {
				if m, length := scan([]byte(line + behind)); length != len(line) || string(m.Data) != data {
					t.Errorf("%q is read as %d bytes, data %q", line+behind, length, m.Data)
				}
			}
		}
	}
	for n := 1; n < 40; n++ {
		line := recovered(strings.Repeat(`{"data":"abcdefgh","info":{"user":"","client":"0-1"},"offset":12345678901,"time":1700000000000},`, n-1) + `{"data":"abcdefgh"}`)
		if m, length := scan([]byte(line + "\n")); length != len(line) || !m.Recovered || m.Publications != n {
			t.Errorf("%q is read as %d bytes, %d publications", line, length, m.Publications)
		}
	}
	if m, length := scan([]byte(`{"id":123456789,"publish":{}}`)); length == 0 || m.ID != 123456789 {
		t.Errorf("the answer to a publication is read as %d bytes, %+v", length, m)
	}
}

func TestSpecial(t *testing.T) {
	for b := range 256 {
		for at := range 8 {
			word := []byte("abcdefgh")
			word[at] = byte(b)
			want := 8
			if b < ' ' || b == '"' || b == '\\' || b > '~'+1 {
				want = at
			}
			var x uint64
			for i := range word {
				x |= uint64(word[i]) << (8 * i)
			}
			if got := special(x); got != want {
				t.Errorf("%q: %d, want %d", word, got, want)
			}
		}
	}
}

// What is sent is what encoding/json takes for it.
func TestCommands(t *testing.T) {
	for line, want := range map[string]string{
		string(Join("chat:a b", false)): `map[connect:map[] id:1]
map[id:2 subscribe:map[channel:chat:a b]]
`,
		string(Join("chat:a b", true)): `map[connect:map[] id:1]
map[id:2 subscribe:map[channel:chat:a b epoch: offset:0 recover:true]]
`,
		string(AppendPublish(nil, 4711, "chat:a b", []byte(`"x"`))): `map[id:4711 publish:map[channel:chat:a b data:x]]
`,
	} {
		var got strings.Builder
		for command := range strings.SplitSeq(line, "\n") {
			var v map[string]any
			if err := json.Unmarshal([]byte(command), &v); err != nil {
				t.Errorf("%s: %v", command, err)
			}
			fmt.Fprintln(&got, v)
		}
		if got.String() != want {
			t.Errorf("%s is\n%swant\n%s", line, got.String(), want)
		}
	}
	for s, want := range map[string]bool{"chat:room-1": true, "": true, "é": true, `a"`: false, `a\`: false, "a\n": false, "\xff": false} {
		if Plain(s) != want {
			t.Errorf("Plain(%q) = %v", s, !want)
		}
	}
}

func TestNextAllocatesNothing(t *testing.T) {
	frame := []byte(`{"push":{"channel":"chat:1","pub":{"data":"abcdefghijklmnopqrstuvwxyz"}}}` + "\n" + `{"id":5,"publish":{}}` + "\n" + recovered(`{"data":"abcdefgh"}`))
	if n := testing.AllocsPerRun(100, func() {
		for p := frame; len(p) > 0; {
			var err error
			if _, p, err = Next(p); err != nil {
				t.Fatal(err)
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations per message, want 0", n)
	}
}

// What scan reads, parse reads in the same way, and it is one line.
func FuzzScan(f *testing.F) {
	for _, line := range []string{
		`{"push":{"channel":"chat:1","pub":{"data":"abcdefgh"}}}`,
		`{"push":{"channel":"chat:1","pub":{"data":"abcdefgh","offset":17}}}` + "\n{}",
		`{"push":{"channel":"chat:1","pub":{"data":"abc\"efgh"}}}`,
		`{"push":{"channel":"chat:1","pub":{"data":"abcdéfgh"}}}`,
		`{"push":{"channel":"ch\u0061t:1","pub":{"data":"abcdefgh"}}}`,
		`{"id":1,"publish":{}}`,
		`{"id":01,"publish":{}}` + "\n",
		`{"push":{"channel":"c","pub":{"data":"abcdefgh","info":{"user":"","client":"x"},"offset":17}}}`,
		recovered(`{"data":"abcdefgh","info":{"user":"","client":"x"},"offset":17,"time":1700000000000},{"data":"ijklmnop"}`),
		recovered(`{"data":"abcdefgh"},`),
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		fast, n := scan(p)
		if n == 0 {
			return
		}
		if n < len(p) && p[n] != '\n' || bytes.IndexByte(p[:n], '\n') >= 0 {
			t.Errorf("%q: its first line isn't of %d bytes", p, n)
		}
		slow, err := parse(p[:n])
		if err != nil || !reflect.DeepEqual(fast, slow) {
			t.Errorf("%q is read as %+v, by encoding/json as %+v, %v", p[:n], fast, slow, err)
		}
	})
}

// recovered is the answer of a server to a client that has recovered publications.
func recovered(publications string) string {
	return `{"id":2,"subscribe":{"recoverable":true,"epoch":"P4BFA3PP","publications":[` + publications +
		`],"recovered":true,"offset":31,"positioned":true,"was_recovering":true}}`
}

func BenchmarkNext(b *testing.B) {
	data := `"` + strings.Repeat("x", 126) + `"`
	kept := `{"data":` + data + `,"info":{"user":"","client":"afcee9e5-50c5-471c-9d1e-4fbe4e8ffdcb"},"offset":12,"time":1700000000000}`
	for name, line := range map[string]string{
		"push":      `{"push":{"channel":"chat:loadgen-0123456789abcdef-t0","pub":{"data":` + data + `}}}`,
		"recovered": recovered(strings.Repeat(kept+",", 29) + kept),
	} {
		b.Run(name, func(b *testing.B) {
			line := []byte(line)
			b.SetBytes(int64(len(line)))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := Next(line); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
