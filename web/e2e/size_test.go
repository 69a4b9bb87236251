package e2e

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"regexp"
	"testing"
)

// The page's parts are compressed on the way, and the same when they have arrived.
func TestPartsAreCompressed(t *testing.T) {
	s := serve(t)
	fetch := func(path, encoding string) (*http.Response, []byte) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.addr+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept-Encoding", encoding) // so that the client leaves the answer as it is
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, body
	}
	_, index := fetch("/", "identity")
	parts := regexp.MustCompile(`/assets/[^"]+`).FindAllString(string(index), -1)
	if len(parts) == 0 {
		t.Fatalf("the page has no parts: %s", index)
	}
	for _, part := range parts {
		_, plain := fetch(part, "identity")
		resp, body := fetch(part, "gzip")
		if resp.Header.Get("Content-Encoding") != "gzip" || resp.Header.Get("Content-Security-Policy") == "" || len(body) > len(plain)/2 {
			t.Errorf("%s: %d bytes of %d, %v", part, len(body), len(plain), resp.Header)
			continue
		}
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(z); err != nil || string(got) != string(plain) {
			t.Errorf("%s: %v, or it isn't the same", part, err)
		}
	}
}
