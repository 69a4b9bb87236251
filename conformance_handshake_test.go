package hubbub

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// A handshakeCase is a request and how it is answered.
type handshakeCase struct {
	section string // of RFC 6455, unless it says otherwise
	name    string
	request string
	status  int
	field   string // that the answer has to have, "Name: value"; "Name:" for none of that name
}

// asking returns the request of RFC 6455 section 1.2, changed: each of changes
// is put in the place of the field of its name, or behind the others. "Name"
// alone takes a field out.
func asking(changes ...string) string {
	line, fields, _ := strings.Cut(strings.TrimSuffix(handshake, "\r\n\r\n"), "\r\n")
	lines := strings.Split(fields, "\r\n")
	for _, c := range changes {
		name, _, ok := strings.Cut(c, ":")
		at := len(lines)
		for i, l := range lines {
			if strings.HasPrefix(l, name+":") {
				at = i
			}
		}
		switch {
		case !ok:
			lines = append(lines[:at], lines[at+1:]...)
		case at < len(lines):
			lines[at] = c
		default:
			lines = append(lines, c)
		}
	}
	return line + "\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n"
}

const sampleKey = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="

func handshakeCases() []handshakeCase {
	request := func(line string, changes ...string) string {
		return strings.Replace(asking(changes...), "GET /echo HTTP/1.1", line, 1)
	}
	const accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
	return []handshakeCase{
		{"1.3", "the example", asking(), 101, accept},
		{"4.1", "the other example, whose last letter has spare bits", asking("Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEC=="), 101, "Sec-WebSocket-Accept: OfS0wDaT5NoxF2gqm7Zj2YtetzM="},
		{"4.1", "the same without them", asking("Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA=="), 101, "Sec-WebSocket-Accept: C/0nmHhBztSRGR1CwL6Tf4ZjwpY="},
		{"4.2.2", "Upgrade in the answer", asking(), 101, "Upgrade: websocket"},
		{"4.2.2", "Connection in the answer", asking(), 101, "Connection: Upgrade"},

		// The request line.
		{"4.2.1", "HTTP/1.0", request("GET /echo HTTP/1.0"), 505, ""},
		{"4.2.1", "HTTP/0.9", request("GET /echo HTTP/0.9"), 505, ""},
		{"4.2.1", "HTTP/1.2", request("GET /echo HTTP/1.2"), 101, accept},
		{"4.2.1", "no HTTP version", request("GET /echo"), 400, ""},
		{"4.2.1", "HEAD", request("HEAD /echo HTTP/1.1"), 405, "Allow: GET"},
		{"4.2.1", "POST", request("POST /echo HTTP/1.1"), 405, "Allow: GET"},
		{"4.2.1", "PUT", request("PUT /echo HTTP/1.1"), 405, "Allow: GET"},
		{"4.2.1", "OPTIONS", request("OPTIONS /echo HTTP/1.1"), 405, "Allow: GET"},
		{"4.2.1", "CONNECT", request("CONNECT /echo HTTP/1.1"), 405, "Allow: GET"},
		{"4.2.1", "get, which is another method", request("get /echo HTTP/1.1"), 405, "Allow: GET"},
		{"4.2.1", "a resource name with a query", request("GET /echo?a=b&c=%20 HTTP/1.1"), 101, accept},
		{"4.2.1", "an absolute URI that has the resource name", request("GET http://example.com/echo HTTP/1.1"), 101, accept},
		{"RFC 9112 3.2.2", "an absolute URI of another host", request("GET http://example.org/echo HTTP/1.1"), 400, ""},
		{"4.2.2", "a resource that isn't there", request("GET /nowhere HTTP/1.1"), 404, "Sec-WebSocket-Accept:"},

		// Host.
		{"4.2.1", "no Host", asking("Host"), 400, ""},
		{"4.2.1", "two Hosts", asking("Host: example.com\r\nHost: example.com"), 400, ""},

		{"10.2", "two Origins", asking("Host: example.com\r\nOrigin: http://example.com\r\nOrigin: http://evil.example"), 400, ""},

		// Upgrade. Without it, this is an ordinary request.
		{"4.2.1", "no Upgrade", asking("Upgrade"), 404, "Sec-WebSocket-Accept:"},
		{"4.2.1", "Upgrade to something else", asking("Upgrade: h2c"), 404, "Sec-WebSocket-Accept:"},
		{"4.2.1", "Upgrade with a longer token", asking("Upgrade: websockets"), 404, "Sec-WebSocket-Accept:"},
		{"4.2.1", "Upgrade in capitals", asking("Upgrade: WebSocket"), 101, accept},
		{"4.2.1", "Upgrade to one of two", asking("Upgrade: h2c, websocket"), 101, accept},

		// Connection.
		{"4.2.1", "no Connection", asking("Connection"), 400, ""},
		{"4.2.1", "Connection: close", asking("Connection: close"), 400, ""},
		{"4.2.1", "Connection with a longer token", asking("Connection: Upgraded"), 400, ""},
		{"4.2.1", "Connection in small letters", asking("Connection: upgrade"), 101, accept},
		{"4.2.1", "Connection: keep-alive, Upgrade", asking("Connection: keep-alive, Upgrade"), 101, accept},
		{"4.2.1", "two Connection fields", asking("Connection: keep-alive\r\nConnection: Upgrade"), 101, accept},

		// Sec-WebSocket-Key: 16 bytes, once.
		{"4.2.1", "no key", asking("Sec-WebSocket-Key"), 400, "Sec-WebSocket-Accept:"},
		{"4.2.1", "an empty key", asking("Sec-WebSocket-Key:"), 400, "Sec-WebSocket-Accept:"},
		{"4.2.1", "a key of 1 byte", asking("Sec-WebSocket-Key: AQ=="), 400, ""},
		{"4.2.1", "a key of 15 bytes", asking("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA"), 400, ""},
		{"4.2.1", "a key of 17 bytes", asking("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAA="), 400, ""},
		{"4.2.1", "a key of 32 bytes", asking("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="), 400, ""},
		{"4.2.1", "a key without its padding", asking("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ"), 400, ""},
		{"4.2.1", "a key with something else in it", asking("Sec-WebSocket-Key: dGhlIHNhbXBs*SBub25jZQ=="), 400, ""},
		{"4.2.1", "spaces around the key", asking("Sec-WebSocket-Key: \t dGhlIHNhbXBsZSBub25jZQ== \t"), 101, accept},
		{"11.3.1", "two keys", asking(sampleKey + "\r\n" + sampleKey), 400, ""},

		// Sec-WebSocket-Version.
		{"4.2.1", "no version", asking("Sec-WebSocket-Version"), 400, ""},
		{"4.4", "version 8", asking("Sec-WebSocket-Version: 8"), 426, "Sec-WebSocket-Version: 13"},
		{"4.4", "version 7", asking("Sec-WebSocket-Version: 7"), 426, "Sec-WebSocket-Version: 13"},
		{"4.4", "version 0", asking("Sec-WebSocket-Version: 0"), 426, "Sec-WebSocket-Version: 13"},
		{"4.4", "version 14", asking("Sec-WebSocket-Version: 14"), 426, "Sec-WebSocket-Version: 13"},
		{"4.4", "version 255", asking("Sec-WebSocket-Version: 255"), 426, "Sec-WebSocket-Version: 13"},
		{"4.4", "version 013, which isn't a version", asking("Sec-WebSocket-Version: 013"), 426, "Sec-WebSocket-Version: 13"},
		{"4.4", "version 13, 8, which isn't a version", asking("Sec-WebSocket-Version: 13, 8"), 426, "Sec-WebSocket-Version: 13"},
		{"RFC 9110 15.5.22", "426 says what to upgrade to", asking("Sec-WebSocket-Version: 8"), 426, "Upgrade: websocket"},
		{"11.3.5", "two versions", asking("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13"), 400, ""},

		// Sec-WebSocket-Protocol.
		{"4.2.2", "no subprotocol", asking(), 101, "Sec-WebSocket-Protocol:"},
		{"4.2.2", "a subprotocol", asking("Sec-WebSocket-Protocol: chat"), 101, "Sec-WebSocket-Protocol: chat"},
		{"4.2.2", "the first that is known", asking("Sec-WebSocket-Protocol: x, superchat, chat"), 101, "Sec-WebSocket-Protocol: superchat"},
		{"4.2.2", "none that is known", asking("Sec-WebSocket-Protocol: x, y"), 101, "Sec-WebSocket-Protocol:"},
		{"4.2.2", "subprotocols differ by case", asking("Sec-WebSocket-Protocol: CHAT"), 101, "Sec-WebSocket-Protocol:"},
		{"11.3.4", "subprotocols in two fields", asking("Sec-WebSocket-Protocol: x\r\nSec-WebSocket-Protocol: chat"), 101, "Sec-WebSocket-Protocol: chat"},
		{"11.3.4", "a subprotocol that is no token", asking("Sec-WebSocket-Protocol: ch(at"), 400, ""},
		{"11.3.4", "a second subprotocol that is no token", asking("Sec-WebSocket-Protocol: chat, ch(at"), 400, ""},
		{"11.3.4", "a subprotocol that is no token, in a second field", asking("Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: ch(at"), 400, ""},
		{"11.3.4", "subprotocols without a comma", asking("Sec-WebSocket-Protocol: chat superchat"), 400, ""},
		{"RFC 9110 5.6.1", "a list of subprotocols with tabs", asking("Sec-WebSocket-Protocol: x,\tchat"), 101, "Sec-WebSocket-Protocol: chat"},
		{"RFC 9110 5.6.1", "a list of subprotocols with empty members", asking("Sec-WebSocket-Protocol: , x,,chat,"), 101, "Sec-WebSocket-Protocol: chat"},

		// Sec-WebSocket-Extensions.
		{"4.2.2", "no extension", asking(), 101, "Sec-WebSocket-Extensions:"},
		{"9.1", "an extension that nobody knows", asking("Sec-WebSocket-Extensions: x-nobody; a=1; b=\"c\""), 101, "Sec-WebSocket-Extensions:"},
		{"9.1", "two extensions that nobody knows", asking("Sec-WebSocket-Extensions: x-nobody\r\nSec-WebSocket-Extensions: x-no-one, x-none"), 101, "Sec-WebSocket-Extensions:"},
		{"9.1", "an extension that is no token", asking("Sec-WebSocket-Extensions: x(y"), 400, ""},
		{"9.1", "an extension with an empty parameter", asking("Sec-WebSocket-Extensions: x-nobody; "), 400, ""},

		// Origin.
		{"4.2.2", "no Origin", asking(), 101, accept},
		{"10.2", "the server's own origin", asking("Origin: http://example.com"), 101, accept},
		{"10.2", "an origin that is allowed", asking("Origin: https://friend.example"), 101, accept},
		{"10.2", "another origin", asking("Origin: https://evil.example"), 403, "Sec-WebSocket-Accept:"},
		{"10.2", "an origin that begins alike", asking("Origin: https://friend.example.evil.example"), 403, ""},
		{"10.2", "an origin on another port", asking("Origin: http://example.com:81"), 403, ""},
		{"10.2", "null, which is no origin", asking("Origin: null"), 403, ""},

		// Fields in general.
		{"4.2.1", "fields that nobody knows", asking("X-Custom: a", "Cookie: b=c", "User-Agent: d"), 101, accept},
		{"RFC 9112 5.1", "a space before a colon", asking("X-Custom : a"), 400, ""},
		{"RFC 9112 5.2", "a folded field", asking("X-Custom: a\r\n b"), 400, ""},
		{"RFC 9112 2.2", "LF alone", strings.ReplaceAll(asking(), "\r\n", "\n"), 400, ""},
	}
}

// RFC 6455 sections 4.2.1, 4.2.2, 4.4, 9.1, 10.2 and 11.3.
func TestConformanceHandshake(t *testing.T) {
	cfg := echoes()
	cfg.Origins = []string{"https://friend.example"}
	echo := cfg.Endpoints["/echo"]
	echo.Subprotocols = []string{"chat", "superchat"}
	cfg.Endpoints["/echo"] = echo
	conform(t, cfg, func(t *testing.T, dial transport) {
		for _, tt := range handshakeCases() {
			t.Run(tt.section+" "+tt.name, func(t *testing.T) {
				t.Run("at once", func(t *testing.T) { tt.run(t, dial, len(tt.request)) })
				t.Run("octet-wise", func(t *testing.T) { tt.run(t, dial, 1) })
			})
		}
		for _, f := range []func(string) string{strings.ToLower, strings.ToUpper} {
			fields := []string{f("Host") + ": example.com", f("Upgrade") + ": websocket", f("Connection") + ": Upgrade",
				f("Sec-WebSocket-Key") + ": dGhlIHNhbXBsZSBub25jZQ==", f("Sec-WebSocket-Version") + ": 13"}
			t.Run("RFC 9110 5.1 "+f("Field Names"), func(t *testing.T) {
				tt := handshakeCase{request: "GET /echo HTTP/1.1\r\n" + strings.Join(fields, "\r\n") + "\r\n\r\n", status: 101}
				tt.run(t, dial, len(tt.request))
			})
		}
	})
}

func (tt *handshakeCase) run(t *testing.T, dial transport, size int) {
	p := reach(t, dial)
	p.chop(tt.request, size)
	resp, err := http.ReadResponse(p.in, nil)
	if err != nil {
		t.Fatal(p.noted(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != tt.status || resp.Proto != "HTTP/1.1" {
		t.Fatalf("answered %s %s, want HTTP/1.1 %d", resp.Proto, resp.Status, tt.status)
	}
	if name, want, ok := strings.Cut(tt.field, ":"); ok {
		want = strings.TrimSpace(want)
		if got := resp.Header.Values(name); want == "" && len(got) > 0 || want != "" && (len(got) != 1 || got[0] != want) {
			t.Errorf("the answer has %s: %q, want %q", name, got, want)
		}
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		p.send(toServer(wholeText, "it works"), closeWith(1000, ""))
		p.expectEnd(toClient(wholeText, "it works"), 1000)
		return
	}
	if _, err := io.ReadAll(resp.Body); err != nil {
		t.Errorf("the body: %v", err)
	}
	if rest, err := io.ReadAll(p.in); err != nil || len(rest) > 0 {
		t.Errorf("behind the refusal came %q and %v, want the end of the stream", rest, p.noted(err))
	}
}

// Sections 1.3, 4.2.2 and 11.3: the answer itself, byte by byte.
func TestConformanceHandshakeAnswer(t *testing.T) {
	conform(t, echoes(), func(t *testing.T, dial transport) {
		p := reach(t, dial)
		p.send(handshake)
		var lines []string
		for {
			line, err := p.in.ReadString('\n')
			if err != nil {
				t.Fatal(p.noted(err))
			}
			if line == "\r\n" {
				break
			}
			lines = append(lines, line)
		}
		if lines[0] != "HTTP/1.1 101 Switching Protocols\r\n" {
			t.Errorf("the status line is %q", lines[0])
		}
		seen := map[string]bool{}
		for _, l := range lines[1:] {
			name, value, ok := strings.Cut(l, ": ")
			if !ok || !strings.HasSuffix(value, "\r\n") || seen[strings.ToLower(name)] {
				t.Errorf("the field %q is malformed or there twice", l)
			}
			seen[strings.ToLower(name)] = true
		}
		for _, name := range []string{"upgrade", "connection", "sec-websocket-accept"} {
			if !seen[name] {
				t.Errorf("there is no field %s", name)
			}
		}
		for _, name := range []string{"content-length", "transfer-encoding", "sec-websocket-protocol", "sec-websocket-extensions", "sec-websocket-version"} {
			if seen[name] {
				t.Errorf("there is a field %s", name)
			}
		}
	})
}

// Section 4.1 doesn't let a client send frames before it has the answer, but
// one that does so is understood all the same; and so is one whose frames lie
// in a segment with the handshake's end.
func TestConformanceFramesWithHandshake(t *testing.T) {
	a, aBack := toServer(wholeText, "early"), toClient(wholeText, "early")
	conform(t, echoes(), func(t *testing.T, dial transport) {
		for _, e := range []exchange{
			ex("4.2.2", "a message", aBack, goesOn, a),
			ex("4.2.2", "a hundred messages", strings.Repeat(aBack, 100), goesOn, strings.Repeat(a, 100)),
			ex("4.2.2", "a message of 64 KiB", toClient(wholeBinary, strings.Repeat("x", 65536)), goesOn, toServer(wholeBinary, strings.Repeat("x", 65536))),
			ex("4.2.2", "a fragment, a ping, a fragment", toClient(wholePong, "p")+toClient(wholeText, "ab"), goesOn, toServer(opText, "a"), toServer(wholePing, "p"), toServer(finBit|opCont, "b")),
			ex("4.2.2", "a message and a close", aBack, 1000, a, closeWith(1000, "")),
			ex("4.2.2", "a message and an error", aBack, 1002, a, "\x83\x80"),
			ex("4.2.2", "bad text that goes on", "", 1007, cutFrame(wholeText, 100, "\xff")),
		} {
			all := handshake + strings.Join(e.chunks, "")
			for _, cut := range []int{len(all), len(handshake) - 1, len(handshake) + 1, len(handshake) + 3, len(handshake) + 7, 1} {
				if cut == 1 && len(all) > 2*octetwise {
					continue
				}
				t.Run(fmt.Sprintf("%s %s, in pieces of %d", e.section, e.name, cut), func(t *testing.T) {
					p := reach(t, dial)
					p.chop(all, cut)
					p.answered()
					code := e.code
					if code == goesOn {
						p.send(closeWith(1000, ""))
						code = 1000
					}
					p.expectEnd(e.want, code)
				})
			}
		}
	})
}

// RFC 6585 section 5: a head that never ends is refused, not collected.
func TestConformanceEndlessHead(t *testing.T) {
	conform(t, echoes(), func(t *testing.T, dial transport) {
		for _, s := range []string{"X-Custom: " + strings.Repeat("x", 20<<10), strings.Repeat("X-Custom: a\r\n", 20<<10/13)} {
			p := reach(t, dial)
			p.send("GET /echo HTTP/1.1\r\n" + s)
			resp, err := http.ReadResponse(p.in, nil)
			if err != nil || resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
				t.Errorf("answered %v, %v", resp, p.noted(err))
			}
		}
	})
}
