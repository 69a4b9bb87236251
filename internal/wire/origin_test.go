package wire

import "testing"

// RFC 6455 section 10.2, RFC 6454 sections 4 and 6.2.
func TestOriginAllowed(t *testing.T) {
	wild := []string{"https://*.example.com"}
	tests := []struct {
		name     string
		origin   string
		host     string
		patterns []string
		want     bool
	}{
		{"not a browser", "", "example.com", nil, true},
		{"the same host", "http://example.com", "example.com", nil, true},
		{"the same host and port", "https://example.com:8443", "example.com:8443", nil, true},
		{"the same host in another case", "https://EXAMPLE.com", "Example.COM", nil, true},
		{"the same address", "http://[::1]:8080", "[::1]:8080", nil, true},
		{"another host", "https://evil.com", "example.com", nil, false},
		{"another port", "http://example.com:81", "example.com:80", nil, false},
		{"a port that the host hasn't", "http://example.com:8080", "example.com", nil, false},
		{"a subdomain", "https://a.example.com", "example.com", nil, false},
		{"the host as a subdomain", "https://example.com.evil.com", "example.com", nil, false},
		{"no host to compare with", "http://", "", nil, false},
		{"null, of a sandboxed page", "null", "example.com", nil, false},
		{"null as the host", "null", "null", nil, false},
		{"only a host", "example.com", "example.com", nil, false},
		{"only slashes", "//example.com", "example.com", nil, false},
		{"opaque", "https:example.com", "example.com", nil, false},
		{"with a path", "https://example.com/", "example.com", nil, false},
		{"with a query", "https://example.com?", "example.com", nil, false},
		{"with a fragment", "https://example.com#", "example.com", nil, false},
		{"the host as a user", "https://example.com@evil.com", "example.com", nil, false},
		{"a user before the host", "https://evil.com@example.com", "example.com", nil, false},
		{"two origins", "https://example.com https://evil.com", "example.com", nil, false},

		{"any", "https://evil.com", "example.com", []string{"*"}, true},
		{"any, null too", "null", "example.com", []string{"*"}, true},
		{"a pattern", "https://example.org", "example.com", []string{"https://example.org"}, true},
		{"a pattern in another case", "https://Example.org", "example.com", []string{"HTTPS://example.ORG"}, true},
		{"the second pattern", "https://example.org", "example.com", []string{"https://a", "https://example.org"}, true},
		{"a pattern for another scheme", "http://example.org", "example.com", []string{"https://example.org"}, false},
		{"a pattern for another port", "https://example.org:8443", "example.com", []string{"https://example.org"}, false},
		{"a pattern with the port", "https://example.org:8443", "example.com", []string{"https://example.org:8443"}, true},
		{"a longer host than the pattern's", "https://example.org.evil.com", "example.com", []string{"https://example.org"}, false},
		{"the same host, besides patterns", "https://example.com", "example.com", []string{"https://example.org"}, true},

		{"a subdomain of the pattern", "https://a.example.com", "h", wild, true},
		{"a deep subdomain", "https://a.b.example.com", "h", wild, true},
		{"a subdomain in another case", "https://A.EXAMPLE.com", "h", wild, true},
		{"the domain itself", "https://example.com", "h", wild, false},
		{"an empty label", "https://.example.com", "h", wild, false},
		{"a domain that ends alike", "https://evil-example.com", "h", wild, false},
		{"a domain that ends alike, without the hyphen", "https://evilexample.com", "h", wild, false},
		{"a domain that begins alike", "https://a.example.com.evil.com", "h", wild, false},
		{"a subdomain with another scheme", "http://a.example.com", "h", wild, false},
		{"a subdomain with a port", "https://a.example.com:8443", "h", wild, false},
		{"a subdomain with the pattern's port", "https://a.example.com:8443", "h", []string{"https://*.example.com:8443"}, true},
		{"a subdomain with another port than the pattern's", "https://a.example.com:9443", "h", []string{"https://*.example.com:8443"}, false},
		{"the domain in a path", "https://evil.com/a.example.com", "h", wild, false},
		{"the domain in a query", "https://evil.com?a.example.com", "h", wild, false},
		{"the domain in a fragment", "https://evil.com#a.example.com", "h", wild, false},
		{"the domain behind a backslash", `https://evil.com\a.example.com`, "h", wild, false},
		{"the domain as a user", "https://a.example.com@evil.com", "h", wild, false},
		{"a user before the domain", "https://evil.com@a.example.com", "h", wild, false},
		{"null and a pattern", "null", "h", wild, false},
	}
	for _, tt := range tests {
		for _, p := range tt.patterns {
			if err := CheckOriginPattern(p); err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
		}
		if got := OriginAllowed(tt.origin, tt.host, tt.patterns); got != tt.want {
			t.Errorf("%s: %q at %q with %q: got %t", tt.name, tt.origin, tt.host, tt.patterns, got)
		}
	}
}

func TestCheckOriginPattern(t *testing.T) {
	for pattern, ok := range map[string]bool{
		"*":                           true,
		"https://example.com":         true,
		"https://example.com:8443":    true,
		"HTTPS://Example.com":         true,
		"http://localhost:3000":       true,
		"http://[::1]:8080":           true,
		"https://*.example.com":       true,
		"https://*.example.com:8443":  true,
		"chrome-extension://abcdef":   true,
		"":                            false,
		"null":                        false,
		"example.com":                 false,
		"*.example.com":               false,
		"//example.com":               false,
		"https://":                    false,
		"https://*.":                  false,
		"https://*":                   false,
		"https://:8443":               false,
		"https://example.com:":        false,
		"https://example.com:port":    false,
		"https://example.com/":        false,
		"https://example.com/chat":    false,
		"https://example.com?":        false,
		"https://example.com?a=b":     false,
		"https://example.com#":        false,
		"https://example.com#a":       false,
		"https://user@example.com":    false,
		"https://a*.example.com":      false,
		"https://*.*.example.com":     false,
		"https://example.*":           false,
		"https://exa mple.com":        false,
		"https:example.com":           false,
		"https://a.com,https://b.com": false,
		"https://a.com https://b.com": false,
	} {
		if err := CheckOriginPattern(pattern); (err == nil) != ok {
			t.Errorf("%q: %v", pattern, err)
		}
	}
}
