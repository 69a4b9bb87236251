package hubbub

import (
	"crypto/tls"
	"net"
	"testing"
)

// A transport opens a connection to the server under test.
type transport func(t *testing.T) net.Conn

// setups are the ways to reach a server, and the ways to configure it, that may
// make no difference to a peer: the suite runs in each.
var setups = []struct {
	name     string
	serve    func(t *testing.T, cfg Config) transport
	compress bool // the server would compress, but the peer doesn't offer it
}{
	{name: "tcp", serve: overTCP},
	{name: "tls", serve: overTLS},
	{name: "tcp, compress", serve: overTCP, compress: true},
}

func overTCP(t *testing.T, cfg Config) transport {
	_, addr := start(t, cfg)
	return func(t *testing.T) net.Conn { return raw(t, addr) }
}

func overTLS(t *testing.T, cfg Config) transport {
	_, _, addr := startTLS(t, cfg)
	_, trust := identity()
	trust = trust.Clone()
	trust.ClientSessionCache = tls.NewLRUClientSessionCache(1) // it is about what comes inside
	return func(t *testing.T) net.Conn { return tls.Client(raw(t, addr), trust) }
}

// conform runs test in each of the setups, or the first of those that would be
// the same.
func conform(t *testing.T, cfg Config, test func(t *testing.T, dial transport)) {
	for _, s := range setups {
		if s.compress && cfg.Compress {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			cfg := cfg
			cfg.Compress = cfg.Compress || s.compress
			test(t, s.serve(t, cfg))
		})
	}
}

// conformOnce is conform in the first setup only, for what takes very many
// connections.
func conformOnce(t *testing.T, cfg Config, test func(t *testing.T, dial transport)) {
	test(t, setups[0].serve(t, cfg))
}
