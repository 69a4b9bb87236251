package main

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestAddresses(t *testing.T) {
	for _, form := range forms {
		t.Run(form.name, func(t *testing.T) {
			path := socketPath(t)
			p := start(t, append(form.args, "-addr", "127.0.0.1:0,unix:"+path)...)
			sites := p.sites(nil)
			if len(sites) != 3 || sites[0].name == sites[1].name || sites[2].name != "unix:"+path {
				t.Fatalf("it serves at %s, want two ports and unix:%s", p.addr, path)
			}
			members := expectAllTogether(t, sites)
			p.endWith(members)
			expectMissing(t, path)
		})
	}
}

func TestIPv6Address(t *testing.T) {
	ln, err := net.Listen("tcp", "[::1]:0")
	switch {
	case errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EAFNOSUPPORT):
		t.Skip("this machine has no IPv6, as containers often don't: ", err)
	case err != nil:
		t.Fatal(err)
	}
	ln.Close()
	for _, form := range forms {
		t.Run(form.name, func(t *testing.T) {
			p := start(t, append(form.args, "-addr", "[::1]:0")...)
			sites := p.sites(nil)
			if len(sites) != 2 || !strings.HasPrefix(sites[1].name, "[::1]:") {
				t.Fatalf("it serves at %s, want [::1] and a port second", p.addr)
			}
			expectAllTogether(t, sites)
		})
	}
}

func expectMissing(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is still there: %v", path, err)
	}
}

func expectSocket(t *testing.T, path string) {
	t.Helper()
	if info, err := os.Lstat(path); err != nil || info.Mode().Type() != fs.ModeSocket {
		t.Errorf("%s is no socket: %v, %v", path, info, err)
	}
}

// startAt is start with this as the only address.
func startAt(t *testing.T, addr string, args ...string) *process {
	t.Helper()
	return launch(t, atOnly(t, addr, args...)...).serving()
}

func atOnly(t *testing.T, addr string, args ...string) []string {
	return append([]string{self(t), "-addr", addr, "-admin", "127.0.0.1:0", "-log-format", "json"}, args...)
}

func TestSocketLeftBehind(t *testing.T) {
	for _, form := range forms {
		t.Run(form.name, func(t *testing.T) {
			path := socketPath(t)
			p := startAt(t, "unix:"+path, form.args...)
			lost := p.sites(nil)[0].dial("/ws")
			lost.listen()
			p.signal(syscall.SIGKILL)
			p.wait()
			eventually(t, "all processes to end", func() bool { return len(p.group()) == 0 })
			eventually(t, "the connection to break", lost.isLost)
			expectSocket(t, path)

			p = startAt(t, "unix:"+path, form.args...)
			for _, c := range expectAllTogether(t, p.sites(nil)) {
				c.conn.Close()
			}
			p.signal(syscall.SIGTERM)
			p.expectGone()
			expectMissing(t, path)
		})
	}
}

func TestSocketInUse(t *testing.T) {
	path := socketPath(t)
	p := startAt(t, "unix:"+path, forms[0].args...)
	c := p.sites(nil)[0].dial("/echo")
	for _, form := range forms {
		t.Run(form.name, func(t *testing.T) {
			line := launch(t, atOnly(t, "unix:"+path, append(form.args, "-log-level", "error")...)...).expectUsageError()
			if !strings.Contains(line, "-addr unix:"+path+" is in use") {
				t.Errorf("it says %q, want that unix:%s is in use", line, path)
			}
			c.send("still here")
			c.expect("still here")
			p.sites(nil)[0].dial("/echo").conn.Close() // by the same name
		})
	}
}

// TestSocketOfSomethingElse: what isn't a server's leftover stays.
func TestSocketOfSomethingElse(t *testing.T) {
	path := socketPath(t)
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	line := launch(t, atOnly(t, "unix:"+path, "-max-conns", "100", "-log-level", "error")...).expectUsageError()
	if !strings.Contains(line, "-addr unix:"+path+" ") {
		t.Errorf("it says %q, want something about -addr unix:%s", line, path)
	}
	if p, err := os.ReadFile(path); err != nil || string(p) != "precious" {
		t.Errorf("the file is %q now: %v", p, err)
	}

	// A socket of another type has nobody to dial either.
	datagrams := socketPath(t)
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: datagrams, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if ln, err := listen("addr", "unix:"+datagrams); err == nil {
		ln.Close()
		t.Error("the socket of another program was taken over")
	}
	expectSocket(t, datagrams)
}

// TestSocketWhoseQueueIsFull: a server that is full doesn't answer who dials, and
// yet lives.
func TestSocketWhoseQueueIsFull(t *testing.T) {
	path := socketPath(t)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: path}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		conn, err := net.Dial("unix", path)
		if errors.Is(err, unix.EAGAIN) {
			if ln, err := listen("addr", "unix:"+path); err == nil {
				ln.Close()
				t.Error("the socket of a living server was taken over")
			}
			return
		} else if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	t.Error("the queue doesn't fill")
}

// TestOneAddressInUse: none of the others is left behind.
func TestOneAddressInUse(t *testing.T) {
	p := start(t, forms[0].args...)
	for _, form := range forms {
		t.Run(form.name, func(t *testing.T) {
			path := socketPath(t)
			args := append(form.args, "-addr", p.addr, "-log-level", "error")
			line := launch(t, atOnly(t, "unix:"+path, args...)...).expectUsageError()
			if !strings.Contains(line, "-addr "+p.addr+" is in use") {
				t.Errorf("it says %q, want that %s is in use", line, p.addr)
			}
			expectMissing(t, path)
		})
	}
}
