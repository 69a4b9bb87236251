package poller

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"hubbub/internal/leak"
)

// onThread runs fn on a thread that ends with it. It isn't the process's first, which
// would stay, and is the one that /proc/self is about.
func onThread(fn func()) {
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			defer runtime.UnlockOSThread()
			onThread(fn) // this one is taken meanwhile
			close(done)
			return
		}
		defer close(done)
		fn()
	}()
	<-done
}

// A thread with a table of descriptors of its own plays a fresh process.
func TestMakeRoom(t *testing.T) {
	onThread(func() {
		if err := unix.Unshare(unix.CLONE_FILES); err != nil {
			t.Error(err)
			return
		}
		const n = 2000
		before := leak.Room(t, "thread-self")
		MakeRoom(n)
		after := leak.Room(t, "thread-self")
		if before >= n || after < n+others {
			t.Errorf("room for %d descriptors, and for %d before; want at least %d, and less before", after, before, n+others)
		}
		MakeRoom(1)
		if again := leak.Room(t, "thread-self"); again != after {
			t.Errorf("asking for less changed the room from %d to %d", after, again)
		}
		MakeRoom(1 << 40)
		if most := leak.Room(t, "thread-self"); most > 2*maxRoom {
			t.Errorf("there is room for %d descriptors, which nobody needs", most)
		}
	})
}
