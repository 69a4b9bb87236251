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
)

func TestLogFollowsOnlyAReaderAtTheEnd(t *testing.T) {
	s := serve(t)
	p := open(t, s)
	c := dial(t, s)

	for i := range 100 {
		c.text(fmt.Sprint("line ", i))
	}
	p.wait(shows("line 99"))
	p.wait(scrolledToEnd)
	if eval[bool](p, jumpOffered) {
		t.Error("a reader at the end is offered the way there")
	}

	eval[any](p, `new Promise((resolve) => {
		const log = document.querySelector("#log");
		log.addEventListener("scroll", resolve, { once: true });
		log.scrollTop = 0;
	})`)
	c.text("news")
	p.wait(shows("news"))
	p.wait(jumpOffered)
	if top := eval[float64](p, `document.querySelector("#log").scrollTop`); top != 0 {
		t.Errorf("the log moved under the reader, to %v", top)
	}

	eval[any](p, `document.querySelector("#jump").click()`)
	p.wait(scrolledToEnd)
	p.wait("!" + jumpOffered)
	p.quiet()
}

func TestLogIsBounded(t *testing.T) {
	s := serve(t)
	p := open(t, s)
	c := dial(t, s)
	for i := range 1_200 {
		c.text(fmt.Sprint("line ", i))
	}
	p.wait(shows("line 1199"))
	if n := eval[int](p, `document.querySelector("#lines").children.length`); n != 1_000 {
		t.Errorf("%d lines in the document, want the newest 1000", n)
	}
	if !eval[bool](p, shows("line 200")) || eval[bool](p, shows("line 199")) {
		t.Error("the lines kept aren't the newest")
	}
	p.quiet()
}
