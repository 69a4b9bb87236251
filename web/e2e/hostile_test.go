package e2e

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
)

const markup = `<img src=x onerror="window.ran=1"><script>window.ran=1</script>`

func TestMarkupIsShownAsText(t *testing.T) {
	s := serve(t)
	room := markup[:33]
	writer, reader := blank(t), blank(t)
	for _, p := range []*tab{writer, reader} {
		p.visit(s, url.PathEscape(room))
	}
	name := markup[:34] // as many characters as a name may have, at most
	writer.named(name)
	writer.wait(connected)
	writer.say(markup)
	for who, p := range map[string]*tab{"writer": writer, "reader": reader} {
		p.wait(shows(markup))
		p.wait(fmt.Sprintf(`document.querySelector(".message .name").textContent === %q`, name))
		p.wait(fmt.Sprintf(`document.title === "#" + %q + " – hubbub"`, room))
		if n := eval[int](p, `document.querySelectorAll("main img, main script, header script, header img:not(.brand img)").length`); n != 0 {
			t.Errorf("%s: %d elements were made of the text", who, n)
		}
		if eval[bool](p, `"ran" in window`) {
			t.Errorf("%s: the script ran", who)
		}
		p.quiet()
	}
}

// The server passes on what any client says of itself.
func TestNamesThatArentNames(t *testing.T) {
	s := serve(t)
	p := open(t, s)
	tests := []struct{ info, name string }{
		{`{"name": "  Ann  "}`, "Ann"},
		{`{"name": "` + strings.Repeat("ü", 40) + `"}`, strings.Repeat("ü", 40)},
		{`{"name": "` + strings.Repeat("ü", 41) + `"}`, "anonymous"},
		{`{"name": ""}`, "anonymous"},
		{`{"name": "\u200b\u202e "}`, "anonymous"},
		{`{"name": 1}`, "anonymous"},
		{`{"name": ["Ann"]}`, "anonymous"},
		{`{"name": {"name": "Ann"}}`, "anonymous"},
		{`{"__proto__": {"name": "Ann"}}`, "anonymous"},
		{`{"toString": null}`, "anonymous"},
		{`["name"]`, "anonymous"},
		{`"name"`, "anonymous"},
		{`null`, "anonymous"},
		{`17`, "anonymous"},
	}
	for i, tt := range tests {
		c := join(t, s, "lobby", tt.info)
		c.say(t, "lobby", fmt.Sprint("message ", i))
		p.wait(shows(fmt.Sprint("message ", i)))
		if got := eval[string](p, `[...document.querySelectorAll(".message .name")].at(-1).textContent`); got != tt.name {
			t.Errorf("%s is shown as %q, want %q", tt.info, got, tt.name)
		}
	}
	p.quiet()
}

func TestPublicationsThatArentMessages(t *testing.T) {
	s := serve(t)
	p := open(t, s)
	c := join(t, s, "lobby", `{"name": "Mallory"}`)
	for _, data := range []string{
		`"text"`, `1`, `null`, `true`, `[]`, `["text"]`, `{}`, `{"text": 1}`, `{"text": null}`, `{"text": ["a"]}`,
		`{"text": ""}`, `{"text": " \n"}`, `{"Text": "a"}`, `{"__proto__": {"text": "a"}}`,
	} {
		if err := c.publish("lobby", data); err != nil {
			t.Fatal(err)
		}
	}
	long := strings.Repeat("x", 5_000)
	c.say(t, "lobby", long)
	if err := c.publish("lobby", `{"text": "last", "at": {"a": 1}, "more": true}`); err != nil {
		t.Fatal(err)
	}
	p.wait(shows("last"))
	if !eval[bool](p, is(texts, long[:4_000]+"…", "last")) {
		t.Errorf("messages: %.200q", eval[[]string](p, texts))
	}
	p.quiet()
}
