package e2e

import (
	"slices"
	"strings"
	"testing"
)

func TestLinks(t *testing.T) {
	s := serve(t)
	p := open(t, s)
	c := join(t, s, "lobby", `{"name": "Bob"}`)
	tests := []struct {
		text  string
		links []string // where they lead
	}{
		{"see https://example.com/a?b=c#d, or http://example.org.", []string{"https://example.com/a?b=c#d", "http://example.org/"}},
		{"(https://example.com/x) https://example.com/(y)", []string{"https://example.com/x", "https://example.com/(y)"}},
		{`HTTPS://EXAMPLE.com "https://example.com/z"`, []string{"https://example.com/", "https://example.com/z"}},
		{"javascript:alert(1) data:text/html,x ftp://example.com file:///etc/passwd //example.com", nil},
		{"https://example.com@evil.example https:// http://[ xhttps://example.com", nil},
		{`https://example.com/"onclick="alert(1)`, []string{"https://example.com/"}},
	}
	for _, tt := range tests {
		c.say(t, "lobby", tt.text)
		p.wait(shows(tt.text))
		const last = `[...document.querySelectorAll("#lines .message")].at(-1)`
		if got := eval[[]string](p, `[...`+last+`.querySelectorAll("a")].map((a) => a.href)`); !slices.Equal(got, tt.links) {
			t.Errorf("%s\nlinks %q, want %q", tt.text, got, tt.links)
		}
		for _, got := range eval[[]string](p, `[...`+last+`.querySelectorAll("a")].map((a) => a.target + " " + a.rel)`) {
			if got != "_blank noopener noreferrer nofollow" {
				t.Errorf("%s: a link has %q", tt.text, got)
			}
		}
	}
	p.quiet()
}

func TestMentions(t *testing.T) {
	s := serve(t)
	p := open(t, s)
	p.named("Ann B. (x)")
	p.wait(connected)
	c := join(t, s, "lobby", `{"name": "Bob"}`)
	tests := []struct{ text, me, others string }{
		{"hello @Ann B. (x)!", "@Ann B. (x)", ""},
		{"@ann b. (X), @Carol and @Dan-iel.", "@ann b. (X)", "@Carol @Dan-iel"},
		{"@Ann is somebody else", "", "@Ann"},
		{"mail@example.com @ nobody @", "", ""},
		{"https://example.com/@Carol", "", ""},
	}
	for _, tt := range tests {
		c.say(t, "lobby", tt.text)
		p.wait(shows(tt.text))
		got := eval[[]string](p, `((line) => ["me", "other"].map((kind) =>
			[...line.querySelectorAll("." + kind)].map((n) => n.textContent).join(" ")))
			([...document.querySelectorAll("#lines .message")].at(-1))`)
		if want := []string{tt.me, tt.others}; !slices.Equal(got, want) {
			t.Errorf("%s\nmentions %q, want %q", tt.text, got, want)
		}
		marked := eval[bool](p, `[...document.querySelectorAll("#lines .message")].at(-1).classList.contains("mentioned")`)
		if want := tt.me != ""; marked != want {
			t.Errorf("%s: marked %t, want %t", tt.text, marked, want)
		}
	}
	p.quiet()
}

// Whoever is chosen in the list is mentioned in what is being written.
func TestMentionFromTheList(t *testing.T) {
	s := serve(t)
	p := open(t, s)
	join(t, s, "lobby", `{"name": "Bob"}`)
	eval[any](p, `document.querySelector("#count").click()`)
	p.wait(is(names, "anonymous (you)", "Bob"))
	p.say("hello")
	p.press("dear")
	eval[any](p, `document.querySelector(".mentions").click()`)
	p.press("how are you?")
	p.enter()
	p.wait(shows("dear @Bob how are you?"))
	p.quiet()
}

// hides makes the tab one that nobody looks at, or the one in front again.
func (p *tab) hides(hidden bool) {
	p.t.Helper()
	state := "visible"
	if hidden {
		state = "hidden"
	}
	eval[any](p, strings.ReplaceAll(`{
		Object.defineProperty(document, "visibilityState", { configurable: true, get: () => "STATE" });
		document.dispatchEvent(new Event("visibilitychange"));
	}`, "STATE", state))
}

// notified keeps what the page tells the system instead of telling it.
const notified = `{
	window.notified = [];
	window.Notification = class extends EventTarget {
		static permission = "default";
		static async requestPermission() { return (this.permission = "granted"); }
		constructor(title, { body }) { super(); window.notified.push(title + ": " + body); }
	};
}`

func TestUnread(t *testing.T) {
	s := serve(t)
	p := open(t, s, notified)
	p.named("Ann")
	p.wait(connected)
	c := join(t, s, "lobby", `{"name": "Bob"}`)
	c.say(t, "lobby", "seen")
	p.wait(shows("seen"))
	p.wait(`document.querySelector("#announce").textContent === "Bob: seen"`)

	if !eval[bool](p, `!document.querySelector("#notify").hidden`) {
		t.Error("notifications aren't offered")
	}
	eval[any](p, `document.querySelector("#notify").click()`)
	p.wait(`document.querySelector("#notify").hidden`)

	p.hides(true)
	c.say(t, "lobby", "one", "@Ann two", "three")
	p.wait(`document.title === "(3) #lobby – hubbub"`)
	p.wait(is(`window.notified`, "Bob in #lobby: @Ann two"))
	if eval[bool](p, `document.querySelector("#announce").textContent !== "Bob: seen"`) {
		t.Error("a screen reader is told what happens in a hidden tab")
	}

	p.hides(false)
	p.wait(`document.title === "#lobby – hubbub"`)
	fresh := `[...document.querySelectorAll(".fresh")].map((n) => n.parentElement.querySelector(".body").textContent)`
	p.wait(is(fresh, "one"))
	c.say(t, "lobby", "four")
	p.wait(shows("four"))
	p.wait(is(fresh, "one"))
	p.say("my own")
	p.wait(shows("my own"))
	p.wait(is(fresh))
	p.quiet()
}
