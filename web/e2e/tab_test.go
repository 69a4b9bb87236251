package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// tab is one browser tab with a profile of its own, so that two tabs are two
// people.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	problems []string // what the console was told, guarded by mu
}

// open opens a tab with the page and waits until it is connected. The scripts
// run before the page's own.
func open(t *testing.T, s *server, scripts ...string) *tab {
	t.Helper()
	p := blank(t, scripts...)
	p.visit(s)
	return p
}

// blank opens an empty tab that is closed with the test.
func blank(t *testing.T, scripts ...string) *tab {
	t.Helper()
	p := &tab{t: t}
	ctx, cancel := chromedp.NewContext(browser,
		chromedp.WithNewBrowserContext(),
		chromedp.WithListener(p.listen))
	t.Cleanup(cancel)
	p.ctx = ctx
	p.do() // opens the tab; its life must not hang on a context with a deadline
	for _, source := range append(scripts, recordViolations) {
		call(p, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: source})
	}
	return p
}

// recordViolations keeps what the page's own policy had to refuse.
const recordViolations = `
	window.violations = [];
	document.addEventListener("securitypolicyviolation", (event) =>
		window.violations.push(event.effectiveDirective + " " + event.blockedURI + " " + event.sample));`

// freezable lets a test stop the page's timers with window.frozen, so that
// nothing but what is under test can make the page act. Like every script that
// runs before the page it keeps its names in a block: a const at the top would
// hide the window's property of that name from the page.
const freezable = `{
	const { setTimeout } = window;
	window.setTimeout = (f, ms, ...rest) => window.frozen ? 0 : setTimeout(f, ms, ...rest);
}`

// visit goes to a room, lobby if none is named, and waits until it is open.
func (p *tab) visit(s *server, room ...string) {
	p.t.Helper()
	url := s.url()
	if len(room) > 0 {
		url += "#" + strings.Join(room, "")
	}
	p.do(chromedp.Navigate(url))
	p.wait(connected)
}

// listen runs on the goroutine that reads the browser's messages.
func (p *tab) listen(ev any) {
	var problem string
	switch ev := ev.(type) {
	case *runtime.EventExceptionThrown:
		problem = ev.ExceptionDetails.Text
		if o := ev.ExceptionDetails.Exception; o != nil {
			problem += " " + o.Description
		}
	case *runtime.EventConsoleAPICalled:
		problem = fmt.Sprintf("console.%s", ev.Type)
		for _, arg := range ev.Args {
			problem += " " + string(arg.Value)
		}
	case *log.EventEntryAdded:
		problem = fmt.Sprintf("%s %s: %s", ev.Entry.Source, ev.Entry.Level, ev.Entry.Text)
	default:
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.problems = append(p.problems, problem)
}

// quiet fails the test if the console was told anything, or the page's policy
// had to refuse something. expected are parts of what may be there.
func (p *tab) quiet(expected ...string) {
	p.t.Helper()
	p.mu.Lock()
	problems := slices.Clone(p.problems)
	p.mu.Unlock()
	for _, problem := range append(problems, eval[[]string](p, `window.violations`)...) {
		if !slices.ContainsFunc(expected, func(part string) bool { return strings.Contains(problem, part) }) {
			p.t.Errorf("console or policy: %s", problem)
		}
	}
}

// do runs actions in the tab, and fails the test if one does.
func (p *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, actions...); err != nil {
		p.t.Fatal(err)
	}
}

// press types text, or presses the named keys of package kb other than Enter.
func (p *tab) press(keys string) {
	p.t.Helper()
	p.do(chromedp.KeyEvent(keys))
}

// wait waits until a JavaScript expression is true in the tab.
func (p *tab) wait(expression string) {
	p.t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !eval[bool](p, expression) {
		select {
		case <-tick.C:
		case <-deadline:
			p.t.Fatalf("never came: %s\nthe page shows:\n%s", expression, eval[string](p, `document.body.innerText`))
		}
	}
}

// eval returns the value of a JavaScript expression, or what its promise brings.
func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	value, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// call sends one command of the DevTools protocol.
func call[P, R any](p *tab, command cdp.Command[P, R], params P) R {
	p.t.Helper()
	result, err := chromedp.Call(p.ctx, command, params)
	if err != nil {
		p.t.Fatal(err)
	}
	return result
}

// Expressions about the page, used by several tests.
const (
	connected    = `document.querySelector("#banner")?.dataset.state === "open"`
	disconnected = `document.querySelector("#banner").dataset.state === "retrying"`
	// texts are those of all messages in the document that have come from the server, in order.
	texts = `[...document.querySelectorAll("#lines .message .body")].map((n) => n.textContent)`
	// happenings are the lines that say who has come and gone, without the time, and that messages may be missing.
	happenings = `[...document.querySelectorAll("#lines .happening")].map((n) =>
		[...n.childNodes].filter((c) => c.nodeName !== "TIME").map((c) => c.textContent).join("").trim())`
	names = `[...document.querySelectorAll("#names .person")].map((n) => n.textContent)`
)

// shows is the expression for a message with exactly this text in the log.
func shows(text string) string {
	return fmt.Sprintf(`%s.includes(%q)`, texts, text)
}

// is is the expression for a list of strings to be this.
func is(list string, want ...string) string {
	quoted, _ := json.Marshal(append([]string{}, want...)) // strings can be encoded
	return fmt.Sprintf(`JSON.stringify(%s) === JSON.stringify(%s)`, list, quoted)
}

// say writes a message the way people do.
func (p *tab) say(text string) {
	p.t.Helper()
	p.do(chromedp.Focus(chromedp.CSS("#text")), chromedp.KeyEvent(text))
	p.enter()
}

// enter presses Enter with the events that a keyboard makes: the character
// follows a raw key press, and is left out if the page took that. The events
// of chromedp.KeyEvent aren't connected that way.
func (p *tab) enter(modifiers ...kb.Modifier) {
	p.t.Helper()
	for _, typ := range []input.DispatchKeyEventType{
		input.DispatchKeyEventTypeRawKeyDown, input.DispatchKeyEventTypeChar, input.DispatchKeyEventTypeKeyUp,
	} {
		event := input.DispatchKeyEventParams{Type: typ, Key: "Enter", Code: "Enter", WindowsVirtualKeyCode: 13}
		if typ == input.DispatchKeyEventTypeChar {
			event.Text = "\r"
		}
		for _, m := range modifiers {
			event.Modifiers |= int64(m)
		}
		call(p, input.DispatchKeyEvent, event)
	}
}

// named fills in the name, which counts when the field is left.
func (p *tab) named(name string) {
	p.t.Helper()
	p.do(chromedp.Focus(chromedp.CSS("#name")), chromedp.KeyEvent(name))
	p.enter()
}
