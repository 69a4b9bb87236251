package e2e

import (
	"fmt"
	"testing"
)

const (
	scrolledToEnd = `(() => {
		const log = document.querySelector("#log");
		return log.scrollHeight - log.clientHeight - log.scrollTop < 2;
	})()`
	jumpOffered = `!document.querySelector("#jump").hidden`
	toTheTop    = `document.querySelector("#log").scrollTop = 0`
)

// numbered returns texts that differ, from one number up to another.
func numbered(from, to int) []string {
	var texts []string
	for i := from; i <= to; i++ {
		texts = append(texts, fmt.Sprint("message ", i))
	}
	return texts
}

func TestLogFollowsOnlyAReaderAtTheEnd(t *testing.T) {
	s := serve(t)
	p := open(t, s)
	c := join(t, s, "lobby", `{"name": "Bob"}`)
	c.say(t, "lobby", numbered(1, 100)...)
	p.wait(shows("message 100"))
	p.wait(scrolledToEnd)
	if eval[bool](p, jumpOffered) {
		t.Error("a reader at the end is offered the way there")
	}

	eval[any](p, `new Promise((resolve) => {
		const log = document.querySelector("#log");
		log.addEventListener("scroll", resolve, { once: true });
		log.scrollTop = 0;
	})`)
	c.say(t, "lobby", "news")
	p.wait(jumpOffered)
	p.wait(`document.title === "(1) #lobby – hubbub"`)
	if top := eval[float64](p, `document.querySelector("#log").scrollTop`); top != 0 {
		t.Errorf("the log moved under the reader, to %v", top)
	}

	eval[any](p, `document.querySelector("#jump").click()`)
	p.wait(scrolledToEnd)
	p.wait(shows("news"))
	p.wait("!" + jumpOffered)
	p.wait(`document.title === "#lobby – hubbub"`)
	p.quiet()
}

// The document holds a bounded part of a long log; scrolling back brings all of
// it, in order, and each message once.
func TestFiveThousandMessages(t *testing.T) {
	const count = 5_000
	s := serve(t)
	p := open(t, s)
	c := join(t, s, "lobby", `{"name": "Bob"}`)
	for n := 0; n < count; n += 500 {
		c.say(t, "lobby", numbered(n+1, n+500)...)
		p.wait(shows(fmt.Sprint("message ", n+500)))
		if nodes := eval[int](p, `document.querySelectorAll("*").length`); nodes > 3_000 {
			t.Fatalf("after %d messages the document has %d elements", n+500, nodes)
		}
	}
	p.wait(scrolledToEnd)

	// What is seen on the way back is collected, each time before the page moves on.
	eval[any](p, `{
		window.seen = new Map();
		window.orderly = true;
		window.look = () => {
			const numbers = `+texts+`.map((text) => Number(text.split(" ")[1]));
			orderly &&= numbers.every((n, i) => i === 0 || n === numbers[i - 1] + 1);
			for (const n of numbers) seen.set(n, true);
			return seen.size;
		};
	}`)
	for before := 0; before < count; {
		p.wait(fmt.Sprintf(`look() > %d || (%s, false)`, before, toTheTop))
		before = eval[int](p, `seen.size`)
		if nodes := eval[int](p, `document.querySelectorAll("*").length`); nodes > 3_000 {
			t.Fatalf("scrolled back by %d messages the document has %d elements", before, nodes)
		}
	}
	if !eval[bool](p, `orderly`) {
		t.Error("messages are doubled, left out or in another order on the way back")
	}
	p.wait(shows("message 1"))

	// And forth again, where the reader comes to the end and follows it.
	p.wait(`((log) => { log.scrollTop = log.scrollHeight; return ` + shows(fmt.Sprint("message ", count)) + `; })(document.querySelector("#log"))`)
	p.wait(`((log) => { log.scrollTop = log.scrollHeight; return true; })(document.querySelector("#log"))`)
	p.wait(scrolledToEnd)
	c.say(t, "lobby", "the last")
	p.wait(shows("the last"))
	p.wait(scrolledToEnd)
	p.quiet()
}

// A reader who scrolls back keeps the place when the window moves.
func TestScrollingBackHoldsThePlace(t *testing.T) {
	s := serve(t)
	p := open(t, s)
	c := join(t, s, "lobby", `{"name": "Bob"}`)
	c.say(t, "lobby", numbered(1, 1000)...)
	p.wait(shows("message 1000"))
	p.wait(scrolledToEnd)
	first := eval[string](p, texts+`[0]`)
	where := fmt.Sprintf(`[...document.querySelectorAll("#lines .body")].find((n) => n.textContent === %q).getBoundingClientRect().top`, first)
	eval[any](p, toTheTop)
	before := eval[float64](p, where)
	p.wait(fmt.Sprintf(`%s[0] !== %q`, texts, first))
	if after := eval[float64](p, where); after-before > 1 || before-after > 1 {
		t.Errorf("%s was at %v and is at %v", first, before, after)
	}
	p.quiet()
}
