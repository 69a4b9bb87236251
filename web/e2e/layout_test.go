package e2e

import (
	"bytes"
	"fmt"
	"image/png"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

func TestFitsAPhone(t *testing.T) {
	s := serve(t)
	for _, language := range []string{"en", "ja"} {
		t.Run(language, func(t *testing.T) {
			const width, height = 360, 640
			p := blank(t)
			p.do(chromedp.EmulateViewport(width, height, chromedp.EmulateMobile, chromedp.EmulateTouch))
			p.speaks(language)
			p.visit(s, strings.Repeat("unbroken", 10))
			long := strings.Repeat("unbroken", 30)
			c := join(t, s, strings.Repeat("unbroken", 10)[:60], fmt.Sprintf(`{"name": %q}`, strings.Repeat("W", 40)))
			c.say(t, strings.Repeat("unbroken", 10)[:60], long, "https://example.com/"+long)
			p.wait(shows("https://example.com/" + long))

			states := []struct{ name, enter string }{
				{"connected", ``},
				{"disconnected, long text", `{
					document.querySelector("#banner").dataset.state = "stopped";
					document.querySelector("#status").textContent = "unbroken".repeat(20);
					for (const id of ["retry", "jump", "notify", "count"]) document.getElementById(id).hidden = false;
					document.querySelector("#text").value = "line\n".repeat(50);
				}`},
				{"list open", `document.querySelector("#people").hidden = false`},
			}
			for _, state := range states {
				eval[any](p, state.enter)
				if wide := eval[[]string](p, fmt.Sprintf(`[...document.querySelectorAll("body *")]
					.filter((n) => n.getBoundingClientRect().right > %d || n.getBoundingClientRect().left < 0)
					.map((n) => n.tagName + "." + n.className)`, width)); len(wide) > 0 {
					t.Errorf("%s: wider than the screen: %v", state.name, wide)
				}
				if bottom := eval[float64](p, `document.querySelector(".composer").getBoundingClientRect().bottom`); bottom > height {
					t.Errorf("%s: the composer ends at %v, below the screen", state.name, bottom)
				}
				if left := eval[float64](p, `document.querySelector("#log").clientHeight`); left < height/4 {
					t.Errorf("%s: the log has only %v pixels left", state.name, left)
				}
				shot, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
				if err != nil {
					t.Fatal(err)
				}
				picture, err := png.DecodeConfig(bytes.NewReader(shot))
				if err != nil {
					t.Fatal(err)
				}
				if picture.Width != width || picture.Height != height {
					t.Errorf("%s: the whole page is %d×%d, want %d×%d", state.name, picture.Width, picture.Height, width, height)
				}
			}
			// Below 16 px phones zoom into a field that gets the focus.
			if small := eval[[]string](p, `[...document.querySelectorAll("input, textarea")]
				.filter((n) => parseFloat(getComputedStyle(n).fontSize) < 16).map((n) => n.id)`); len(small) > 0 {
				t.Errorf("fields with small text: %v", small)
			}
			p.quiet()
		})
	}
}

// contrast is a function that returns the WCAG 2 contrast ratio between an
// element's text and what is painted behind it.
const contrast = `(node) => {
	const rgb = (color) => color.match(/[\d.]+/g).map(Number);
	const opaque = (n) => (rgb(getComputedStyle(n).backgroundColor)[3] ?? 1) === 1;
	const luminance = (color) => {
		const [r, g, b] = rgb(color).map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
		return 0.2126 * r + 0.7152 * g + 0.0722 * b;
	};
	let behind = node;
	while (!opaque(behind)) behind = behind.parentElement;
	const pair = [getComputedStyle(node).color, getComputedStyle(behind).backgroundColor].map(luminance);
	return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
}`

func TestReadableInLightAndDark(t *testing.T) {
	var grounds []string
	for _, scheme := range []string{"light", "dark"} {
		t.Run(scheme, func(t *testing.T) {
			s := serve(t)
			c := join(t, s, "lobby", `{"name": "Bob"}`)
			p := blank(t)
			call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{
					{Name: "prefers-color-scheme", Value: scheme},
					{Name: "prefers-reduced-motion", Value: "reduce"}, // no colour on its way to another
				},
			})
			p.visit(s)
			p.named("Ann")
			p.hides(true)
			c.say(t, "lobby", "@Ann, @Carol: https://example.com")
			p.wait(`document.title.startsWith("(1)")`)
			join(t, s, "lobby", `{"name": ""}`)
			p.hides(false)
			p.wait(`document.querySelector(".fresh") !== null`)
			eval[any](p, `document.querySelector("#count").click()`)
			s.kill()
			p.say("own")
			p.wait(is(pendings, "failed own"))
			s.data = t.TempDir() // the server forgets what was said
			s.start()
			p.wait(connected)
			p.wait(`document.querySelector("[data-kind=missing]") !== null`)
			for _, state := range []string{"connecting", "retrying", "stopped"} {
				eval[any](p, fmt.Sprintf(`{
					document.querySelector("#banner").dataset.state = %q;
					document.querySelector("#send").disabled = %t;
					for (const node of document.querySelectorAll("[hidden]")) node.hidden = false;
				}`, state, state == "retrying"))
				poor := eval[[]string](p, fmt.Sprintf(`[...document.querySelectorAll("body *")]
					.filter((n) => [...n.childNodes].some((c) => c.nodeType === Node.TEXT_NODE && c.data.trim() !== ""))
					.map((n) => [(%s)(n), n.tagName + "#" + n.id + "." + n.className])
					.filter(([ratio]) => !(ratio >= 4.5)).map((pair) => pair.join(" "))`, contrast))
				if len(poor) > 0 {
					t.Errorf("%s: contrast below 4.5: %v", state, poor)
				}
			}
			grounds = append(grounds, eval[string](p, `getComputedStyle(document.body).backgroundColor`))
			p.quiet(unreachable...)
		})
	}
	if len(grounds) == 2 && grounds[0] == grounds[1] {
		t.Errorf("light and dark have the same ground: %s", grounds[0])
	}
}

// What can take the focus must tell a screen reader what it is.
func TestControlsHaveNames(t *testing.T) {
	s := serve(t)
	p := open(t, s)
	p.wait(`!document.querySelector("#count").hidden`)
	tree := call(p, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	want := map[string]bool{
		"log Messages": true, "textbox Your name": true, "textbox Message": true, "button Send": true,
		"status ": true, "heading hubbub": true, "textbox Room: write another and press Enter": true, "button 1 here": true,
	}
	for _, node := range tree.Nodes {
		if node.Role == nil || node.Name == nil {
			continue
		}
		delete(want, strings.Trim(string(node.Role.Value), `"`)+" "+strings.Trim(string(node.Name.Value), `"`))
	}
	for missing := range want {
		t.Errorf("no %q in the accessibility tree", missing)
	}
}

func TestSaysWhatItNeedsWithoutJavaScript(t *testing.T) {
	s := serve(t)
	p := blank(t)
	call(p, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	p.do(chromedp.Navigate(s.url()))
	p.wait(`document.body.innerText.includes("This page needs JavaScript.")`)
}

// Browsers that don't know modules run a script of their own instead.
func TestSaysWhatItNeedsWithoutModules(t *testing.T) {
	s := serve(t)
	p := open(t, s)
	if !eval[bool](p, `document.querySelector("script[src='/unsupported.js']").noModule`) {
		t.Error("a current browser runs the script for old ones")
	}
	eval[any](p, `import("/unsupported.js").then(() => { document.dispatchEvent(new Event("DOMContentLoaded")); })`)
	p.wait(`document.body.innerText.includes("This page needs a newer browser.")`)
	p.quiet()
}
