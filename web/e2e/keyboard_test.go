package e2e

import (
	"fmt"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

const box = `document.querySelector("#text").value`

func TestEnterSendsUnlessAnInputMethodTakesIt(t *testing.T) {
	s := serve(t)
	p := open(t, s)
	p.do(chromedp.Focus(chromedp.CSS("#text")))
	p.press("hello")

	events := map[string]string{
		"composing":         `{ key: "Enter", isComposing: true }`,
		"composing, Safari": `{ key: "Enter", keyCode: 229 }`,
		"with Shift":        `{ key: "Enter", shiftKey: true }`,
		"another key":       `{ key: "a" }`,
	}
	for name, init := range events {
		untouched := eval[bool](p, fmt.Sprintf(`document.querySelector("#text").dispatchEvent(
			new KeyboardEvent("keydown", { bubbles: true, cancelable: true, ...%s }))`, init))
		if !untouched {
			t.Errorf("%s: the page took the key", name)
		}
		if got := eval[string](p, box); got != "hello" {
			t.Errorf("%s: the message box holds %q, want it untouched", name, got)
		}
	}

	// Shift+Enter is a new line; Enter sends both, once.
	p.enter(kb.ModifierShift)
	p.press("world")
	p.enter()
	p.wait(shows("hello\nworld"))
	if n := eval[int](p, `document.querySelectorAll(".message").length`); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
	if got := eval[string](p, box); got != "" {
		t.Errorf("message box after sending %q, want it empty", got)
	}
	p.quiet()
}

// The same with a composition that the browser itself knows to be under way.
func TestEnterDuringComposition(t *testing.T) {
	s := serve(t)
	p := open(t, s)
	p.do(chromedp.Focus(chromedp.CSS("#text")))
	eval[any](p, `document.querySelector("#text").addEventListener("keydown", (event) => {
		window.composing = event.isComposing;
		window.taken = event.defaultPrevented;
	})`)

	call(p, input.ImeSetComposition, input.ImeSetCompositionParams{Text: "にほんご", SelectionStart: 4, SelectionEnd: 4})
	call(p, input.DispatchKeyEvent, input.DispatchKeyEventParams{
		Type: input.DispatchKeyEventTypeRawKeyDown, Key: "Enter", Code: "Enter", WindowsVirtualKeyCode: 13,
	})
	if !eval[bool](p, `window.composing`) {
		t.Fatal("the browser doesn't count the key as part of the composition; the test proves nothing")
	}
	if eval[bool](p, `window.taken`) {
		t.Error("the page took the key that belongs to the input method")
	}

	call(p, input.InsertText, input.InsertTextParams{Text: "日本語"})
	if got := eval[string](p, box); got != "日本語" {
		t.Fatalf("the message box holds %q after the composition, want 日本語", got)
	}
	p.enter()
	p.wait(shows("日本語"))
	if n := eval[int](p, `document.querySelectorAll(".message").length`); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
	p.quiet()
}

func TestKeyboardAlone(t *testing.T) {
	s := serve(t)
	p := open(t, s)
	p.wait(`!document.querySelector("#count").hidden`)
	// From the top of the page, as somebody who doesn't use a mouse finds it.
	eval[any](p, `document.activeElement.blur()`)
	var order []string
	for len(order) == 0 || order[len(order)-1] != "send" {
		p.press(kb.Tab)
		focused := eval[string](p, `document.activeElement.id`)
		order = append(order, focused)
		if !eval[bool](p, `document.activeElement.matches(":focus-visible")
			&& getComputedStyle(document.activeElement).outlineStyle !== "none"`) {
			t.Errorf("the focus on %q can't be seen", focused)
		}
		switch focused {
		case "name":
			p.press("Ann")
		case "text":
			p.press("hello")
		}
		if len(order) > 20 {
			break
		}
	}
	if got, want := fmt.Sprint(order), "[room notify count log name text send]"; got != want {
		t.Errorf("Tab goes %s, want %s", got, want)
	}
	p.wait(connected)
	p.enter()
	p.wait(shows("hello"))

	// The cursor is back where the next message goes.
	p.press("again")
	p.enter()
	p.wait(shows("again"))
	if got := eval[string](p, `document.querySelector(".message .name").textContent`); got != "Ann" {
		t.Errorf("name %q, want Ann", got)
	}
	p.quiet()
}

// Enter in the name field goes on to the message; it doesn't send it.
func TestEnterInTheNameGoesToTheMessage(t *testing.T) {
	s := serve(t)
	p := open(t, s)
	p.do(chromedp.Focus(chromedp.CSS("#text")))
	p.press("hello")
	p.named("Ann") // which ends with Enter
	if got := eval[string](p, `document.activeElement.id`); got != "text" {
		t.Errorf("the focus is on %q, want text", got)
	}
	if got := eval[string](p, box); got != "hello" {
		t.Errorf("the message box holds %q, want it untouched", got)
	}
	p.quiet()
}

// Escape closes the list of who is here, and the focus goes back to what opened
// it; otherwise it leads to where one writes.
func TestEscape(t *testing.T) {
	s := serve(t)
	p := open(t, s)
	join(t, s, "lobby", `{"name": "Bob"}`)
	p.named("Ann")
	p.wait(`document.querySelector("#count").textContent === "2 here"`)
	p.do(chromedp.Focus(chromedp.CSS("#count")))
	p.enter()
	p.wait(`!document.querySelector("#people").hidden && document.querySelector("#count").ariaExpanded === "true"`)
	p.wait(`document.querySelector("#names button") !== null`)
	p.press(kb.Tab)
	p.press(kb.Tab)
	p.wait(`document.activeElement.textContent === "Bob"`)
	p.press(kb.Escape)
	p.wait(`document.querySelector("#people").hidden && document.querySelector("#count").ariaExpanded === "false"`)
	if got := eval[string](p, `document.activeElement.id`); got != "count" {
		t.Errorf("the focus is on %q, want count", got)
	}
	p.do(chromedp.Focus(chromedp.CSS("#log")))
	p.press(kb.Escape)
	p.wait(`document.activeElement.id === "text"`)
	p.quiet()
}
