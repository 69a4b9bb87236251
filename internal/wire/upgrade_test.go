package wire

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// The key and its answer in RFC 6455 section 1.3.
const (
	rfcKey    = "dGhlIHNhbXBsZSBub25jZQ=="
	rfcAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// rightFields are those of a right request, one a line.
const rightFields = "Host: example.com\r\n" +
	"Upgrade: websocket\r\n" +
	"Connection: Upgrade\r\n" +
	"Sec-WebSocket-Key: " + rfcKey + "\r\n" +
	"Sec-WebSocket-Version: 13\r\n"

// request makes a right request with some fields replaced or, if all of the
// line but the name is missing, left out, and some more at its end.
func request(line string, changes ...string) string {
	fields := strings.SplitAfter(rightFields, "\r\n")
	for _, c := range changes {
		name, value, _ := strings.Cut(c, ":")
		i := slices.IndexFunc(fields, func(f string) bool { return strings.HasPrefix(f, name+":") })
		switch {
		case i < 0:
			fields = append(fields, c+"\r\n")
		case value == "":
			fields = slices.Delete(fields, i, i+1)
		default:
			fields[i] = c + "\r\n"
		}
	}
	return line + "\r\n" + strings.Join(fields, "") + "\r\n"
}

// acceptFor computes Sec-WebSocket-Accept (RFC 6455 section 4.2.2).
func acceptFor(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// upgrade parses and answers one request.
func upgrade(t *testing.T, in string, protocols []string, accept func(string) error) (string, error) {
	t.Helper()
	var h Head
	if n, err := h.Parse([]byte(in), 0); err != nil || n != len(in) {
		t.Fatalf("%q: %d bytes parsed, %v", in, n, err)
	}
	out, err := NewUpgrader(false).Upgrade([]byte("before"), &h, protocols, func(a Agreement) error { return accept(a.Protocol) })
	after, ok := strings.CutPrefix(string(out), "before")
	if !ok {
		t.Fatalf("what was there is gone: %q", out)
	}
	return after, err
}

// checkResponse wants out to be one whole response with the given status and
// header fields.
func checkResponse(t *testing.T, out string, status int, fields ...string) {
	t.Helper()
	r := bufio.NewReader(strings.NewReader(out))
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatalf("the answer %q: %v", out, err)
	}
	defer res.Body.Close()
	if res.StatusCode != status || res.Proto != "HTTP/1.1" {
		t.Errorf("the answer is %s %s, want %d", res.Proto, res.Status, status)
	}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		if got := res.Header.Values(name); len(got) != 1 || got[0] != value {
			t.Errorf("%s is %q in the answer, want %q", name, got, value)
		}
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Errorf("the body: %v", err)
	}
	if rest, _ := io.ReadAll(r); len(rest) > 0 {
		t.Errorf("behind the answer comes %q", rest)
	}
	if status == http.StatusSwitchingProtocols {
		return
	}
	if !res.Close || res.ContentLength != int64(len(body)) || len(body) < 2 || res.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("the refusal %q is incomplete", out)
	}
}

// RFC 6455 sections 4.1 and 4.2.1.
func TestUpgrade(t *testing.T) {
	const get = "GET /chat HTTP/1.1"
	tests := []struct {
		name   string
		in     string
		status int
		field  string // that has to be in the answer
	}{
		{"right", request(get), 101, "Sec-WebSocket-Accept: " + rfcAccept},
		{"right", request(get), 101, "Upgrade: websocket"},
		{"right", request(get), 101, "Connection: Upgrade"},
		{"right, with more fields", request(get, "User-Agent: x", "Cookie: a=b", "Origin: https://example.com"), 101, ""},
		{"an extension that isn't taken up", request(get, "Sec-WebSocket-Extensions: permessage-deflate"), 101, ""},
		{"fields in small letters", strings.ReplaceAll(strings.ToLower(request(get)), strings.ToLower(get), get), 101, ""},
		{"fields in capitals", request(get, "Upgrade: WEBSOCKET", "Connection: UPGRADE"), 101, ""},
		{"HTTP/1.2", request("GET / HTTP/1.2"), 101, ""},
		{"a body of no bytes", request(get, "Content-Length: 0"), 101, ""},

		{"Connection with several tokens", request(get, "Connection: keep-alive, Upgrade"), 101, ""},
		{"Connection with several tokens, the other way round", request(get, "Connection: upgrade ,keep-alive"), 101, ""},
		{"Connection with empty tokens", request(get, "Connection: ,, Upgrade,"), 101, ""},
		{"two Connection fields", request(get, "Connection: keep-alive\r\nConnection: Upgrade"), 101, ""},
		{"two Connection fields, the other way round", request(get, "Connection: Upgrade\r\nConnection: keep-alive"), 101, ""},
		{"Upgrade offers something else too", request(get, "Upgrade: h2c, websocket"), 101, ""},
		{"two Upgrade fields", request(get, "Upgrade: h2c\r\nUpgrade: websocket"), 101, ""},

		{"POST", request("POST /chat HTTP/1.1"), 405, "Allow: GET"},
		{"HEAD", request("HEAD /chat HTTP/1.1"), 405, "Allow: GET"},
		{"get in small letters", request("get /chat HTTP/1.1"), 405, "Allow: GET"},
		{"HTTP/1.0", request("GET /chat HTTP/1.0"), 505, ""},
		{"HTTP/1.0 without Host", request("GET /chat HTTP/1.0", "Host"), 505, ""},
		{"HTTP/2.0", request("GET /chat HTTP/2.0"), 505, ""},
		{"HTTP/0.9", request("GET /chat HTTP/0.9"), 505, ""},
		{"absolute form, where another Host could stand", request("GET http://example.org/chat HTTP/1.1"), 400, ""},
		{"asterisk form", request("GET * HTTP/1.1"), 400, ""},

		{"no Host", request(get, "Host"), 400, ""},
		{"no Upgrade", request(get, "Upgrade"), 400, ""},
		{"Upgrade to something else", request(get, "Upgrade: h2c"), 400, ""},
		{"Upgrade to something longer", request(get, "Upgrade: websocket2"), 400, ""},
		{"no Connection", request(get, "Connection"), 400, ""},
		{"Connection for something else", request(get, "Connection: keep-alive"), 400, ""},
		{"Connection with a longer token", request(get, "Connection: upgraded"), 400, ""},
		{"a Transfer-Encoding", request(get, "Transfer-Encoding: chunked"), 400, ""},
		{"a Transfer-Encoding of nothing", request(get, "Transfer-Encoding: identity"), 400, ""},
		{"a Content-Length", request(get, "Content-Length: 5"), 400, ""},
		{"a Content-Length that isn't a number", request(get, "Content-Length: +0"), 400, ""},
		{"two lengths", request(get, "Content-Length: 0\r\nContent-Length: 5"), 400, ""},
		{"both", request(get, "Content-Length: 0", "Transfer-Encoding: chunked"), 400, ""},

		{"no key", request(get, "Sec-WebSocket-Key"), 400, ""},
		{"two keys", request(get, "Sec-WebSocket-Key: "+rfcKey+"\r\nSec-WebSocket-Key: "+rfcKey), 400, ""},
		{"an empty key", request(get, "Sec-WebSocket-Key: "), 400, ""},
		{"a key of 15 bytes", request(get, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA"), 400, ""},
		{"a key of 17 bytes", request(get, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAA="), 400, ""},
		{"a key of 18 bytes", request(get, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAAA"), 400, ""},
		{"a key without padding", request(get, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ"), 400, ""},
		{"a key that isn't base64", request(get, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j*Q=="), 400, ""},
		{"a key in base64 for URLs", request(get, "Sec-WebSocket-Key: __________________-_-w=="), 400, ""},

		{"no version", request(get, "Sec-WebSocket-Version"), 400, ""},
		{"two versions", request(get, "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13"), 400, ""},
		{"version 8", request(get, "Sec-WebSocket-Version: 8"), 426, "Sec-WebSocket-Version: 13"},
		{"version 8 says what to change to", request(get, "Sec-WebSocket-Version: 8"), 426, "Upgrade: websocket"},
		{"version 013", request(get, "Sec-WebSocket-Version: 013"), 426, "Sec-WebSocket-Version: 13"},
		{"a list of versions", request(get, "Sec-WebSocket-Version: 13, 8"), 426, "Sec-WebSocket-Version: 13"},
		{"version 0, whose key looks different", request(get, "Sec-WebSocket-Version: 0", "Sec-WebSocket-Key"), 426, "Sec-WebSocket-Version: 13"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			asked := false
			out, err := upgrade(t, tt.in, nil, func(string) error {
				asked = true
				return nil
			})
			if got := statusOf(t, err); got != tt.status && (got != 0 || tt.status != 101) {
				t.Errorf("the error is %v, want status %d", err, tt.status)
			}
			if tt.field == "" {
				checkResponse(t, out, tt.status)
			} else {
				checkResponse(t, out, tt.status, tt.field)
			}
			if asked != (tt.status == 101) {
				t.Errorf("accept was called: %t", asked)
			}
		})
	}
}

// RFC 6455 sections 4.1 and 4.2.2: the client's order decides.
func TestUpgradeSubprotocol(t *testing.T) {
	tests := []struct {
		name    string
		offered []string // each a field
		known   []string
		want    string
		status  int
	}{
		{"none offered", nil, []string{"chat"}, "", 101},
		{"none known", []string{"chat"}, nil, "", 101},
		{"no common one", []string{"chat, superchat"}, []string{"mqtt"}, "", 101},
		{"the only one", []string{"chat"}, []string{"chat"}, "chat", 101},
		{"the client's first", []string{"chat, superchat"}, []string{"superchat", "chat"}, "chat", 101},
		{"the first that is known", []string{"mqtt, superchat, chat"}, []string{"chat", "superchat"}, "superchat", 101},
		{"in two fields", []string{"mqtt", "superchat,chat"}, []string{"chat", "superchat"}, "superchat", 101},
		{"case counts", []string{"Chat"}, []string{"chat"}, "", 101},
		{"a part of a name", []string{"chat2"}, []string{"chat"}, "", 101},
		{"not a list of names", []string{"ch(at"}, []string{"chat"}, "", 400},
	}
	for _, tt := range tests {
		var changes []string
		for _, o := range tt.offered {
			changes = append(changes, "Sec-WebSocket-Protocol: "+o)
		}
		if len(changes) > 1 {
			changes = []string{strings.Join(changes, "\r\n")}
		}
		got := "not asked"
		out, _ := upgrade(t, request("GET / HTTP/1.1", changes...), tt.known, func(p string) error {
			got = p
			return nil
		})
		if tt.status != 101 {
			checkResponse(t, out, tt.status)
			continue
		}
		if got != tt.want {
			t.Errorf("%s: accept got %q, want %q", tt.name, got, tt.want)
		}
		if tt.want != "" {
			checkResponse(t, out, 101, "Sec-WebSocket-Protocol: "+tt.want)
		} else if checkResponse(t, out, 101); strings.Contains(out, "Protocol:") {
			t.Errorf("%s: the answer is %q", tt.name, out)
		}
	}
}

// What accept returns is what the client is told, except for what went wrong
// inside.
func TestUpgradeRefusedByAccept(t *testing.T) {
	refusal := &Refusal{Status: 403, Reason: "not from there", Header: "X-Why: origin\r\n"}
	tests := []struct {
		err    error
		status int
		reason string
	}{
		{refusal, 403, "not from there"},
		{fmt.Errorf("wrapped: %w", refusal), 403, "not from there"},
		{errors.New("the database at 10.0.0.1 is down"), 500, "could not accept"},
		{io.EOF, 500, "could not accept"},
		{io.ErrUnexpectedEOF, 500, "could not accept"},
	}
	for _, tt := range tests {
		out, err := upgrade(t, request("GET / HTTP/1.1"), nil, func(string) error { return tt.err })
		checkResponse(t, out, tt.status)
		if statusOf(t, err) != tt.status || !strings.Contains(out, tt.reason) || strings.Contains(out, "10.0.0.1") {
			t.Errorf("%v: the error is %v, the answer %q", tt.err, err, out)
		}
	}
	out, _ := upgrade(t, request("GET / HTTP/1.1"), nil, func(string) error { return refusal })
	checkResponse(t, out, 403, "X-Why: origin")
}

// An Upgrader answers one request after the other: nothing of an earlier one
// shows, neither of a long one nor of a refused one.
func TestUpgraderIsReusable(t *testing.T) {
	u := NewUpgrader(false)
	var h Head
	for range 3 {
		for _, tt := range []struct {
			in       string
			protocol string
			status   int
		}{
			{request("GET / HTTP/1.1", "Sec-WebSocket-Protocol: "+strings.Repeat("mqtt, ", 1000)+"chat"), "chat", 0},
			{request("GET / HTTP/1.1"), "", 0},
			{request("GET / HTTP/1.1", "Sec-WebSocket-Version: 8"), "", 426},
			{request("GET / HTTP/1.1", "Sec-WebSocket-Protocol: ch(at"), "", 400},
		} {
			if _, err := h.Parse([]byte(tt.in), 0); err != nil {
				t.Fatal(err)
			}
			got := ""
			_, err := u.Upgrade(nil, &h, []string{"chat"}, func(a Agreement) error { got = a.Protocol; return nil })
			if statusOf(t, err) != tt.status || got != tt.protocol {
				t.Errorf("%.60q: %v, subprotocol %q", tt.in, err, got)
			}
		}
	}
}

// Whatever is accepted, net/http sees the same in it, and the answer is one
// whole response.
func FuzzUpgrade(f *testing.F) {
	u := NewUpgrader(false)
	f.Fuzz(func(t *testing.T, in []byte) {
		var h Head
		size, err := h.Parse(in, 0)
		if size == 0 || err != nil {
			return
		}
		protocol := ""
		out, err := u.Upgrade(nil, &h, []string{"chat", "superchat"}, func(a Agreement) error {
			p := a.Protocol
			protocol = p
			return nil
		})
		if err != nil {
			checkResponse(t, string(out), statusOf(t, err))
			return
		}
		req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(in[:size])))
		if err != nil {
			t.Fatalf("%q is accepted, but net/http says: %v", in[:size], err)
		}
		if req.Method != http.MethodGet || req.RequestURI != string(h.Target) || req.Host != string(h.Get("Host")) || req.ContentLength != 0 {
			t.Errorf("%q is accepted; to net/http it is %+v", in[:size], req)
		}
		key := req.Header.Get("Sec-WebSocket-Key")
		checkResponse(t, string(out), 101, "Sec-WebSocket-Accept: "+acceptFor(key))
		if protocol != "" && !strings.Contains(strings.Join(req.Header.Values("Sec-WebSocket-Protocol"), ","), protocol) {
			t.Errorf("the subprotocol %q wasn't offered", protocol)
		}
	})
}
