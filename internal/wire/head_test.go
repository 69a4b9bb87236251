package wire

import (
	"bufio"
	"bytes"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// parse gives h the bytes of in up to each of cuts and then all of them, as a
// connection does that collects them. It returns what the first call says that
// doesn't ask for more.
func parse(h *Head, in []byte, cuts ...int) (int, error) {
	seen := 0
	for _, n := range append(cuts, len(in)) {
		if size, err := h.Parse(in[:n], seen); size > 0 || err != nil {
			return size, err
		}
		seen = n
	}
	return 0, nil
}

// statusOf returns the status with which err refuses a request, 0 for nil.
func statusOf(t *testing.T, err error) int {
	t.Helper()
	if err == nil {
		return 0
	}
	var r *Refusal
	if !errors.As(err, &r) {
		t.Fatalf("the error is a %T: %v", err, err)
	}
	return r.Status
}

func TestHeadParse(t *testing.T) {
	many := func(n int) string { return strings.Repeat("A: b\r\n", n) }
	sized := func(n int) string { // a head of n bytes
		return "GET / HTTP/1.1\r\nA: " + strings.Repeat("b", n-len("GET / HTTP/1.1\r\nA: \r\n\r\n")) + "\r\n\r\n"
	}
	tests := []struct {
		section string // of RFC 9112, unless it says otherwise
		name    string
		in      string
		status  int // of the refusal; 0 for none
		rest    int // bytes of in behind the head, -1 if it isn't all there
	}{
		{"2.1", "no fields", "GET / HTTP/1.1\r\n\r\n", 0, 0},
		{"2.1", "some fields", "GET /a?b HTTP/1.1\r\nHost: h\r\nA:b\r\n\r\n", 0, 0},
		{"2.1", "what comes behind it", "GET / HTTP/1.1\r\nHost: h\r\n\r\n\x81\x85\n", 0, 3},
		{"2.1", "another head behind it", "GET / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\n\r\n", 0, 18},
		{"2.1", "nothing", "", 0, -1},
		{"2.1", "not all there", "GET / HTTP/1.1\r\nHost: h\r\n\r", 0, -1},
		{"2.2", "LF ends all lines", "GET / HTTP/1.1\nHost: h\n\n", 400, 0},
		{"2.2", "LF ends the request line", "GET / HTTP/1.1\nHost: h\r\n\r\n", 400, 0},
		{"2.2", "LF ends a field", "GET / HTTP/1.1\r\nA: b\nHost: h\r\n\r\n", 400, 0},
		{"2.2", "LF ends the head", "GET / HTTP/1.1\r\nHost: h\r\n\n", 400, 0},
		{"2.2", "LF alone", "\n", 400, 0},
		{"2.2", "CR alone in the request line", "GET /\r HTTP/1.1\r\n\r\n", 400, 0},
		{"2.2", "CR alone in a value", "GET / HTTP/1.1\r\nA: b\rHost: h\r\n\r\n", 400, 0},
		{"2.2", "an empty line in front", "\r\nGET / HTTP/1.1\r\n\r\n", 400, 0},
		{"2.2", "only an empty line", "\r\n\r\n", 400, 0},
		{"2.2", "a space before the first field", "GET / HTTP/1.1\r\n A: b\r\n\r\n", 400, 0},
		{"2.3", "HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", 0, 0},
		{"2.3", "HTTP/2.0", "GET / HTTP/2.0\r\n\r\n", 0, 0},
		{"2.3", "no digits", "GET / HTTP/x.y\r\n\r\n", 400, 0},
		{"2.3", "two digits", "GET / HTTP/1.11\r\n\r\n", 400, 0},
		{"2.3", "a digit too low", "GET / HTTP/1./\r\n\r\n", 400, 0},
		{"2.3", "a digit too high", "GET / HTTP/:.1\r\n\r\n", 400, 0},
		{"2.3", "no dot", "GET / HTTP/1,1\r\n\r\n", 400, 0},
		{"2.3", "small letters", "GET / http/1.1\r\n\r\n", 400, 0},
		{"2.3", "another protocol", "GET / ICAP/1.1\r\n\r\n", 400, 0},
		{"3", "no version", "GET /\r\n\r\n", 400, 0},
		{"3", "no target", "GET  HTTP/1.1\r\n\r\n", 400, 0},
		{"3", "only a word", "GET\r\n\r\n", 400, 0},
		{"3", "two spaces", "GET  / HTTP/1.1\r\n\r\n", 400, 0},
		{"3", "a space at the end", "GET / HTTP/1.1 \r\n\r\n", 400, 0},
		{"3", "a space in front", " GET / HTTP/1.1\r\n\r\n", 400, 0},
		{"3", "tabs instead of spaces", "GET\t/\tHTTP/1.1\r\n\r\n", 400, 0},
		{"3.1", "a method of one's own", "M-SEARCH / HTTP/1.1\r\n\r\n", 0, 0},
		{"3.1", "a method that is no token", "G(T / HTTP/1.1\r\n\r\n", 400, 0},
		{"3.1", "TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, 0},
		{"3.2", "absolute form", "GET http://h/a HTTP/1.1\r\nHost: h\r\n\r\n", 0, 0},
		{"3.2", "asterisk form", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", 0, 0},
		{"3.2", "neither path nor URL", "GET a HTTP/1.1\r\nHost: h\r\n\r\n", 400, 0},
		{"3.2", "percent without digits", "GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n", 400, 0},
		{"3.2", "a tab in the target", "GET /a\tb HTTP/1.1\r\nHost: h\r\n\r\n", 400, 0},
		{"3.2", "NUL in the target", "GET /a\x00 HTTP/1.1\r\nHost: h\r\n\r\n", 400, 0},
		{"3.2", "DEL in the target", "GET /a\x7f HTTP/1.1\r\nHost: h\r\n\r\n", 400, 0},
		{"3.2", "two Hosts", "GET / HTTP/1.1\r\nHost: h\r\nhost: h\r\n\r\n", 400, 0},
		{"3.2", "no Host, which is net/http's to refuse", "GET / HTTP/1.1\r\nA: b\r\n\r\n", 0, 0},
		{"5", "no colon", "GET / HTTP/1.1\r\nHost\r\n\r\n", 400, 0},
		{"5", "no name", "GET / HTTP/1.1\r\n: b\r\n\r\n", 400, 0},
		{"5", "a name of two words", "GET / HTTP/1.1\r\nA B: c\r\n\r\n", 400, 0},
		{"5", "NUL in a name", "GET / HTTP/1.1\r\nA\x00: b\r\n\r\n", 400, 0},
		{"5", "no value", "GET / HTTP/1.1\r\nA:\r\n\r\n", 0, 0},
		{"5", "NUL in a value", "GET / HTTP/1.1\r\nA: b\x00c\r\n\r\n", 400, 0},
		{"5", "escape in a value", "GET / HTTP/1.1\r\nA: \x1b[2J\r\n\r\n", 400, 0},
		{"5", "DEL in a value", "GET / HTTP/1.1\r\nA: b\x7f\r\n\r\n", 400, 0},
		{"5", "tab and bytes above ASCII in a value", "GET / HTTP/1.1\r\nA: b\t\xe9\r\n\r\n", 0, 0},
		{"5.1", "a space before the colon", "GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400, 0},
		{"5.2", "folded with a space", "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", 400, 0},
		{"5.2", "folded with a tab", "GET / HTTP/1.1\r\nA: b\r\n\tc: d\r\n\r\n", 400, 0},
		{"RFC 6585 5", "as many fields as may be", "GET / HTTP/1.1\r\n" + many(128) + "\r\n", 0, 0},
		{"RFC 6585 5", "one field too many", "GET / HTTP/1.1\r\n" + many(129) + "\r\n", 431, 0},
		{"RFC 6585 5", "as large as may be", sized(16384), 0, 0},
		{"RFC 6585 5", "as large as may be, and more behind it", sized(16384) + "\x81\x85\r\n\r\n", 0, 6},
		{"RFC 6585 5", "one byte too large", sized(16385), 431, 0},
		{"RFC 6585 5", "no end", sized(16385)[:16384], 431, 0},
		{"RFC 6585 5", "no end yet", sized(16384)[:16383], 0, -1},
	}
	for _, tt := range tests {
		t.Run(tt.section+" "+tt.name, func(t *testing.T) {
			want := 0
			if tt.status == 0 && tt.rest >= 0 {
				want = len(tt.in) - tt.rest
			}
			var h Head
			check := func(size int, err error) {
				t.Helper()
				if got := statusOf(t, err); got != tt.status || size != want {
					t.Fatalf("%d bytes taken, status %d, want %d, %d", size, got, want, tt.status)
				}
			}
			check(parse(&h, []byte(tt.in)))
			if tt.status == 0 && tt.rest >= 0 && len(h.Raw) != want {
				t.Errorf("Raw has %d bytes, want %d", len(h.Raw), want)
			}
			check(parse(&h, []byte(tt.in), each(len(tt.in))...))
			for _, i := range places(len(tt.in)) {
				check(parse(&h, []byte(tt.in), i))
			}
		})
	}
}

func TestHeadParts(t *testing.T) {
	in := "GET /a/b%20?c=d?e HTTP/1.1\r\nHost:\t h \r\nx-a: 1\r\nX-A: 2\r\nX-Empty:\r\n\r\n"
	var h Head
	if _, err := h.Parse([]byte("POST /old HTTP/1.0\r\nX-Old: 1\r\nX-Empty: x\r\n\r\n"), 0); err != nil {
		t.Fatal(err)
	}
	if n, err := h.Parse([]byte(in), 0); n != len(in) || err != nil {
		t.Fatalf("%d bytes taken, %v", n, err)
	}
	for _, part := range []struct{ name, got, want string }{
		{"Method", string(h.Method), "GET"},
		{"Target", string(h.Target), "/a/b%20?c=d?e"},
		{"Proto", string(h.Proto), "HTTP/1.1"},
		{"Path", string(h.Path()), "/a/b%20"},
		{"Query", string(h.Query()), "c=d?e"},
		{"Host", string(h.Get("host")), "h"},
		{"X-A", string(h.Get("X-A")), "1"},
	} {
		if part.got != part.want {
			t.Errorf("%s is %q, want %q", part.name, part.got, part.want)
		}
	}
	for _, name := range []string{"X-Empty", "X-Old"} { // one is empty, the other of an earlier head
		if v := h.Get(name); len(v) != 0 {
			t.Errorf("%s is %q, want nothing", name, v)
		}
	}
	if len(h.Fields) != 4 || string(h.Fields[2].Name) != "X-A" {
		t.Errorf("the fields are %q", h.Fields)
	}
}

func TestIsUpgrade(t *testing.T) {
	tests := []struct {
		fields string
		want   bool
	}{
		{"", false},
		{"Upgrade: websocket\r\n", true},
		{"upgrade:WebSocket\r\n", true},
		{"Upgrade: h2c, websocket\r\n", true},
		{"Upgrade: websocket , h2c\r\n", true},
		{"Upgrade: h2c\r\nUpgrade: websocket\r\n", true},
		{"Upgrade: h2c\r\n", false},
		{"Upgrade: websockets\r\n", false},
		{"Upgrade: web socket\r\n", false},
		{"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n", false},
	}
	for _, tt := range tests {
		var h Head
		if _, err := h.Parse([]byte("GET / HTTP/1.1\r\nHost: h\r\n"+tt.fields+"\r\n"), 0); err != nil {
			t.Fatal(err)
		}
		if got := h.IsUpgrade(); got != tt.want {
			t.Errorf("%q: got %t", tt.fields, got)
		}
	}
}

// RFC 9110 section 5.6.2.
func TestIsToken(t *testing.T) {
	const tchar = "!#$%&'*+-.^_`|~" + "0123456789" + "abcdefghijklmnopqrstuvwxyz" + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for c := range 256 {
		want := strings.IndexByte(tchar, byte(c)) >= 0
		for _, b := range [][]byte{{byte(c)}, {'a', byte(c)}, {byte(c), 'a'}} {
			if isToken(b) != want {
				t.Errorf("%q is a token: %t", b, !want)
			}
		}
	}
	if isToken(nil) {
		t.Error("nothing is a token")
	}
}

func TestEqualFold(t *testing.T) {
	for a := range 256 {
		for b := range 128 {
			want := a < 128 && strings.EqualFold(string(rune(a)), string(rune(b)))
			if got := equalFold([]byte{byte(a)}, string(rune(b))); got != want {
				t.Errorf("%#x and %#x: got %t", a, b, got)
			}
		}
	}
	if equalFold([]byte("Host"), "Hos") || equalFold([]byte("Hos"), "Host") {
		t.Error("a part is taken for the whole")
	}
}

// What has been accepted is accepted by net/http too, which is to see the same
// in it: two servers that read one request differently are how requests are
// smuggled.
func FuzzHead(f *testing.F) {
	f.Fuzz(func(t *testing.T, in, steps []byte) {
		var h, whole Head
		size, err := parse(&h, bytes.Clone(in), cutsOf(steps, len(in))...)
		wholeSize, wholeErr := whole.Parse(in, 0)
		if size != wholeSize || statusOf(t, err) != statusOf(t, wholeErr) {
			t.Fatalf("cut: %d bytes, %v; whole: %d bytes, %v", size, err, wholeSize, wholeErr)
		}
		if size == 0 {
			return
		}
		if size > len(in) || size > MaxHead || len(h.Fields) > maxFields {
			t.Fatalf("%d bytes of %d and %d fields have been accepted", size, len(in), len(h.Fields))
		}
		named := func(name string) (values []string) {
			for _, f := range h.Fields {
				if strings.EqualFold(string(f.Name), name) {
					values = append(values, string(f.Value))
				}
			}
			return values
		}
		for i, spelling := range spelled {
			n := name(i)
			var known []string
			for v := range h.all(n) {
				known = append(known, string(v))
			}
			if values := named(spelling); !slices.Equal(known, values) || len(known) != h.count(n) {
				t.Fatalf("%s is known to be %q, and is %q", spelling, known, values)
			} else if first := h.first(n); len(values) > 0 && string(first) != values[0] || len(values) == 0 && first != nil {
				t.Fatalf("the first of %s is known to be %q, and is %q", spelling, first, values)
			}
		}
		if h.count(nameContentLength)+h.count(nameTransferEncoding) > 0 || string(h.Method) == http.MethodConnect {
			return // net/http's to judge, which gets such requests whole
		}
		req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(in[:size])))
		if err != nil {
			t.Fatalf("%q is accepted, but net/http says: %v", in[:size], err)
		}
		if req.Method != string(h.Method) || req.RequestURI != string(h.Target) || req.Proto != string(h.Proto) {
			t.Errorf("%s %s %s is %s %s %s to net/http", h.Method, h.Target, h.Proto, req.Method, req.RequestURI, req.Proto)
		}
		if h.Target[0] == '/' && req.Host != string(h.Get("Host")) {
			t.Errorf("Host %q is %q to net/http", h.Get("Host"), req.Host)
		}
		fields := h.count(nameHost) // which net/http keeps apart
		for name, values := range req.Header {
			fields += len(values)
			if len(named(name)) > 0 && values[0] != string(h.Get(name)) {
				t.Errorf("%s is %q, to net/http it is %q", name, h.Get(name), values)
			}
		}
		if fields != len(h.Fields) && len(named("Pragma")) == 0 { // of which net/http makes a Cache-Control
			t.Errorf("%q are %v to net/http", h.Fields, req.Header)
		}
	})
}

func TestHasControl(t *testing.T) {
	for c := range 256 {
		want := c < ' ' && c != '\t' || c == 0x7f
		for n := 1; n <= 17; n++ {
			for at := range n {
				for _, around := range []byte{'a', ' ', '~', '\t', 0x80, 0xff} { // what is next to the bounds
					b := bytes.Repeat([]byte{around}, n)
					b[at] = byte(c)
					if hasControl(b) != want {
						t.Fatalf("%q has a control character, it says: %v", b, !want)
					}
				}
			}
		}
	}
}
