package e2e

import (
	"slices"
	"testing"
)

// unreachable is what Chromium writes to the console when the server isn't
// there, or doesn't take the handshake: whether the page connects, or asks for
// the count in that moment.
var unreachable = []string{"WebSocket connection to", "Failed to load resource: net::ERR_CONNECTION_"}

// system is the expression for the number of log lines of a kind.
func system(kind string) string {
	return `document.querySelectorAll('.system[data-kind="` + kind + `"]').length`
}

func TestServerGoesAwayAndComesBack(t *testing.T) {
	s := serve(t)
	writer, reader := open(t, s), open(t, s)
	tabs := []*tab{writer, reader}
	writer.say("before")
	reader.wait(shows("before"))

	s.stop()
	for _, p := range tabs {
		p.wait(disconnected)
		p.wait(system("close") + ` === 1`)
		if !eval[bool](p, `document.querySelector("#send").disabled`) {
			t.Error("a message could be sent to nobody")
		}
		if !eval[bool](p, `document.querySelector("#count").hidden`) {
			t.Error("a count is shown without a connection")
		}
	}
	writer.say("meanwhile")
	if got := eval[string](writer, `document.querySelector("#text").value`); got != "meanwhile" {
		t.Errorf("text written while disconnected: %q, want it kept", got)
	}
	// Several attempts fail, and the log doesn't fill with them.
	writer.wait(`/attempt [3-9]/.test(document.querySelector("#status").textContent)`)
	if n := eval[int](writer, system("close")+" + "+system("error")); n != 1 {
		t.Errorf("%d lines for one outage, want 1", n)
	}

	s.start()
	for _, p := range tabs {
		p.wait(connected)
		p.wait(system("open") + ` === 2`)
		if eval[bool](p, shows("meanwhile")) {
			t.Error("what was written while disconnected was sent unasked")
		}
	}
	writer.enter()
	reader.wait(shows("meanwhile"))
	reader.say("after")
	writer.wait(shows("after"))
	for _, p := range tabs {
		p.quiet(unreachable...)
	}
}

func TestFirstAttemptFails(t *testing.T) {
	s := serve(t)
	p := open(t, s, `{
		const { WebSocket } = window;
		let path = "/nowhere";
		window.WebSocket = class extends WebSocket {
			constructor(url) {
				super(url.replace("/ws", path));
				path = "/ws";
			}
		};
	}`)
	p.wait(system("open") + ` === 1`)
	kinds := eval[[]string](p, `[...document.querySelectorAll(".system")].map((n) => n.dataset.kind)`)
	if want := []string{"error", "close", "open"}; !slices.Equal(kinds, want) {
		t.Errorf("lines %v, want %v", kinds, want)
	}
	p.say("hello")
	p.wait(shows("hello"))
	p.quiet(unreachable...)
}

func TestReconnectsAtOnceWhenAsked(t *testing.T) {
	tests := map[string]string{
		"online":  `window.dispatchEvent(new Event("online"))`,
		"visible": `document.dispatchEvent(new Event("visibilitychange"))`,
		"button":  `document.querySelector("#retry").click()`,
	}
	for name, trigger := range tests {
		t.Run(name, func(t *testing.T) {
			s := serve(t)
			p := open(t, s, freezable)
			eval[any](p, `window.frozen = true`)
			s.stop()
			p.wait(disconnected)
			s.start()
			eval[any](p, trigger)
			p.wait(connected)
			p.quiet(unreachable...)
		})
	}
}

func TestUnconfirmedMessageComesBackToItsWriter(t *testing.T) {
	s := serve(t)
	p := open(t, s, `{
		const { send } = WebSocket.prototype;
		WebSocket.prototype.send = function (data) { if (!window.lost) send.call(this, data); };
	}`)
	p.say("arrives")
	p.wait(shows("arrives"))
	eval[any](p, `window.lost = true`)
	p.say("one")
	p.say("two")
	if got := eval[string](p, `document.querySelector("#text").value`); got != "" {
		t.Fatalf("message box after sending: %q, want it empty", got)
	}
	s.stop()
	p.wait(system("notice") + ` === 1`)
	if got := eval[string](p, `document.querySelector("#text").value`); got != "one\ntwo" {
		t.Errorf("message box %q, want what got lost", got)
	}
	p.quiet(unreachable...)
}

// A page in the back-forward cache holds no connection, and takes a new one
// when it is shown again.
func TestLetsGoWhileCached(t *testing.T) {
	s := serve(t)
	p := open(t, s)
	eval[any](p, `window.dispatchEvent(new PageTransitionEvent("pagehide", { persisted: true }))`)
	p.wait(`document.querySelector("#status").dataset.state === "stopped"`)
	eval[any](p, `window.dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true }))`)
	p.wait(connected)
	p.say("back")
	p.wait(shows("back"))
	p.quiet()
}
