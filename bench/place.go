package main

import (
	"errors"
	"fmt"
	"net"
	"os"
)

// place is where a server is: it may end there and be started again.
type place struct {
	addr, admin string
	data        string // a directory of its own
}

// findPlace returns addresses of this machine that nobody listens on, and a fresh directory.
func findPlace() (p place, err error) {
	for _, addr := range []*string{&p.addr, &p.admin} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return p, fmt.Errorf("looking for a free port: %w", err)
		}
		defer listener.Close() // not before there are two: they could be the same
		*addr = listener.Addr().String()
	}
	if p.data, err = os.MkdirTemp("", "hubbub-bench-"); err != nil {
		return p, fmt.Errorf("making a directory for a server: %w", err)
	}
	return p, nil
}

// leave removes what the server has left.
func (p place) leave() error {
	if err := os.RemoveAll(p.data); err != nil {
		return fmt.Errorf("removing a server's directory: %w", err)
	}
	return nil
}

// upServer is a server that is up.
type upServer struct {
	*process
	place
}

// stop ends it, and removes what it has left.
func (u upServer) stop() error { return errors.Join(u.process.stop(), u.leave()) }
