package hubbub

import (
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"hubbub/internal/poller"
)

// faulty is a kernel of which the test says what the next write and the next
// change of what a descriptor is watched for come to.
type faulty struct {
	poller.OS

	mu    sync.Mutex
	write error // once
	mod   error // once
	log   []string
}

func (f *faulty) Write(fd int, p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.write; err != nil {
		f.write = nil
		return 0, err
	}
	f.log = append(f.log, "write")
	return f.OS.Write(fd, p)
}

func (f *faulty) Close(fd int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log = append(f.log, "close")
	return f.OS.Close(fd)
}

func (f *faulty) NewEpoll(onWaitError func(error)) (poller.Epoll, error) {
	ep, err := f.OS.NewEpoll(onWaitError)
	return &faultyEpoll{ep, f}, err
}

type faultyEpoll struct {
	poller.Epoll
	sys *faulty
}

func (e *faultyEpoll) Mod(fd int, events poller.Events) error {
	e.sys.mu.Lock()
	defer e.sys.mu.Unlock()
	e.sys.log = append(e.sys.log, "mod")
	if err := e.sys.mod; err != nil {
		e.sys.mod = nil
		return err
	}
	return e.Epoll.Mod(fd, events)
}

// fail has the next write and the next Mod end with these errors, where they
// aren't nil, and forgets what was logged.
func (f *faulty) fail(write, mod error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.write, f.mod, f.log = write, mod, nil
}

func (f *faulty) logged() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.log, " ")
}

// What a failed write has lost must not be followed by anything, though the next
// write might succeed (a Unix socket's ENOBUFS is soon over): the peer would
// find a gap, or a frame where the answer to its handshake should be.
func TestNothingIsWrittenAfterAFailure(t *testing.T) {
	for _, when := range []string{"answer", "message"} {
		t.Run(when, func(t *testing.T) {
			sys := &faulty{}
			s, addr := startSys(t, Config{Loops: 1, Endpoints: map[string]Endpoint{"/": {
				OnOpen: func(c *Conn, r *Request) error {
					if when == "answer" {
						sys.fail(unix.ENOBUFS, nil)
					}
					return nil
				},
				OnText: func(c *Conn, text []byte) {
					if when == "message" {
						sys.fail(unix.ENOBUFS, nil)
					}
					c.Send(Text, []byte("lost"))
					c.Send(Text, []byte("late"))
					c.Close(1000, "later")
				},
			}}}, sys)
			c := raw(t, addr)
			io.WriteString(c, strings.Replace(handshake, "/echo", "/", 1)+"\x81\x81\x00\x00\x00\x00x")
			all, err := io.ReadAll(c)
			if err != nil && !errors.Is(err, unix.ECONNRESET) {
				t.Error(err)
			}
			if _, rest, _ := strings.Cut(string(all), "\r\n\r\n"); rest != "" || when == "answer" && len(all) > 0 {
				t.Errorf("behind what was lost comes %q", all)
			}
			waitFor(t, "the connection to go", func() bool { return s.Connections() == 0 })
		})
	}
}

// A connection that can't be watched just when it has to be, while it closes, is
// ended, and nothing is done about it afterwards: its descriptor may be
// somebody else's.
func TestUnwatchableWhileClosing(t *testing.T) {
	sys := &faulty{}
	opened := make(chan *Conn, 1)
	s, addr := startSys(t, Config{Loops: 1, Endpoints: map[string]Endpoint{"/": {
		OnOpen: func(c *Conn, r *Request) error { opened <- c; return nil },
	}}}, sys)
	dial(t, addr, "/")
	c := <-opened
	s.onShards(func(sh *shard) {
		sh.pause(c) // as in an overload
		sys.fail(unix.EAGAIN, unix.ENOMEM)
		c.Send(Text, []byte("waits"))
		c.Close(1000, "")
	})
	waitFor(t, "the connection to go", func() bool { return s.Connections() == 0 })
	s.onShards(func(sh *shard) {
		if got := sys.logged(); got != "mod close" {
			t.Errorf("what is called is %s, want mod close", got)
		}
		if c.phase.timer.Pending() {
			t.Error("it still has a timer")
		}
	})
}
