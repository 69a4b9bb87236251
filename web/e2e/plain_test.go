package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
)

// A server that was built where there is no Node says what it lacks.
func TestPlainPage(t *testing.T) {
	built, err := filepath.Abs("../dist/page")
	if err != nil {
		t.Fatal(err)
	}
	// For the go tool the files of the page aren't there.
	gone := make(map[string]string)
	err = filepath.WalkDir(built, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			gone[path] = ""
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": gone})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	plain := filepath.Join(dir, "server")
	if err := build(plain, "-overlay", filepath.Join(dir, "overlay.json")); err != nil {
		t.Fatal(err)
	}

	p := blank(t)
	p.do(chromedp.EmulateViewport(360, 640, chromedp.EmulateMobile), chromedp.Navigate(serveBinary(t, plain).url()))
	p.wait(`document.querySelector("pre").textContent === "make run"`)
	p.wait(`document.body.innerText.includes("/connection/websocket")`)
	p.wait(`document.querySelector("img").naturalWidth > 0`)
	p.wait(`getComputedStyle(document.querySelector("h1")).display === "flex"`)
	if wide := eval[int](p, `document.documentElement.scrollWidth`); wide > 360 {
		t.Errorf("the page is %d pixels wide on a screen of 360", wide)
	}
	p.quiet()
}
