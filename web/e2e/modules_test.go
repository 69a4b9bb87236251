package e2e

import (
	"fmt"
	"testing"
)

// TestModules calls the page's pure modules in the browser that runs them.
func TestModules(t *testing.T) {
	s := serve(t)
	p := open(t, s)
	tests := []struct{ module, expression, want string }{
		{"backoff", `[0, 1, 2, 6, 2000].map((n) => m.backoff(n, () => 1))`, `[500,1000,2000,30000,30000]`},
		{"backoff", `m.backoff(6, () => 0.5)`, `15000`},
		{"backoff", `m.backoff(6, () => 0)`, `0`},

		{"message", `m.encode("A", "B\n\"")`, `"{\"name\":\"A\",\"text\":\"B\\n\\\"\"}"`},
		{"message", `m.decode(m.encode("名前", "テキスト"))`, `{"kind":"chat","name":"名前","text":"テキスト"}`},
		{"message", `m.decode("[1]")`, `{"kind":"plain","text":"[1]"}`},
		{"message", `m.decode(new ArrayBuffer(3))`, `{"kind":"binary","bytes":3}`},
		{"message", `["a", "é", "語", "😀"].map(m.byteLength)`, `[1,2,3,4]`},

		{"outbox", `{ const o = new m.Outbox(); o.add("a", "A"); o.add("a", "A");
			return [o.confirm("b"), o.confirm("a"), o.takeAll(), o.confirm("a")]; }`, `[false,true,["A"],false]`},
		{"outbox", `{ const o = new m.Outbox(); for (let i = 0; i < 101; i++) o.add("w" + i, "t" + i);
			return [o.confirm("w0"), o.takeAll().length]; }`, `[false,100]`},

		{"i18n", `[["ja-JP", "en"], ["JA"], ["fr", "en-US", "ja"], ["constructor"], ["en_US@posix"], []].map((p) => m.pick(p))`, `["ja-JP","JA","en-US","en","en","en"]`},
		{"i18n", `m.t("line.close.reason", { code: 1006, reason: "{code} $& {x}" })`, `"Connection closed (code 1006, “{code} $& {x}”)."`},
	}
	for _, tt := range tests {
		body := tt.expression
		if body[0] == '{' {
			body = "(() => " + body + ")()"
		}
		got := eval[string](p, fmt.Sprintf(`import("/%s.js").then((m) => JSON.stringify(%s))`, tt.module, body))
		if got != tt.want {
			t.Errorf("%s: %s\n got %s\nwant %s", tt.module, tt.expression, got, tt.want)
		}
	}
	p.quiet()
}
