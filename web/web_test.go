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
	"testing/fstest"
)

// built is what there is to embed where the page was built, but for the page's
// own contents; unbuilt is what there is where it wasn't.
var (
	built = overlaid(fstest.MapFS{
		"dist/.gitignore":                {Data: []byte("/page/")},
		"dist/page/index.html":           {Data: []byte(`<title>the page</title><script type="module" src="/assets/index-1a2b.js"></script>`)},
		"dist/page/assets/index-1a2b.js": {Data: []byte("import 'x'")},
	})
	unbuilt = overlaid(fstest.MapFS{"dist/.gitignore": {Data: []byte("/page/")}})
)

// overlaid adds the committed files.
func overlaid(fsys fstest.MapFS) fstest.MapFS {
	for _, dir := range []string{"plain", "public"} {
		entries, err := files.ReadDir(dir)
		if err != nil {
			panic(err)
		}
		for _, entry := range entries {
			body, err := files.ReadFile(dir + "/" + entry.Name())
			if err != nil {
				panic(err)
			}
			fsys[dir+"/"+entry.Name()] = &fstest.MapFile{Data: body}
		}
	}
	return fsys
}

// do sends one request to a server of the files and returns the response with
// its body read.
func do(t *testing.T, fsys fs.FS, method, url string, header http.Header) (*http.Response, string) {
	t.Helper()
	srv := httptest.NewServer(serve(load(fsys)))
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
		fsys         fs.FS
		method, path string
		status       int
		contentType  string
		body         string // a part of it; empty means an empty body
	}{
		{built, "GET", "/", 200, "text/html; charset=utf-8", "<title>the page</title>"},
		{built, "GET", "/?x=y", 200, "text/html; charset=utf-8", "<title>the page</title>"},
		{built, "GET", "/assets/index-1a2b.js", 200, "text/javascript; charset=utf-8", "import "},
		{built, "GET", "/icon.svg", 200, "image/svg+xml", "<svg "},
		{built, "GET", "/unsupported.js", 200, "text/javascript; charset=utf-8", "unsupported"},
		{built, "HEAD", "/", 200, "text/html; charset=utf-8", ""},
		{built, "POST", "/", 405, "text/plain; charset=utf-8", "method not allowed"},
		{built, "DELETE", "/icon.svg", 405, "text/plain; charset=utf-8", "method not allowed"},
		{built, "GET", "/index.html", 404, "text/plain; charset=utf-8", "not found"},
		{built, "GET", "/plain.css", 404, "text/plain; charset=utf-8", "not found"},
		{built, "GET", "/.gitignore", 404, "text/plain; charset=utf-8", "not found"},
		{built, "GET", "/dist/page/index.html", 404, "text/plain; charset=utf-8", "not found"},
		{built, "GET", "/assets/", 404, "text/plain; charset=utf-8", "not found"},
		{built, "GET", "/../web.go", 404, "text/plain; charset=utf-8", "not found"},
		{built, "GET", "//", 404, "text/plain; charset=utf-8", "not found"},
		{built, "POST", "/nothing", 404, "text/plain; charset=utf-8", "not found"},
		{unbuilt, "GET", "/", 200, "text/html; charset=utf-8", "make run"},
		{unbuilt, "GET", "/plain.css", 200, "text/css; charset=utf-8", "body {"},
		{unbuilt, "GET", "/icon.svg", 200, "image/svg+xml", "<svg "},
		{unbuilt, "GET", "/.gitignore", 404, "text/plain; charset=utf-8", "not found"},
		{files, "GET", "/", 200, "text/html; charset=utf-8", "<title>hubbub</title>"},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			res, body := do(t, tt.fsys, tt.method, tt.path, nil)
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
		{"HEAD", "/icon.svg"},
		{"POST", "/"},
		{"GET", "/nothing"},
	}
	for _, tt := range requests {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			res, _ := do(t, built, tt.method, tt.path, nil)
			for name, value := range want {
				if got := res.Header.Get(name); got != value {
					t.Errorf("%s: %q, want %q", name, got, value)
				}
			}
		})
	}
}

func TestRevalidates(t *testing.T) {
	fresh, _ := do(t, built, "GET", "/icon.svg", nil)
	etag := fresh.Header.Get("ETag")
	if !regexp.MustCompile(`^"[0-9a-f]{32}"$`).MatchString(etag) {
		t.Fatalf("ETag %q, want a strong one of 32 hex digits", etag)
	}
	if got := fresh.Header.Get("Cache-Control"); got != "no-cache" {
		t.Errorf("Cache-Control %q, want no-cache", got)
	}
	if other, _ := do(t, built, "GET", "/", nil); other.Header.Get("ETag") == etag {
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
			res, body := do(t, built, "GET", "/icon.svg", http.Header{"If-None-Match": {tt.ifNoneMatch}})
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

// What has its content's hash in its name needn't be asked for again.
func TestHashedFilesAreKept(t *testing.T) {
	for url, want := range map[string]string{
		"/":                     "no-cache",
		"/icon.svg":             "no-cache",
		"/assets/index-1a2b.js": "public, max-age=31536000, immutable",
	} {
		res, _ := do(t, built, "GET", url, nil)
		if got := res.Header.Get("Cache-Control"); got != want {
			t.Errorf("%s: Cache-Control %q, want %q", url, got, want)
		}
	}
}

// The policy forbids inline scripts and styles and other hosts. No page may
// contain what a browser would then refuse, nor name a file that isn't there.
func TestPagesKeepToTheirPolicy(t *testing.T) {
	forbidden := map[string]*regexp.Regexp{
		"inline script":        regexp.MustCompile(`<script[^>]*>[^<]`),
		"inline style":         regexp.MustCompile(`<style|\sstyle=`),
		"inline event handler": regexp.MustCompile(`<[^>]+\son[a-z]+=`),
		"another host":         regexp.MustCompile(`<(?:img|link|script)[^>]*(?:src|href)="(?:https?:)?//`),
	}
	reference := regexp.MustCompile(`<(?:img|link|script)[^>]*(?:src|href)="([^"]+)"`)
	for _, fsys := range []fs.FS{unbuilt, files} {
		assets := load(fsys)
		for url, a := range assets {
			if a.contentType == "" {
				t.Errorf("%s: no content type for %q", url, path.Ext(url))
			}
		}
		page := string(assets["/"].body)
		for what, pattern := range forbidden {
			if found := pattern.FindString(page); found != "" {
				t.Errorf("%s: %q", what, found)
			}
		}
		for _, m := range reference.FindAllStringSubmatch(page, -1) {
			if _, ok := assets[m[1]]; !ok {
				t.Errorf("the page names %s, which isn't served", m[1])
			}
		}
	}
}
