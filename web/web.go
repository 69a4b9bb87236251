// Package web is the chat page: HTML, CSS and ES modules, embedded into the
// binary and served over net/http. The server mounts [Handler] beside its
// endpoints; the page itself speaks to /ws and /subscribers of the host that
// served it. The package rests on the standard library alone.
package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed static
var files embed.FS

// contentTypes holds the type of every kind of file under static. The table of
// package mime isn't used: it depends on what the host has installed.
var contentTypes = map[string]string{
	".css":  "text/css; charset=utf-8",
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// securityPolicy allows what the page needs and nothing else. 'self' in
// connect-src covers ws: and wss: to the same host (CSP Level 3, section
// 6.7.2.8). Trusted types make a browser that knows them refuse any assignment
// to innerHTML and its kin, whoever writes it later.
var securityPolicy = strings.Join([]string{
	"default-src 'none'",
	"script-src 'self'",
	"style-src 'self'",
	"img-src 'self'",
	"connect-src 'self'",
	"base-uri 'none'",
	"form-action 'none'",
	"frame-ancestors 'none'",
	"require-trusted-types-for 'script'",
	"trusted-types 'none'",
}, "; ")

// asset is one file as it is served.
type asset struct {
	body        []byte
	contentType string
	etag        string // strong, from the content
}

// Handler serves the page at / and its parts beside it, to GET and HEAD. Every
// other path is a 404. Browsers may keep the files but ask each time whether
// they are still current, so a new binary's page is whole at once.
func Handler() http.Handler {
	assets := load(files)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", securityPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")

		a, ok := assets[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		h.Set("Content-Type", a.contentType)
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", a.etag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.body))
	})
}

// load maps URL paths to the files under static. An embedded file system can't
// fail to be read, so an error here is a mistake in this package: it panics.
func load(fsys fs.FS) map[string]asset {
	assets := make(map[string]asset)
	err := fs.WalkDir(fsys, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		url := strings.TrimPrefix(name, "static")
		if url == "/index.html" {
			url = "/"
		}
		sum := sha256.Sum256(body)
		assets[url] = asset{
			body:        body,
			contentType: contentTypes[path.Ext(name)],
			etag:        `"` + hex.EncodeToString(sum[:16]) + `"`,
		}
		return nil
	})
	if err != nil {
		panic("web: embedded files: " + err.Error())
	}
	return assets
}
