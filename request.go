package hubbub

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"

	"hubbub/internal/wire"
)

// Request is the handshake of a connection that is being opened. It is only
// valid until OnOpen returns; the strings it gives out stay.
type Request struct {
	head     *wire.Head
	protocol string
	conn     *Conn
	cookies  []*http.Cookie
	parsed   bool
}

// Path returns the path as it was requested, percent-encoding included.
func (r *Request) Path() string { return string(r.head.Path()) }

// Query returns the parsed query; what is malformed in it is left out.
func (r *Request) Query() url.Values {
	v, _ := url.ParseQuery(string(r.head.Query()))
	return v
}

// Param returns the first value of a parameter of the query, "" if there is
// none. It is a cheaper Query().Get.
func (r *Request) Param(name string) string {
	for query := r.head.Query(); len(query) > 0; {
		var pair []byte
		pair, query, _ = bytes.Cut(query, []byte("&"))
		key, value, _ := bytes.Cut(pair, []byte("="))
		if bytes.IndexByte(pair, ';') >= 0 { // malformed for net/url
			continue
		}
		if bytes.ContainsAny(key, "%+") {
			if k, err := url.QueryUnescape(string(key)); err != nil || k != name {
				continue
			}
		} else if string(key) != name {
			continue
		}
		if v, err := url.QueryUnescape(string(value)); err == nil {
			return v
		}
	}
	return ""
}

// Host returns the Host field.
func (r *Request) Host() string { return r.Header("Host") }

// Header returns the first value of a header field, "" if there is none. Case
// doesn't matter.
func (r *Request) Header(name string) string { return string(r.head.Get(name)) }

// Cookie returns the value of a cookie, and whether it was sent.
func (r *Request) Cookie(name string) (value string, ok bool) {
	if !r.parsed {
		r.parsed = true
		h := http.Header{}
		for _, f := range r.head.Fields {
			if bytes.EqualFold(f.Name, []byte("Cookie")) {
				h.Add("Cookie", string(f.Value))
			}
		}
		r.cookies = (&http.Request{Header: h}).Cookies()
	}
	for _, c := range r.cookies {
		if c.Name == name {
			return c.Value, true
		}
	}
	return "", false
}

// Subprotocol returns the subprotocol agreed on, "" for none.
func (r *Request) Subprotocol() string { return r.protocol }

// RemoteAddr returns the client's address: behind a trusted proxy what that says,
// with port zero if it doesn't say; the zero value if the peer is gone.
func (r *Request) RemoteAddr() netip.AddrPort { return r.conn.peer() }

// TLS returns the state of the encryption, nil if there is none.
func (r *Request) TLS() *tls.ConnectionState {
	s := r.conn.secure()
	if s == nil {
		return nil
	}
	state := s.tls.ConnectionState()
	return &state
}

// HTTP returns the handshake as an http.Request without a body, for code that
// wants one. It costs a few allocations.
func (r *Request) HTTP() (*http.Request, error) {
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(r.head.Raw)))
	if err != nil {
		return nil, fmt.Errorf("hubbub: handshake as an http.Request: %w", err)
	}
	req.RemoteAddr = r.RemoteAddr().String()
	req.TLS = r.TLS()
	return req, nil
}

// Refuse returns an error for OnOpen that refuses the connection with an HTTP
// status from 400 to 599 and a line of text for whoever reads the answer.
func Refuse(status int, reason string) error {
	if status < 400 || status > 599 {
		status = http.StatusInternalServerError
	}
	return &wire.Refusal{Status: status, Reason: reason}
}
