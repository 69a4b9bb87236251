package web

import (
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
	"testing"
)

// do sends one request to a server of the handler and returns the response
// with its body read.
func do(t *testing.T, method, url string, header http.Header) (*http.Response, string) {
	t.Helper()
	srv := httptest.NewServer(Handler())
	t.Cleanup(srv.Close)
	req, err := http.NewRequestWithContext(t.Context(), method, srv.URL+url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	res, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

func TestServes(t *testing.T) {
	tests := []struct {
		method, path string
		status       int
		contentType  string
		body         string // a part of it; empty means an empty body
	}{
		{"GET", "/", 200, "text/html; charset=utf-8", "<title>hubbub</title>"},
		{"GET", "/?topic=x", 200, "text/html; charset=utf-8", "<title>hubbub</title>"},
		{"GET", "/style.css", 200, "text/css; charset=utf-8", "prefers-color-scheme: dark"},
		{"GET", "/app.js", 200, "text/javascript; charset=utf-8", "import "},
		{"GET", "/icon.svg", 200, "image/svg+xml", "<svg "},
		{"HEAD", "/", 200, "text/html; charset=utf-8", ""},
		{"POST", "/", 405, "text/plain; charset=utf-8", "method not allowed"},
		{"DELETE", "/app.js", 405, "text/plain; charset=utf-8", "method not allowed"},
		{"GET", "/index.html", 404, "text/plain; charset=utf-8", "not found"},
		{"GET", "/static/app.js", 404, "text/plain; charset=utf-8", "not found"},
		{"GET", "/app.js/", 404, "text/plain; charset=utf-8", "not found"},
		{"GET", "/../web.go", 404, "text/plain; charset=utf-8", "not found"},
		{"GET", "//", 404, "text/plain; charset=utf-8", "not found"},
		{"POST", "/nothing", 404, "text/plain; charset=utf-8", "not found"},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			res, body := do(t, tt.method, tt.path, nil)
			if res.StatusCode != tt.status {
				t.Errorf("status %d, want %d", res.StatusCode, tt.status)
			}
			if got := res.Header.Get("Content-Type"); got != tt.contentType {
				t.Errorf("Content-Type %q, want %q", got, tt.contentType)
			}
			if tt.body == "" && body != "" || !strings.Contains(body, tt.body) {
				t.Errorf("body %.80q, want a part of it to be %q", body, tt.body)
			}
			wantAllow := ""
			if tt.status == http.StatusMethodNotAllowed {
				wantAllow = "GET, HEAD"
			}
			if got := res.Header.Get("Allow"); got != wantAllow {
				t.Errorf("Allow %q, want %q", got, wantAllow)
			}
		})
	}
}

func TestSecurityHeadersOnEveryAnswer(t *testing.T) {
	want := map[string]string{
		"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
			"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
			"require-trusted-types-for 'script'; trusted-types 'none'",
		"X-Content-Type-Options": "nosniff",
		"Referrer-Policy":        "no-referrer",
	}
	requests := []struct{ method, path string }{
		{"GET", "/"},
		{"HEAD", "/app.js"},
		{"POST", "/"},
		{"GET", "/nothing"},
	}
	for _, tt := range requests {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			res, _ := do(t, tt.method, tt.path, nil)
			for name, value := range want {
				if got := res.Header.Get(name); got != value {
					t.Errorf("%s: %q, want %q", name, got, value)
				}
			}
		})
	}
}

func TestRevalidates(t *testing.T) {
	fresh, _ := do(t, "GET", "/app.js", nil)
	etag := fresh.Header.Get("ETag")
	if !regexp.MustCompile(`^"[0-9a-f]{32}"$`).MatchString(etag) {
		t.Fatalf("ETag %q, want a strong one of 32 hex digits", etag)
	}
	if got := fresh.Header.Get("Cache-Control"); got != "no-cache" {
		t.Errorf("Cache-Control %q, want no-cache", got)
	}
	if other, _ := do(t, "GET", "/style.css", nil); other.Header.Get("ETag") == etag {
		t.Error("two files have the same ETag")
	}

	tests := []struct {
		ifNoneMatch string
		status      int
	}{
		{etag, 304},
		{`"other", ` + etag, 304},
		{"*", 304},
		{`"other"`, 200},
	}
	for _, tt := range tests {
		t.Run(tt.ifNoneMatch, func(t *testing.T) {
			res, body := do(t, "GET", "/app.js", http.Header{"If-None-Match": {tt.ifNoneMatch}})
			if res.StatusCode != tt.status {
				t.Errorf("status %d, want %d", res.StatusCode, tt.status)
			}
			if tt.status == http.StatusNotModified && body != "" {
				t.Errorf("304 with a body of %d bytes", len(body))
			}
			if got := res.Header.Get("ETag"); got != etag {
				t.Errorf("ETag %q, want %q", got, etag)
			}
		})
	}
}

// The policy forbids inline scripts and styles and other hosts. The page must
// not contain what a browser would then refuse, nor name a file that isn't
// there.
func TestPageKeepsToItsPolicy(t *testing.T) {
	assets := load(files)
	forbidden := map[string]*regexp.Regexp{
		"inline script":        regexp.MustCompile(`<script[^>]*>[^<]`),
		"inline style":         regexp.MustCompile(`<style|\sstyle=`),
		"inline event handler": regexp.MustCompile(`<[^>]+\son[a-z]+=`),
		"markup from a string": regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write`),
		"code from a string":   regexp.MustCompile(`\beval\(|new Function`),
		"another host":         regexp.MustCompile(`(?:src|href|from|import|url)\W{1,3}(?:https?:)?//`),
	}
	reference := regexp.MustCompile(`(?:src|href)="([^"]+)"|(?:from|import) "([^"]+)"`)
	for url, a := range assets {
		if a.contentType == "" {
			t.Errorf("%s: no content type for %q", url, path.Ext(url))
		}
		for what, pattern := range forbidden {
			if found := pattern.FindString(string(a.body)); found != "" {
				t.Errorf("%s: %s: %q", url, what, found)
			}
		}
		for _, m := range reference.FindAllStringSubmatch(string(a.body), -1) {
			target := path.Join("/", m[1]+m[2])
			if _, ok := assets[target]; !ok {
				t.Errorf("%s names %s, which isn't served", url, target)
			}
		}
	}
}

// Every file that is embedded is reachable, the page itself only at /.
func TestServesEveryFile(t *testing.T) {
	var count int
	err := fs.WalkDir(files, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		count++
		url := strings.TrimPrefix(name, "static")
		if url == "/index.html" {
			url = "/"
		}
		want, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		if res, body := do(t, http.MethodGet, url, nil); res.StatusCode != http.StatusOK || body != string(want) {
			t.Errorf("%s: status %d, %d bytes, want 200 and the file's %d", url, res.StatusCode, len(body), len(want))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if count == 0 {
		t.Error("nothing is embedded")
	}
}
