package e2e

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// The page is away while the server is killed and started again and others
// write: what it missed appears, each message once and in order.
func TestServerKilledWhileOthersWrite(t *testing.T) {
	s := serve(t)
	p := open(t, s, freezable)
	c := join(t, s, "lobby", `{"name": "Bob"}`)
	c.say(t, "lobby", numbered(1, 5)...)
	p.wait(is(texts, numbered(1, 5)...))

	eval[any](p, `window.frozen = true`) // it doesn't come back by itself
	c.say(t, "lobby", numbered(6, 10)...)
	s.kill()
	p.wait(disconnected)
	s.start()
	c = join(t, s, "lobby", `{"name": "Bob"}`)
	c.say(t, "lobby", numbered(11, 20)...)
	eval[any](p, `window.frozen = false; document.querySelector("#retry").click()`)
	p.wait(connected)
	c.say(t, "lobby", numbered(21, 25)...)
	p.wait(shows("message 25"))
	p.wait(is(texts, numbered(1, 25)...))
	if eval[int](p, `document.querySelectorAll("[data-kind=missing]").length`) != 0 {
		t.Error("the page says that messages may be missing")
	}
	p.quiet(unreachable...)
}

// Where the server has forgotten what was said, or keeps nothing, the page says
// so, and shows what there is.
func TestServerForgets(t *testing.T) {
	tests := []struct {
		name  string
		flags []string
		shown []string
	}{
		{"history lost", nil, numbered(1, 10)},
		{"no history", []string{"-namespaces", `{"chat": {"subscribe": "anyone", "publish": "subscribers", "presence": "subscribers", "join_leave": true}}`}, numbered(1, 5)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, tt.flags...)
			p := open(t, s, freezable)
			c := join(t, s, "lobby", `{"name": "Bob"}`)
			c.say(t, "lobby", numbered(1, 5)...)
			p.wait(is(texts, numbered(1, 5)...))
			eval[any](p, `window.frozen = true`)
			s.kill()
			p.wait(disconnected)
			s.data = t.TempDir()
			s.start()
			c = join(t, s, "lobby", `{"name": "Bob"}`)
			c.say(t, "lobby", numbered(6, 10)...)
			eval[any](p, `window.frozen = false; document.querySelector("#retry").click()`)
			p.wait(connected)
			p.wait(is(texts, tt.shown...))
			// It stands between what was known and what came then.
			p.wait(`document.querySelector("[data-kind=missing]")?.previousElementSibling.querySelector(".body")?.textContent === "message 5"`)
			if n := eval[int](p, `document.querySelectorAll("[data-kind=missing]").length`); n != 1 {
				t.Errorf("it is said %d times that messages may be missing, want once", n)
			}
			c.say(t, "lobby", "on it goes")
			p.wait(is(texts, append(tt.shown, "on it goes")...))
			p.quiet(unreachable...)
		})
	}
}

// More was said meanwhile than the server keeps.
func TestMoreWasSaidThanIsKept(t *testing.T) {
	s := serve(t, "-namespaces", `{"chat": {"subscribe": "anyone", "publish": "subscribers", "presence": "subscribers",
		"history": "subscribers", "history_size": 120, "recovery": true}}`)
	p := open(t, s, freezable)
	c := join(t, s, "lobby", `{"name": "Bob"}`)
	c.say(t, "lobby", numbered(1, 5)...)
	p.wait(is(texts, numbered(1, 5)...))
	eval[any](p, `window.frozen = true; window.dispatchEvent(new Event("offline"))`)
	p.wait(disconnected)
	c.say(t, "lobby", numbered(6, 200)...)
	eval[any](p, `window.frozen = false; document.querySelector("#retry").click()`)
	p.wait(shows("message 200"))
	p.wait(is(texts, append(numbered(1, 5), numbered(81, 200)...)...))
	p.wait(`document.querySelector("[data-kind=missing]")?.previousElementSibling.querySelector(".body")?.textContent === "message 5"`)
	p.quiet()
}

// Where there is a history but no recovery, what is said carries no offsets: the
// page has the history when it comes, and doubles nothing when it comes back.
func TestHistoryWithoutRecovery(t *testing.T) {
	s := serve(t, "-namespaces", `{"chat": {"subscribe": "anyone", "publish": "subscribers", "presence": "subscribers",
		"history": "subscribers", "history_size": 200}}`)
	c := join(t, s, "lobby", `{"name": "Bob"}`)
	c.say(t, "lobby", numbered(1, 5)...)
	p := open(t, s, freezable)
	p.wait(is(texts, numbered(1, 5)...))
	c.say(t, "lobby", numbered(6, 10)...)
	p.wait(is(texts, numbered(1, 10)...))
	eval[any](p, `window.frozen = true; window.dispatchEvent(new Event("offline"))`)
	p.wait(disconnected)
	eval[any](p, `window.frozen = false; document.querySelector("#retry").click()`)
	p.wait(`document.querySelectorAll("[data-kind=missing]").length === 1`)
	p.named("Ann") // asks for something and gets an answer, behind which a history would be
	p.wait(connected)
	p.say("on it goes")
	p.wait(is(texts, append(numbered(1, 10), "on it goes")...))
	p.quiet()
}

// What was said before is there for whoever comes.
func TestHistoryOnEntry(t *testing.T) {
	s := serve(t)
	c := join(t, s, "lobby", `{"name": "Bob"}`)
	c.say(t, "lobby", numbered(1, 40)...)
	p := open(t, s)
	p.wait(is(texts, numbered(11, 40)...))
	p.named("Ann")
	p.wait(connected)
	c.say(t, "lobby", numbered(41, 45)...)
	p.wait(is(texts, numbered(11, 45)...))
	p.wait(`document.querySelectorAll(".day").length === 1`)
	p.quiet()
}

// One worker after the other is killed while somebody writes. What the server
// has acknowledged appears once, and all in order.
func TestWorkersKilled(t *testing.T) {
	s := serve(t, "-workers", "2")
	tabs := []*tab{open(t, s), open(t, s), open(t, s)}
	var acknowledged []string
	var c *client
	n := 0
	write := func(count int) {
		for until := len(acknowledged) + count; len(acknowledged) < until; {
			if c == nil {
				var err error
				if c, err = dial(t, s); err != nil || c.enter("lobby", `{"name": "Bob"}`) != nil {
					c = nil
					continue
				}
			}
			// A number is never used again: one that failed may have arrived, or not.
			n++
			text := fmt.Sprint("message ", n)
			if c.publish("lobby", fmt.Sprintf(`{"text": %q}`, text)) != nil {
				c = nil
				continue
			}
			acknowledged = append(acknowledged, text)
		}
	}
	write(5)
	for _, pid := range s.workers() {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		write(10)
		for _, p := range tabs {
			p.wait(shows(acknowledged[len(acknowledged)-1]))
		}
	}
	for i, p := range tabs {
		var last int
		var shown []string
		for _, text := range eval[[]string](p, texts) {
			var n int
			if _, err := fmt.Sscanf(text, "message %d", &n); err != nil || n <= last {
				t.Errorf("tab %d: %q after message %d", i, text, last)
			}
			last = n
			shown = append(shown, text)
		}
		for _, text := range acknowledged {
			if !slices.Contains(shown, text) {
				t.Errorf("tab %d: %s is missing", i, text)
			}
		}
		p.quiet(unreachable...)
	}
}

func TestReconnectsWhenAsked(t *testing.T) {
	tests := map[string]string{
		"online": `window.dispatchEvent(new Event("online"))`,
		"button": `document.querySelector("#retry").click()`,
	}
	for name, trigger := range tests {
		t.Run(name, func(t *testing.T) {
			s := serve(t)
			p := open(t, s, freezable)
			eval[any](p, `window.frozen = true`)
			s.kill()
			p.wait(disconnected)
			s.start()
			eval[any](p, `window.frozen = false; `+trigger)
			p.wait(connected)
			p.quiet(unreachable...)
		})
	}
}

// A page in the back-forward cache holds no connection, and takes a new one
// when it is shown again.
func TestLetsGoWhileCached(t *testing.T) {
	s := serve(t)
	p, other := open(t, s), open(t, s)
	other.wait(`document.querySelector("#count").textContent === "2 here"`)
	eval[any](p, `window.dispatchEvent(new PageTransitionEvent("pagehide", { persisted: true }))`)
	other.wait(`document.querySelector("#count").textContent === "1 here"`)
	eval[any](p, `window.dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true }))`)
	p.wait(connected)
	p.say("back")
	other.wait(shows("back"))
	p.quiet()
}

// A room that may not be entered says why.
func TestRefusedRoom(t *testing.T) {
	s := serve(t, "-namespaces", `{"chat": {"subscribe": "nobody"}}`)
	p := blank(t)
	p.do(chromedp.Navigate(s.url()))
	p.wait(`document.querySelector("#status").textContent.startsWith("Not connected: ")`)
	p.quiet()
}

// What is said before the history has come is in both, and shown once.
func TestHistoryOverlapsWithWhatIsHeard(t *testing.T) {
	s := serve(t)
	c := join(t, s, "lobby", `{"name": "Bob"}`)
	c.say(t, "lobby", numbered(1, 5)...)
	p := open(t, s, `{
		const { send } = WebSocket.prototype;
		WebSocket.prototype.send = function (data) {
			if (data.includes('"history"')) window.release = () => send.call(this, data);
			else send.call(this, data);
		};
	}`)
	c.say(t, "lobby", numbered(6, 10)...)
	p.wait(is(texts, numbered(6, 10)...))
	p.wait(`"release" in window`)
	eval[any](p, `release()`)
	p.wait(shows("message 1"))
	p.wait(is(texts, numbered(1, 10)...))
	p.quiet()
}

// Scrolling back loads the history page by page, as far as it goes; what isn't
// a message in it stops nobody.
func TestScrollingBackLoadsHistory(t *testing.T) {
	s := serve(t, "-namespaces", `{"chat": {"subscribe": "anyone", "publish": "subscribers", "presence": "subscribers",
		"history": "subscribers", "history_size": 500, "recovery": true}}`)
	c := join(t, s, "lobby", `{"name": "Bob"}`)
	c.say(t, "lobby", numbered(1, 100)...)
	for range 120 { // more than are asked for at once
		if err := c.publish("lobby", `"not a message"`); err != nil {
			t.Fatal(err)
		}
	}
	c.say(t, "lobby", numbered(101, 280)...)
	for range 70 {
		if err := c.publish("lobby", `{"text": ""}`); err != nil {
			t.Fatal(err)
		}
	}
	p := open(t, s)
	p.wait(shows("message 280"))
	p.wait(scrolledToEnd)
	if eval[bool](p, shows("message 1")) {
		t.Fatal("all of the history is loaded at once; the test proves nothing")
	}
	p.wait(`(` + toTheTop + `, ` + shows("message 1") + `)`)
	p.wait(is(texts, numbered(1, 280)...))
	c.say(t, "lobby", "news")
	p.wait(jumpOffered)
	p.quiet()
}

// What was said on another day stands under that day.
func TestDays(t *testing.T) {
	s := serve(t)
	c := join(t, s, "lobby", `{"name": "Bob"}`)
	day := time.Date(2025, time.March, 5, 12, 0, 0, 0, time.Local)
	for i, at := range []time.Time{day, day.Add(time.Minute), day.AddDate(0, 0, 1), time.Now()} {
		if err := c.publish("lobby", fmt.Sprintf(`{"text": "message %d", "at": %d}`, i, at.UnixMilli())); err != nil {
			t.Fatal(err)
		}
	}
	p := open(t, s)
	p.wait(shows("message 3"))
	under := `[...document.querySelectorAll(".day")].map((n) => n.textContent.replace(/,? 20\d\d/, "") + ": " + n.parentElement.querySelector(".body").textContent)`
	p.wait(is(under, "Wednesday, March 5: message 0", "Thursday, March 6: message 2", time.Now().Format("Monday, January 2")+": message 3"))
	if got := eval[string](p, `document.querySelector(".message .time").dateTime`); got != day.UTC().Format("2006-01-02T15:04:05.000Z") {
		t.Errorf("message 0 has the time %s, want %s", got, day.UTC())
	}
	p.quiet()
}
