package poller

import (
	"errors"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/mailru/easygo/netpoll"
	"golang.org/x/sys/unix"

	"hubbub/internal/leak"
)

// watch adds s to the loop and returns where the events go that are reported,
// to be looked at on the loop.
func watch(t *testing.T, l *Loop, s *socket, events Events) *[]Events {
	t.Helper()
	got := new([]Events)
	on(t, l, func() {
		if err := l.Add(s.fd, events, func(ev Events) { *got = append(*got, ev) }); err != nil {
			t.Error(err)
		}
	})
	return got
}

// seen returns the union of the events that are reported from now on. Those
// before may be of an earlier state of the descriptor.
func seen(t *testing.T, l *Loop, got *[]Events) (all Events) {
	t.Helper()
	settle(t, l)
	on(t, l, func() { *got = nil })
	settle(t, l)
	on(t, l, func() {
		for _, ev := range *got {
			all |= ev
		}
	})
	return all
}

func TestEventsOfADescriptor(t *testing.T) {
	l := newLoop(t, nil)
	a, b := pair(t)
	got := watch(t, l, a, Readable)
	expect := func(when string, want Events) {
		t.Helper()
		if ev := seen(t, l, got); ev != want {
			t.Errorf("%s: %v, want %v", when, ev, want)
		}
	}
	mod := func(events Events) {
		t.Helper()
		on(t, l, func() {
			if err := l.Mod(a.fd, events); err != nil {
				t.Error(err)
			}
		})
	}
	expect("before anything has come", 0)
	b.write("x")
	expect("after a write", Readable)
	expect("as long as it isn't read", Readable)
	mod(Readable | Writable)
	expect("watched for writing too", Readable|Writable)
	unix.Read(a.fd, make([]byte, 1))
	expect("after it was read", Writable)
	mod(0)
	b.write("x")
	expect("watched for nothing", 0)
	mod(HalfClosed)
	expect("watched for the end only", 0)
	unix.Shutdown(b.fd, unix.SHUT_WR)
	expect("after the peer's shutdown", HalfClosed)
	mod(0)
	b.close()
	if ev := seen(t, l, got); ev == 0 || ev&^Broken != 0 {
		t.Errorf("after the peer's close: %v, want %v", ev, Broken)
	}
	on(t, l, func() {
		if err := l.Del(a.fd); err != nil {
			t.Error(err)
		}
		if err := l.Del(a.fd); !errors.Is(err, netpoll.ErrNotRegistered) {
			t.Errorf("deleted again: %v", err)
		}
		if err := l.Mod(a.fd, Readable); !errors.Is(err, netpoll.ErrNotRegistered) {
			t.Errorf("changed after it was deleted: %v", err)
		}
	})
	expect("deleted", 0)
}

// Two descriptors are ready in one round, and whichever comes first closes the
// other and opens a new one that gets its number. The new one's callback isn't
// called for what the old one was ready for.
func TestStaleEvents(t *testing.T) {
	l := newLoop(t, nil)
	a, aPeer := pair(t)
	b, bPeer := pair(t)
	c, cPeer := pair(t)
	aPeer.write("x")
	bPeer.write("x")
	var called []string
	replace := func(self, other *socket, name string) func(Events) {
		return func(Events) {
			called = append(called, name)
			if len(called) > 1 {
				return // stale: self isn't its own any more, as the owner knows
			}
			if err := l.Del(self.fd); err != nil {
				t.Error(err)
			}
			if err := l.Del(other.fd); err != nil {
				t.Error(err)
			}
			// In one step: close other, and c gets its number.
			if err := unix.Dup3(c.fd, other.fd, unix.O_CLOEXEC); err != nil {
				t.Error(err)
			}
			if err := l.Add(other.fd, Readable, func(Events) {
				called = append(called, "new")
				unix.Read(other.fd, make([]byte, 10))
			}); err != nil {
				t.Error(err)
			}
		}
	}
	on(t, l, func() {
		if err := l.Add(a.fd, Readable, replace(a, b, "a")); err != nil {
			t.Error(err)
		}
		if err := l.Add(b.fd, Readable, replace(b, a, "b")); err != nil {
			t.Error(err)
		}
	})
	settle(t, l)
	on(t, l, func() {
		if len(called) == 0 || len(called) > 2 || slices.Contains(called, "new") {
			t.Errorf("called back: %v, want one, or the other too, once", called)
		}
		called = called[:1]
	})
	cPeer.write("x")
	settle(t, l)
	on(t, l, func() {
		if !slices.Equal(called[1:], []string{"new"}) {
			t.Errorf("called back when there was something to read: %v, want the new one once", called[1:])
		}
	})
}

// epoll takes no regular files. What failed leaves nothing behind: its number
// can be added later, and nobody is told that the loop has stopped.
func TestFailedAdd(t *testing.T) {
	l := newLoop(t, nil)
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	file, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := own(t, file)
	calls := 0
	on(t, l, func() {
		err := l.Add(s.fd, Readable, func(Events) { calls++ })
		if !errors.Is(err, unix.EPERM) {
			t.Errorf("a file is added: %v", err)
		}
		if err := l.Del(s.fd); !errors.Is(err, netpoll.ErrNotRegistered) {
			t.Errorf("the failed Add is still there: %v", err)
		}
		l.Add(s.fd, Readable, func(Events) { calls++ })
	})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if calls != 0 {
		t.Errorf("the callback of a failed Add was called %d times", calls)
	}
}

func TestAddTwice(t *testing.T) {
	l := newLoop(t, nil)
	a, b := pair(t)
	got := watch(t, l, a, Readable)
	on(t, l, func() {
		err := l.Add(a.fd, Readable, func(Events) { t.Error("the second callback was called") })
		if !errors.Is(err, netpoll.ErrRegistered) {
			t.Errorf("added again: %v", err)
		}
	})
	b.write("x")
	if ev := seen(t, l, got); ev != Readable {
		t.Errorf("to the first callback %v is reported, want %v", ev, Readable)
	}
}

// The owners of what is still added are told that the loop is closed, once,
// and their descriptors stay open.
func TestCloseStops(t *testing.T) {
	l := newLoop(t, nil)
	const n = 5
	var got [n]*[]Events
	var socks [n]*socket
	for i := range n {
		a, b := pair(t)
		b.write("x")
		socks[i], got[i] = a, watch(t, l, a, 0)
	}
	on(t, l, func() { l.Del(socks[0].fd) })
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for i, s := range socks {
		want := []Events{Stopped}
		if i == 0 {
			want = nil
		}
		if !slices.Equal(*got[i], want) {
			t.Errorf("descriptor %d of %d got %v, want %v", i, n, *got[i], want)
		}
		if n, err := unix.Read(s.fd, make([]byte, 1)); n != 1 || err != nil {
			t.Errorf("after Close, %d bytes can be read, %v", n, err)
		}
	}
}

// Whoever closes a loop that somebody else is closing waits until that is over.
func TestCloseTwice(t *testing.T) {
	l := newLoop(t, nil)
	a, _ := pair(t)
	got := watch(t, l, a, 0)
	blocked, release := make(chan struct{}), make(chan struct{})
	l.Post(Func(func() { close(blocked); <-release }))
	receive(t, blocked)
	closed := make(chan error)
	go func() { closed <- l.Close() }()
	for l.Post(Func(func() {})) { // until Close has begun
		continue
	}
	go func() {
		for range 100 {
			runtime.Gosched()
		}
		close(release)
	}()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if !slices.Equal(*got, []Events{Stopped}) {
		t.Errorf("the second Close returns when %v has been reported, want %v", *got, Stopped)
	}
	if err := receive(t, closed); err != nil {
		t.Error(err)
	}
}

// A loop whose epoll instance fails under it ends, and Close says why.
func TestCloseReportsWhatEndedTheLoop(t *testing.T) {
	before := leak.Descriptors()
	l, err := New(nil)
	if err != nil {
		t.Fatal(err)
	}
	on(t, l, func() {
		for number, what := range leak.Descriptors() {
			if before[number] == "" && strings.Contains(what, "eventpoll") {
				fd, err := strconv.Atoi(number)
				if err != nil {
					t.Error(err)
				}
				if err := unix.Dup3(l.wakeFD, fd, unix.O_CLOEXEC); err != nil {
					t.Error(err)
				}
			}
		}
	})
	if err := l.Close(); !errors.Is(err, unix.EINVAL) {
		t.Errorf("Close returns %v, want %v", err, unix.EINVAL)
	}
}

// When descriptors run out in the middle, New gives back those it has got.
func TestNewWithoutDescriptors(t *testing.T) {
	for free := range 3 { // a wake-up, the timers, epoll
		before := len(leak.Descriptors())
		withDescriptors(t, free, func() {
			l, err := New(nil)
			if !errors.Is(err, unix.EMFILE) {
				t.Errorf("with %d descriptors to be had, the error is %v", free, err)
			}
			if err == nil {
				l.Close()
			}
		})
		if after := leak.Descriptors(); len(after) != before {
			t.Errorf("with %d descriptors to be had, %d are left: %v", free, len(after)-before, after)
		}
	}
}

func TestPartsOfALoop(t *testing.T) {
	l := newLoop(t, nil)
	other := newLoop(t, &fakeSys{})
	if _, ok := l.Sys().(OS); !ok {
		t.Errorf("without another one, Sys is %T", l.Sys())
	}
	if _, ok := other.Sys().(*fakeSys); !ok {
		t.Errorf("Sys is %T", other.Sys())
	}
	for _, fd := range []int{l.wakeFD, l.wheel.fd} {
		if !isNonblocking(t, fd) || !isCloseOnExec(t, fd) {
			t.Errorf("the loop's own descriptor %d blocks or outlives exec", fd)
		}
	}
	buffers := [][]byte{l.Scratch(), l.WriteScratch(), other.Scratch(), other.WriteScratch()}
	for i := range buffers {
		if len(buffers[i]) != ScratchSize {
			t.Errorf("buffer %d has %d bytes", i, len(buffers[i]))
		}
		for j := range buffers[:i] {
			if &buffers[i][0] == &buffers[j][0] {
				t.Errorf("buffers %d and %d are the same", i, j)
			}
		}
	}
}
