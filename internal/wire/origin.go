package wire

import (
	"fmt"
	"net/url"
	"strings"
)

// CheckOriginPattern reports what is wrong with an entry of a list of allowed
// origins: "*", "scheme://host[:port]" or "scheme://*.domain[:port]".
func CheckOriginPattern(pattern string) error {
	if pattern == "*" {
		return nil
	}
	u, err := url.Parse(strings.Replace(pattern, "://*.", "://", 1))
	if err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.User != nil || strings.Contains(u.Host, "*") {
		return fmt.Errorf("%q is no origin; it looks like https://example.com, https://*.example.com, or * for all", pattern)
	}
	return nil
}

// OriginAllowed reports whether a browser may connect whose page comes from
// origin, the Origin field's value, to a server it called host (RFC 6455
// section 10.2): if the page comes from that same host, or a pattern allows
// it. An empty origin isn't a browser's.
func OriginAllowed(origin, host string, patterns []string) bool {
	if origin == "" {
		return true
	}
	for _, p := range patterns {
		if p == "*" || strings.EqualFold(p, origin) {
			return true
		}
		scheme, domain, wild := strings.Cut(p, "://*.")
		if !wild {
			continue
		}
		s, h, ok := strings.Cut(origin, "://")
		if ok && strings.EqualFold(s, scheme) && len(h) > len(domain)+1 &&
			strings.EqualFold(h[len(h)-len(domain)-1:], "."+domain) {
			return true
		}
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, host)
}
