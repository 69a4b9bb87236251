package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"

	"hubbub"
	"hubbub/internal/poller"
)

const unixPrefix = "unix:"

// listen opens an address that a flag names: host:port, or unix: and a path.
func listen(name, addr string) (net.Listener, error) {
	ln, err := open(addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, usageError{fmt.Errorf("-%s %s is in use: stop what serves there, or choose another", name, addr)}
	case err != nil:
		return nil, usageError{fmt.Errorf("-%s: %s", name, oneLine(err))}
	}
	return ln, nil
}

func open(addr string) (net.Listener, error) {
	path, ok := strings.CutPrefix(addr, unixPrefix)
	if !ok {
		return poller.Listen(addr)
	}
	ln, err := net.Listen("unix", path)
	if !errors.Is(err, syscall.EADDRINUSE) {
		return ln, err
	}
	// A server that was killed leaves its socket's name behind: whoever dials there
	// is refused. One that lives and is full is silent, which is another error.
	if info, statErr := os.Stat(path); statErr != nil || info.Mode().Type() != fs.ModeSocket {
		return nil, err
	}
	c, dialErr := net.Dial("unix", path)
	if dialErr == nil {
		c.Close()
	}
	if !errors.Is(dialErr, syscall.ECONNREFUSED) {
		return nil, err
	}
	if os.Remove(path) != nil {
		return nil, err
	}
	return net.Listen("unix", path)
}

// listeners are the sockets of a server.
type listeners struct {
	public   []net.Listener
	admin    net.Listener // nil if it is turned off
	redirect net.Listener // likewise
}

// openListeners opens every address of the settings.
func openListeners(o *options) (ls listeners, err error) {
	defer func() {
		if err != nil {
			ls.close()
		}
	}()
	for _, addr := range o.addr {
		ln, err := listen("addr", addr)
		if err != nil {
			return ls, err
		}
		ls.public = append(ls.public, ln)
	}
	if o.admin != "" {
		if ls.admin, err = listen("admin", o.admin); err != nil {
			return ls, err
		}
	}
	if o.httpRedirect != "" {
		if ls.redirect, err = listen("http-redirect", o.httpRedirect); err != nil {
			return ls, err
		}
	}
	return ls, nil
}

// close closes what is open; a Unix socket's name goes with it.
func (ls listeners) close() {
	for _, ln := range append(ls.public, ls.admin, ls.redirect) {
		if ln != nil {
			ln.Close()
		}
	}
}

// say logs where is served, with the ports that the kernel has chosen.
func (ls listeners) say(log *slog.Logger, more ...any) {
	var public []string
	for _, ln := range ls.public {
		public = append(public, nameOf(ln))
	}
	admin := ""
	if ls.admin != nil {
		admin = ls.admin.Addr().String()
	}
	fields := []any{"addr", strings.Join(public, ","), "admin", admin}
	if ls.redirect != nil {
		fields = append(fields, "http-redirect", ls.redirect.Addr().String())
	}
	log.Info("serving", append(fields, more...)...)
}

// nameOf is a listener's address as -addr takes it.
func nameOf(ln net.Listener) string {
	if ln.Addr().Network() == "unix" {
		return unixPrefix + ln.Addr().String()
	}
	return ln.Addr().String()
}

// serveOn serves on ln until Shutdown: with TLS if there is a certificate and it
// is no Unix socket.
func serveOn(srv *hubbub.Server, ln net.Listener, cfg *tls.Config) error {
	if cfg == nil || ln.Addr().Network() == "unix" {
		return srv.Serve(ln)
	}
	return srv.ServeTLS(ln, cfg)
}
