package poller

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"hubbub/internal/leak"
)

// A thread with a table of descriptors of its own plays a fresh process.
func TestMakeRoom(t *testing.T) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: it ends with the goroutine
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
	}()
	<-done
}
