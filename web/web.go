// Package web is the chat page, embedded into the binary and served over
// net/http. The server mounts [Handler] beside its endpoints; the page itself
// speaks to /connection/websocket of the host that served it. The package rests
// on the standard library alone.
//
// The page is TypeScript, in src; vite makes dist/page of it where there is
// Node.js (tools/page.sh). Where there isn't, plain takes its place, which says
// so.
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

// all: before anything is built, dist holds only a file whose name begins with
// a dot.
//
//go:embed plain public all:dist
var files embed.FS

// contentTypes holds the type of every kind of file that is served. The table
// of package mime isn't used: it depends on what the host has installed.
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
	caching     string
}

// Handler serves the page at / and its parts beside it, to GET and HEAD. Every
// other path is a 404. What has its content's hash in its name may be kept for
// ever; about the rest browsers ask each time whether it is still current, so a
// new binary's page is whole at once.
func Handler() http.Handler {
	return serve(load(files))
}

func serve(assets map[string]asset) http.Handler {
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
		h.Set("Cache-Control", a.caching)
		h.Set("ETag", a.etag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.body))
	})
}

// load maps URL paths to files: those of public, and those of the page that was
// built or else of the plain one. An embedded file system can't fail to be read,
// so an error here is a mistake in this package: it panics.
func load(fsys fs.FS) map[string]asset {
	page := "dist/page"
	if _, err := fs.Stat(fsys, page+"/index.html"); err != nil {
		page = "plain"
	}
	assets := make(map[string]asset)
	for _, dir := range []string{"public", page} {
		err := fs.WalkDir(fsys, dir, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			body, err := fs.ReadFile(fsys, name)
			if err != nil {
				return err
			}
			assets[urlOf(name, dir)] = newAsset(name, body)
			return nil
		})
		if err != nil {
			panic("web: embedded files: " + err.Error())
		}
	}
	return assets
}

// urlOf returns where a file of a folder is served.
func urlOf(name, dir string) string {
	url := strings.TrimPrefix(name, dir)
	if url == "/index.html" {
		return "/"
	}
	return url
}

func newAsset(name string, body []byte) asset {
	sum := sha256.Sum256(body)
	a := asset{
		body:        body,
		contentType: contentTypes[path.Ext(name)],
		etag:        `"` + hex.EncodeToString(sum[:16]) + `"`,
		caching:     "no-cache",
	}
	if path.Base(path.Dir(name)) == "assets" { // vite's, whose names have the hash
		a.caching = "public, max-age=31536000, immutable"
	}
	return a
}
