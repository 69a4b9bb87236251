package e2e

import (
	"fmt"
	"strings"
	"testing"
)

func TestMarkupIsShownAsText(t *testing.T) {
	s := serve(t)
	writer, reader := open(t, s), open(t, s)
	const markup = `<img src=x onerror="window.ran=1">`

	writer.named(markup)
	writer.say(markup)

	for who, p := range map[string]*tab{"writer": writer, "reader": reader} {
		p.wait(shows(markup))
		if got := eval[string](p, `document.querySelector(".message .name").textContent`); got != markup {
			t.Errorf("%s: name %q, want %q", who, got, markup)
		}
		if n := eval[int](p, `document.querySelectorAll("#lines img, #lines script").length`); n != 0 {
			t.Errorf("%s: %d elements were made of the text", who, n)
		}
		if eval[bool](p, `"ran" in window`) {
			t.Errorf("%s: the script ran", who)
		}
		p.quiet()
	}
	if !eval[bool](writer, `document.querySelector(".message").classList.contains("own")`) {
		t.Error("the writer's own message isn't marked")
	}
	if eval[bool](reader, `document.querySelector(".message").classList.contains("own")`) {
		t.Error("somebody else's message is marked as the reader's own")
	}
}

func TestWhatOtherClientsSend(t *testing.T) {
	s := serve(t)
	p := open(t, s)
	c := dial(t, s)
	long := strings.Repeat("x", 60_000)
	tests := []struct {
		name string
		send func()
		kind string
		text string
	}{
		{"plain text", func() { c.text("hello") }, "plain", "hello"},
		{"empty text", func() { c.text("") }, "plain", ""},
		{"broken JSON", func() { c.text(`{"name": "A", "text": `) }, "plain", `{"name": "A", "text": `},
		{"other JSON", func() { c.text(`{"name": 1, "text": []}`) }, "plain", `{"name": 1, "text": []}`},
		{"null", func() { c.text("null") }, "plain", "null"},
		{"prototype", func() { c.text(`{"__proto__": {"name": "A", "text": "B"}}`) }, "plain", `{"__proto__": {"name": "A", "text": "B"}}`},
		{"long text", func() { c.text(long) }, "plain", long[:4000] + "…"},
		{"chat", func() { c.text(`{"name": "A", "text": "B", "more": true}`) }, "chat", "B"},
		{"binary", func() { c.binary([]byte{0, 1, 2, 0xff, 0xfe}) }, "binary", "Binary message, 5 bytes"},
		{"empty binary", func() { c.binary(nil) }, "binary", "Binary message, 0 bytes"},
	}
	for i, tt := range tests {
		tt.send()
		p.wait(fmt.Sprintf(`document.querySelectorAll(".message").length === %d`, i+1))
		if got := eval[string](p, `[...document.querySelectorAll(".message")].at(-1).dataset.kind`); got != tt.kind {
			t.Errorf("%s: shown as %q, want %q", tt.name, got, tt.kind)
		}
		if got := eval[string](p, `[...document.querySelectorAll(".message .body")].at(-1).textContent`); got != tt.text {
			t.Errorf("%s: text %.80q, want %.80q", tt.name, got, tt.text)
		}
	}
	p.quiet()
}

func TestNameSurvivesReload(t *testing.T) {
	s := serve(t)
	p := open(t, s)
	p.named("Ann")
	p.visit(s)
	if got := eval[string](p, `document.querySelector("#name").value`); got != "Ann" {
		t.Errorf("name after a reload %q, want Ann", got)
	}
	p.quiet()
}

func TestWithoutStorage(t *testing.T) {
	s := serve(t)
	p := open(t, s, `Object.defineProperty(window, "localStorage", {
		get() { throw new DOMException("denied", "SecurityError"); },
	});`)
	p.named("Ann")
	p.say("hello")
	p.wait(shows("hello"))
	p.quiet()
}

func TestTooLongIsNotSent(t *testing.T) {
	s := serve(t)
	p := open(t, s)
	tests := []struct {
		name     string
		value    string // a JavaScript expression
		disabled bool
	}{
		{"longest", `"x".repeat(4000)`, false},
		{"too many characters", `"x".repeat(4001)`, true},
		{"too many bytes once encoded", `"\u0001".repeat(4000)`, true},
		{"short again", `"x"`, false},
	}
	for _, tt := range tests {
		eval[any](p, fmt.Sprintf(`{
			const text = document.querySelector("#text");
			text.value = %s;
			text.dispatchEvent(new Event("input"));
		}`, tt.value))
		if got := eval[bool](p, `document.querySelector("#send").disabled`); got != tt.disabled {
			t.Errorf("%s: send disabled %t, want %t", tt.name, got, tt.disabled)
		}
	}
	p.quiet()
}
