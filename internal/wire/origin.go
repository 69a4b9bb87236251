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
	_, host, ok := parseOrigin(strings.Replace(pattern, "://*.", "://", 1))
	if !ok || strings.Contains(host, "*") {
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
	scheme, from, ok := parseOrigin(origin)
	for _, p := range patterns {
		if p == "*" || strings.EqualFold(p, origin) {
			return true
		}
		s, domain, wild := strings.Cut(p, "://*.")
		if ok && wild && strings.EqualFold(s, scheme) && len(from) > len(domain)+1 &&
			strings.EqualFold(from[len(from)-len(domain)-1:], "."+domain) {
			return true
		}
	}
	return ok && strings.EqualFold(from, host)
}

// parseOrigin splits scheme://host[:port]. It takes nothing more than that, no
// user and no path: in what a browser sends there is no such thing (RFC 6454
// section 6.2), so it could only be there to look like another host.
func parseOrigin(s string) (scheme, host string, ok bool) {
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || strings.HasSuffix(u.Host, ":") || !strings.EqualFold(s, u.Scheme+"://"+u.Host) {
		return "", "", false
	}
	return u.Scheme, u.Host, true
}
