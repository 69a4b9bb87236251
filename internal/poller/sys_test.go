package poller

import (
	"bytes"
	"errors"
	"os"
	"os/signal"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRead(t *testing.T) {
	a, b := pair(t)
	var buf [4]byte
	expect := func(what string, p []byte, want string, wantErr error) {
		t.Helper()
		n, err := OS{}.Read(a.fd, p)
		if string(p[:n]) != want || !errors.Is(err, wantErr) {
			t.Errorf("%s: %q, %v, want %q, %v", what, p[:n], err, want, wantErr)
		}
	}
	expect("nothing is there", buf[:], "", unix.EAGAIN)
	b.write("abcdef")
	expect("into no buffer", nil, "", nil)
	expect("more than asked for", buf[:], "abcd", nil)
	expect("less than asked for", buf[:], "ef", nil)
	b.write("g")
	b.close()
	expect("before the end", buf[:], "g", nil)
	expect("at the end", buf[:], "", nil)
	a.close()
	expect("of no descriptor", buf[:], "", unix.EBADF)
}

func TestWrite(t *testing.T) {
	a, b := pair(t)
	if n, err := (OS{}).Write(a.fd, nil); n != 0 || err != nil {
		t.Errorf("nothing: %d, %v", n, err)
	}
	if n, err := (OS{}).Write(a.fd, []byte("abc")); n != 3 || err != nil {
		t.Errorf("three bytes: %d, %v", n, err)
	}
	var buf [10]byte
	if n, err := unix.Read(b.fd, buf[:]); string(buf[:max(n, 0)]) != "abc" || err != nil {
		t.Errorf("the peer reads %q, %v", buf[:max(n, 0)], err)
	}
	// Until the socket is full; on the way there it may take a part.
	block := bytes.Repeat([]byte("x"), 1<<20)
	written, short := 0, false
	for {
		n, err := OS{}.Write(a.fd, block)
		if err != nil {
			if !errors.Is(err, unix.EAGAIN) || n != 0 {
				t.Errorf("full: %d, %v", n, err)
			}
			break
		}
		written += n
		short = short || n < len(block)
	}
	if written == 0 || !short {
		t.Errorf("%d bytes were taken before it was full, in whole blocks: %t", written, !short)
	}
}

// Neither call blocks, even where the descriptor would.
func TestReadAndWriteDontBlock(t *testing.T) {
	a, _ := pair(t)
	if err := unix.SetNonblock(a.fd, false); err != nil {
		t.Fatal(err)
	}
	if _, err := (OS{}).Read(a.fd, make([]byte, 1)); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("nothing to read: %v", err)
	}
	for {
		if _, err := (OS{}).Write(a.fd, make([]byte, 1<<20)); err != nil {
			if !errors.Is(err, unix.EAGAIN) {
				t.Errorf("full: %v", err)
			}
			return
		}
	}
}

// To write to a peer that is gone is an error and no signal, which would end a
// program that isn't prepared for it.
func TestWriteToNobody(t *testing.T) {
	signals := make(chan os.Signal, 10)
	signal.Notify(signals, unix.SIGPIPE, unix.SIGWINCH)
	defer signal.Stop(signals)
	a, b := pair(t)
	b.close()
	if n, err := (OS{}).Write(a.fd, []byte("x")); n != 0 || !errors.Is(err, unix.EPIPE) {
		t.Errorf("%d, %v, want 0, %v", n, err, unix.EPIPE)
	}
	// Of signals that wait, the lowest number comes first: had there been a
	// SIGPIPE, it would come before this one.
	if err := unix.Kill(unix.Getpid(), unix.SIGWINCH); err != nil {
		t.Fatal(err)
	}
	if sig := receive(t, signals); sig != unix.SIGWINCH {
		t.Errorf("the write has raised %v", sig)
	}
}

func TestAcceptCall(t *testing.T) {
	_, fd, addr := listen(t)
	if c, err := (OS{}).Accept(fd); c != -1 || !errors.Is(err, unix.EAGAIN) {
		t.Errorf("nobody is there: %d, %v", c, err)
	}
	connect(t, addr, 1)
	c, err := OS{}.Accept(fd)
	if err != nil {
		t.Fatal(err)
	}
	own(t, c)
	if PeerAddr(c).Addr() != loopback {
		t.Errorf("accepted from %v", PeerAddr(c))
	}
}

func TestShutdownWriteAndClose(t *testing.T) {
	a, b := pair(t)
	a.write("x")
	if err := (OS{}).ShutdownWrite(a.fd); err != nil {
		t.Error(err)
	}
	var buf [10]byte
	for i, want := range []int{1, 0} { // what was written, then the end
		if n, err := unix.Read(b.fd, buf[:]); n != want || err != nil {
			t.Errorf("read %d: %d bytes, %v, want %d", i, n, err, want)
		}
	}
	b.write("y")
	if n, err := (OS{}).Read(a.fd, buf[:]); n != 1 || err != nil {
		t.Errorf("the other direction: %d bytes, %v", n, err)
	}
	a.closed = true
	if err := (OS{}).Close(a.fd); err != nil {
		t.Error(err)
	}
	if err := (OS{}).Close(a.fd); !errors.Is(err, unix.EBADF) {
		t.Errorf("closed again: %v", err)
	}
}
