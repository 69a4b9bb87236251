package e2e

import (
	"testing"

	"github.com/chromedp/chromedp"
)

func TestTwoInARoom(t *testing.T) {
	s := serve(t)
	ann, bob := open(t, s), open(t, s)
	ann.named("Ann")
	bob.named("Bob")
	for _, p := range []*tab{ann, bob} {
		p.wait(`document.querySelector("#count").textContent === "2 here"`)
	}
	ann.say("hello")
	bob.wait(shows("hello"))
	bob.say("hello yourself")
	for _, p := range []*tab{ann, bob} {
		p.wait(is(texts, "hello", "hello yourself"))
		p.wait(is(`[...document.querySelectorAll(".message .name")].map((n) => n.textContent)`, "Ann", "Bob"))
		p.wait(`document.querySelector("#outbox").children.length === 0`)
		p.quiet()
	}
	own := `[...document.querySelectorAll(".message.own .body")].map((n) => n.textContent)`
	ann.wait(is(own, "hello"))
	bob.wait(is(own, "hello yourself"))
}

func TestRoomsAreApart(t *testing.T) {
	s := serve(t)
	here, there, left := blank(t), blank(t), blank(t)
	here.visit(s, "here")
	left.visit(s, "here")
	there.visit(s, "ü & %25")
	if got := eval[string](there, `document.querySelector("#room").value`); got != "ü & %" {
		t.Errorf("room %q, want what the address says", got)
	}
	there.wait(`document.title === "#ü & % – hubbub"`)
	here.say("in here")
	there.say("in there")
	here.wait(is(texts, "in here"))
	left.wait(`document.querySelector("#count").textContent === "2 here"`)
	there.wait(is(texts, "in there"))

	// Going to the other's room by hand; nothing of the one before comes along.
	here.do(chromedp.Focus(chromedp.CSS("#room")))
	eval[any](here, `document.querySelector("#room").select()`)
	here.press("ü & %")
	here.enter()
	here.wait(`decodeURIComponent(location.hash) === "#ü & %"`)
	here.wait(connected)
	left.wait(`document.querySelector("#count").textContent === "1 here"`)
	there.say("welcome")
	here.wait(shows("welcome"))
	if eval[bool](here, shows("in here")) {
		t.Error("the room before is still shown")
	}
	for _, p := range []*tab{here, there} {
		p.wait(`document.querySelector("#count").textContent === "2 here"`)
		p.quiet()
	}
}

func TestWhoComesAndGoes(t *testing.T) {
	s := serve(t)
	p := open(t, s)
	p.named("Ann")
	p.wait(connected)
	p.do(chromedp.Click(chromedp.CSS("#count")))
	p.wait(is(names, "Ann (you)"))
	bob := join(t, s, "lobby", `{"name": "Bob"}`)
	carol := join(t, s, "lobby", `{"name": "Carol"}`)
	p.wait(is(names, "Ann (you)", "Bob", "Carol"))
	bob.conn.Close()
	p.wait(is(names, "Ann (you)", "Carol"))
	if err := carol.ask(`"unsubscribe": {"channel": "chat:lobby"}`); err != nil {
		t.Fatal(err)
	}
	p.wait(is(names, "Ann (you)"))
	p.wait(is(happenings, "Bob is here", "Carol is here", "Bob has left", "Carol has left"))
	p.wait(`document.querySelector("#count").textContent === "1 here"`)
	p.quiet()
}

func TestNameIsRememberedAndCanBeChanged(t *testing.T) {
	s := serve(t)
	p, other := open(t, s), open(t, s)
	other.do(chromedp.Click(chromedp.CSS("#count")))
	p.named("Ann")
	other.wait(is(names, "anonymous (you)", "Ann"))
	p.visit(s)
	p.do(chromedp.Reload())
	p.wait(connected)
	other.wait(is(names, "anonymous (you)", "Ann"))
	eval[any](p, `document.querySelector("#name").select()`)
	p.named("Bea")
	other.wait(is(names, "anonymous (you)", "Bea"))
	p.wait(connected)
	p.say("it's me")
	other.wait(`document.querySelector(".message .name")?.textContent === "Bea"`)
	p.quiet()
	other.quiet()
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

// Whoever has the focus in the list keeps it while others come and go.
func TestFocusInTheList(t *testing.T) {
	s := serve(t)
	p := open(t, s)
	join(t, s, "lobby", `{"name": "Bob"}`)
	eval[any](p, `document.querySelector("#count").click()`)
	p.wait(is(names, "anonymous (you)", "Bob"))
	eval[any](p, `document.querySelector(".mentions").focus()`)
	abe := join(t, s, "lobby", `{"name": "Abe"}`)
	join(t, s, "lobby", `{"name": "Carol"}`)
	p.wait(is(names, "anonymous (you)", "Abe", "Bob", "Carol"))
	abe.conn.Close()
	p.wait(is(names, "anonymous (you)", "Bob", "Carol"))
	if got := eval[string](p, `document.activeElement.textContent`); got != "Bob" {
		t.Errorf("the focus is on %q, want Bob", got)
	}
	p.quiet()
}

// Of more than a thousand the server keeps no list: their number is shown.
func TestTooManyForAList(t *testing.T) {
	s := serve(t, "-max-conns", "3000")
	for range 1_000 {
		join(t, s, "lobby", `{"name": "Bob"}`)
	}
	p := open(t, s)
	p.wait(`document.querySelector("#count").textContent === "1,001 here"`)
	eval[any](p, `document.querySelector("#count").click()`)
	p.wait(`document.querySelector("#rest").textContent === "Too many for a list."`)
	p.wait(is(names))
	p.say("hello")
	p.wait(shows("hello"))
	p.quiet()
}

// Of a long list the document has a part.
func TestLongList(t *testing.T) {
	s := serve(t)
	p := open(t, s)
	for range 300 {
		join(t, s, "lobby", `{"name": "Bob"}`)
	}
	p.wait(`document.querySelector("#count").textContent === "301 here"`)
	eval[any](p, `document.querySelector("#count").click()`)
	p.wait(`document.querySelector("#rest").textContent === "and 101 more"`)
	p.wait(names + `.length === 200`)
	p.quiet()
}
