package e2e

import (
	"fmt"
	"testing"
)

// unreachable is what Chromium writes to the console when the server isn't
// there: whether the page connects, or the browser asks for its icon just then.
var unreachable = []string{"WebSocket connection to", "Failed to load resource: net::ERR_"}

// lossy lets a test lose what the page sends, with window.mute, and what it is
// sent, with window.deaf.
const lossy = `{
	const { send } = WebSocket.prototype;
	WebSocket.prototype.send = function (data) { if (!window.mute) send.call(this, data); };
	const { set } = Object.getOwnPropertyDescriptor(WebSocket.prototype, "onmessage");
	Object.defineProperty(WebSocket.prototype, "onmessage", {
		set(handle) { set.call(this, (event) => { if (!window.deaf) handle(event); }); },
	});
}`

// pendings are the texts under way, with their states.
const pendings = `[...document.querySelectorAll("#outbox .pending")].map((n) => n.dataset.state + " " + n.querySelector(".body").textContent)`

func TestFailedMessageIsSentAgain(t *testing.T) {
	s := serve(t)
	writer, reader := open(t, s, lossy), open(t, s)
	writer.say("arrives")
	reader.wait(shows("arrives"))
	eval[any](writer, `window.mute = true`)
	writer.say("gets lost")
	writer.wait(is(pendings, "sending gets lost"))
	writer.wait(is(pendings, "failed gets lost"))
	if !eval[bool](writer, `document.querySelector("#outbox [role=alert]").textContent === "Not sent"`) {
		t.Error("a screen reader isn't told that a message failed")
	}
	eval[any](writer, `window.mute = false; document.querySelector("#outbox button").click()`)
	for _, p := range []*tab{writer, reader} {
		p.wait(is(texts, "arrives", "gets lost"))
		p.wait(is(pendings))
		p.quiet()
	}
}

// What is written while there is no server fails, stays, and can be sent later.
func TestWrittenWhileDisconnected(t *testing.T) {
	s := serve(t)
	p := open(t, s)
	s.kill()
	p.wait(disconnected)
	p.say("meanwhile")
	p.wait(is(pendings, "failed meanwhile"))
	s.start()
	p.wait(connected)
	eval[any](p, `document.querySelector("#outbox button").click()`)
	p.wait(is(texts, "meanwhile"))
	p.wait(is(pendings))
	p.quiet(unreachable...)
}

// A message whose acknowledgement got lost has arrived all the same: that comes
// out when the page is back, and it isn't doubled.
func TestArrivedWithoutAcknowledgement(t *testing.T) {
	s := serve(t)
	p, reader := open(t, s, lossy), open(t, s)
	p.say("first")
	p.wait(is(texts, "first"))
	eval[any](p, `window.deaf = true`)
	p.say("unheard")
	reader.wait(shows("unheard"))
	eval[any](p, `window.dispatchEvent(new Event("offline"))`)
	p.wait(is(pendings, "failed unheard"))
	eval[any](p, `window.deaf = false; window.dispatchEvent(new Event("online"))`)
	p.wait(is(texts, "first", "unheard"))
	p.wait(is(pendings))
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
