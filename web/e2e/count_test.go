package e2e

import (
	"fmt"
	"testing"
)

const count = `document.querySelector("#count")`

func TestCountsThoseWhoAreThere(t *testing.T) {
	s := serve(t)
	first := open(t, s)
	first.wait(count + `.textContent === "1 online"`)
	second := open(t, s)
	for _, p := range []*tab{first, second} {
		p.wait(count + `.textContent === "2 online"`)
		p.quiet()
	}
}

func TestNoCountIsShownWhenThereIsNone(t *testing.T) {
	s := serve(t)
	// The page asks again when the tab becomes visible, so the answer is
	// swapped and the event fired instead of waiting for the next poll.
	p := open(t, s, freezable, `
		window.frozen = true;
		window.answer = () => Response.json({ subscribers: 12345 });
		window.fetch = async () => window.answer();`)
	const known = count + `.textContent === "12,345 online"`
	p.wait(known)

	answers := map[string]string{
		"503":          `Response.json({ subscribers: 7 }, { status: 503 })`,
		"no JSON":      `new Response("many")`,
		"null":         `Response.json(null)`,
		"no number":    `Response.json({ subscribers: "2" })`,
		"negative":     `Response.json({ subscribers: -1 })`,
		"a fraction":   `Response.json({ subscribers: 1.5 })`,
		"out of reach": `(() => { throw new TypeError("Failed to fetch"); })()`,
	}
	for name, answer := range answers {
		ask := `document.dispatchEvent(new Event("visibilitychange"))`
		eval[any](p, fmt.Sprintf(`window.before = window.answer; window.answer = () => %s; %s`, answer, ask))
		p.wait(count + `.hidden`)
		if got := eval[string](p, count+`.textContent`); got != "" {
			t.Errorf("%s: shows %q", name, got)
		}
		eval[any](p, `window.answer = window.before; `+ask)
		p.wait(known)
	}
	p.quiet()
}
