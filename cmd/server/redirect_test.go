package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
)

// redirects are requests that the redirecting address may get: the host of the
// answer, with %s where the port comes that isn't 443, or the path behind it if
// that is another, or nothing if it is 400.
var redirects = []struct{ name, line, host, want, path string }{
	{"a page", "GET /", "a.example", "a.example%s", "/"},
	{"path and query", "GET /a%2Fb/%C3%BC?topic=x%26y&z=//b", "a.example", "a.example%s", "/a%2Fb/%C3%BC?topic=x%26y&z=//b"},
	{"a port", "GET /p", "a.example:80", "a.example%s", "/p"},
	{"an empty port", "GET /p", "a.example:", "a.example%s", "/p"},
	{"IPv4", "GET /p", "127.0.0.1:8080", "127.0.0.1%s", "/p"},
	{"IPv6", "GET /p", "[::1]", "[::1]%s", "/p"},
	{"IPv6 and a port", "GET /p", "[::1]:8080", "[::1]%s", "/p"},
	{"another method", "POST /p", "a.example", "a.example%s", "/p"},
	{"a path like a host", "GET //b.example/p", "a.example", "a.example%s", "//b.example/p"},
	{"a path that goes up", "GET /p/../../q", "a.example", "a.example%s", "/p/../../q"},
	{"a whole address", "GET http://b.example:80/p", "a.example", "b.example%s", "/p"},
	{"a whole address without path", "GET http://b.example?q", "a.example", "b.example%s", "/?q"},
	{"no host", "GET /p", "", "", ""},
	{"only a port", "GET /p", ":80", "", ""},
	{"no number for a port", "GET /p", "a.example:http", "", ""},
	{"two ports", "GET /p", "a.example:80:81", "", ""},
	{"IPv6 without brackets", "GET /p", "::1", "", ""},
	{"half a bracket", "GET /p", "[::1", "", ""},
	{"the other half", "GET /p", "::1]:80", "", ""},
	{"no path", "GET *", "a.example", "", ""},
}

func TestRedirectTo(t *testing.T) {
	for port, end := range map[string]string{"443": "", "8443": ":8443"} {
		for _, tt := range redirects {
			r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(tt.line + " HTTP/1.1\r\nHost: " + tt.host + "\r\n\r\n")))
			if err != nil {
				t.Fatalf("%s: %v", tt.name, err)
			}
			w := httptest.NewRecorder()
			redirectTo(port).ServeHTTP(w, r)
			expectRedirect(t, tt.name, w.Result(), tt.want, end, tt.path)
		}
	}
}

// expectRedirect wants an answer that sends to host and path, or none.
func expectRedirect(t *testing.T, name string, resp *http.Response, host, port, path string) {
	t.Helper()
	status, location := 308, strings.Replace("https://"+host+path, "%s", port, 1)
	if host == "" {
		status, location = 400, ""
	}
	if got := resp.Header.Get("Location"); resp.StatusCode != status || got != location {
		t.Errorf("%s: %d to %q, want %d to %q", name, resp.StatusCode, got, status, location)
	}
}

// startRedirect starts a server with a redirecting address, and returns that.
func startRedirect(t *testing.T, files pki, args ...string) (p *process, from site) {
	t.Helper()
	p = start(t, append(append(args, files.args()...), "-http-redirect", "127.0.0.1:0")...)
	return p, site{t: t, name: p.awaitLog("serving")["http-redirect"].(string)}
}

func TestRedirect(t *testing.T) {
	for _, form := range forms {
		t.Run(form.name, func(t *testing.T) {
			files := newPKI(t, 1)
			p, from := startRedirect(t, files, form.args...)
			port := p.addr[strings.LastIndexByte(p.addr, ':'):]
			for _, tt := range redirects {
				resp, _ := from.ask(tt.line + " HTTP/1.1\r\nHost: " + tt.host + "\r\n\r\n")
				expectRedirect(t, tt.name, resp, tt.want, port, tt.path)
			}

			// Nothing gets into the head that is a line of its own, nor into the
			// page without being escaped.
			for _, request := range []string{
				"GET /p HTTP/1.1\r\nHost: evil\"><\r\n\r\n",
				"GET /p HTTP/1.1\r\nHost: evil\rSet-Cookie: a=b\r\n\r\n",
				"GET /p HTTP/1.1\r\nHost: evil@b.example\r\n\r\n",
				"GET /p HTTP/1.1\r\nHost: evil/b\r\n\r\n",
				"GET /p HTTP/1.1\r\nHost: evil\r\nHost: evil\r\n\r\n",
				"GET /p HTTP/1.1\r\n\r\n",
				"GET http://evil\"><b/p HTTP/1.1\r\nHost: a.example\r\n\r\n",
				"GET /%0d%0aSet-Cookie:%20a=b?%0d%0aSet-Cookie:%20a=b HTTP/1.1\r\nHost: a.example\r\n\r\n",
				"GET /evil\"><b HTTP/1.1\r\nHost: a.example\r\n\r\n",
			} {
				resp, answer := from.ask(request)
				if resp.Header.Get("Set-Cookie") != "" || strings.Contains(answer, "\nSet-Cookie") || strings.Contains(answer[strings.Index(answer, "\r\n\r\n"):], `"><b`) {
					t.Errorf("%q: %q", request, answer)
				}
			}

			// What isn't ordinary: a WebSocket client doesn't follow.
			if c, err := from.tryDial("/ws"); err == nil {
				c.conn.Close()
				t.Error("a WebSocket without encryption was opened")
			}

			// A browser ends up at the page.
			transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: files.trust}}
			defer transport.CloseIdleConnections()
			resp, err := (&http.Client{Transport: transport, Timeout: patience}).Get("http://" + from.name + "/?topic=x")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if got, want := resp.Request.URL.String(), fmt.Sprintf("https://%s/?topic=x", p.addr); resp.StatusCode != http.StatusOK || got != want {
				t.Errorf("%d at %s, want 200 at %s", resp.StatusCode, got, want)
			}
			p.signal(syscall.SIGTERM)
			p.expectGone()
		})
	}
}

func TestRedirectMistakes(t *testing.T) {
	files := newPKI(t, 1)
	p := start(t, forms[0].args...)
	for _, form := range forms {
		for _, tt := range []struct {
			name string
			args []string
			want string
		}{
			{"in use", []string{"-addr", "127.0.0.1:0", "-http-redirect", p.addr}, "-http-redirect " + p.addr + " is in use"},
			{"no address", []string{"-addr", "127.0.0.1:0", "-http-redirect", "80"}, "-http-redirect: "},
			{"nothing to send to", []string{"-addr", "unix:" + socketPath(t), "-http-redirect", "127.0.0.1:0"}, "needs an -addr with a port"},
		} {
			t.Run(form.name+"/"+tt.name, func(t *testing.T) {
				args := append(append(append(form.args, "-admin", "127.0.0.1:0", "-log-level", "error"), files.args()...), tt.args...)
				line := launch(t, append([]string{self(t)}, args...)...).expectUsageError()
				if !strings.Contains(line, tt.want) {
					t.Errorf("it says %q, want something with %q", line, tt.want)
				}
			})
		}
	}
}

// TestSilentOnesDontStopRedirecting: those who connect and say nothing make room
// for those who ask.
func TestSilentOnesDontStopRedirecting(t *testing.T) {
	_, from := startRedirect(t, newPKI(t, 1), "-max-conns", "100", "-handshake-timeout", "1h")
	for range maxRedirects {
		conn, err := net.Dial("tcp", from.name)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	if resp, answer := from.ask("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"); resp.StatusCode != http.StatusPermanentRedirect {
		t.Errorf("%q, want 308", answer)
	}
}
