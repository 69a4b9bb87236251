package e2e

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

var screenshots = flag.String("screenshots", "", "folder in which TestScreenshots puts its pictures")

// TestScreenshots takes the pictures that the README shows: `make screenshots`.
func TestScreenshots(t *testing.T) {
	const maxSize = 150_000 // bytes: they stay in the repository
	pictures := []struct {
		name, scheme  string
		width, height int64
		options       []chromedp.EmulateViewportOption
	}{
		{"light", "light", 1240, 680, nil},
		{"dark", "dark", 1240, 680, nil},
		{"phone", "light", 390, 720, []chromedp.EmulateViewportOption{chromedp.EmulateMobile, chromedp.EmulateScale(1.5)}},
	}
	for _, picture := range pictures {
		t.Run(picture.name, func(t *testing.T) {
			s := serve(t)
			p := blank(t)
			p.do(chromedp.EmulateViewport(picture.width, picture.height, picture.options...))
			call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: picture.scheme}},
			})
			p.visit(s)
			p.named("Ann")
			p.wait(connected)
			bob := join(t, s, "lobby", `{"name": "Bob"}`)
			carol := join(t, s, "lobby", `{"name": "Carol"}`)
			bob.say(t, "lobby", "Morning! The new build is on the test machine.", "Notes are at https://example.com/notes")
			p.wait(shows("Notes are at https://example.com/notes"))
			p.say("Thanks, I'm having a look.")
			p.wait(shows("Thanks, I'm having a look."))
			join(t, s, "lobby", `{"name": "Dan"}`)
			carol.say(t, "lobby", "Same here. It came back within a second\nwhen I pulled the plug, with nothing missing.")
			p.wait(`document.querySelectorAll("#lines .message").length === 4`)
			p.hides(true)
			bob.say(t, "lobby", "@Ann, how is it on your phone?")
			p.wait(`document.title.startsWith("(1)")`)
			p.hides(false)
			p.wait(shows("@Ann, how is it on your phone?"))
			p.wait(`document.querySelector("#count").textContent === "4 here"`)
			shot, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
			if err != nil {
				t.Fatal(err)
			}
			if len(shot) > maxSize {
				t.Errorf("the picture has %d bytes, over %d", len(shot), maxSize)
			}
			p.quiet()
			if *screenshots == "" {
				return // that it can be taken is all there is to test
			}
			if err := os.MkdirAll(*screenshots, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(*screenshots, picture.name+".png"), shot, 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}
