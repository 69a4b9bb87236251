package neighbours

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// What one process says, all see, and it alone can take back. Two mappings of a file play
// two processes.
func TestBoard(t *testing.T) {
	const n = 70 // more than a page has room for
	made, f, err := Make(n)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := Open(f, n)
	if err != nil {
		t.Fatal(err)
	}
	f.Close() // it isn't needed any more
	boards := []*Board{made, opened}
	expect := func(when string, want bool) {
		t.Helper()
		for i, b := range boards {
			if got := b.Busy(); got != want {
				t.Errorf("%s: mapping %d says busy: %v, want %v", when, i, got, want)
			}
		}
	}
	expect("at first", false)
	for i := range n {
		opened.As(i).SetBusy(true)
		expect("one says that it is busy", true)
		if !opened.As((i + 1) % n).Busy() {
			t.Errorf("process %d says that it is busy, and the next doesn't see it", i)
		}
		opened.As((i + 1) % n).SetBusy(false)
		expect("another says that it is not", true)
		made.SetBusy(i, false)
		expect("it is said of it that it no longer is", false)
	}
}

func TestOpenFails(t *testing.T) {
	_, f, err := Make(2)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := Open(f, 3); err == nil || !strings.Contains(err.Error(), "192 bytes, and not the 256") {
		t.Errorf("a board for two processes is opened for three: %v", err)
	}
	board, err := os.Create(filepath.Join(t.TempDir(), "board"))
	if err != nil {
		t.Fatal(err)
	}
	if err := board.Truncate(size(1)); err != nil {
		t.Fatal(err)
	}
	mute, err := os.OpenFile(board.Name(), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	if _, err := Open(mute, 1); err == nil || !strings.Contains(err.Error(), "mmap") {
		t.Errorf("a file that can't be read is opened as a board: %v", err)
	}
	board.Close()
	if _, err := Open(board, 1); err == nil {
		t.Error("a closed file is opened as a board")
	}
}

// Who is in a hurry tells all, for this second and the next.
func TestHurry(t *testing.T) {
	made, f, err := Make(2)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := Open(f, 2)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	synctest.Test(t, func(t *testing.T) {
		expect := func(when string, want bool) {
			t.Helper()
			for i, b := range []Place{made.As(0), opened.As(1)} {
				if got := b.Hurried(); got != want {
					t.Errorf("%s: process %d sees a hurry: %v, want %v", when, i, got, want)
				}
			}
		}
		expect("at first", false)
		opened.As(0).Hurry()
		expect("at once", true)
		time.Sleep(1999 * time.Millisecond) // by the bubble's clock, which begins with a second: nobody waits
		expect("in the next second", true)
		time.Sleep(time.Millisecond) // likewise
		expect("in the one after", false)
		made.As(1).Hurry()
		expect("again", true)
		made.notice.hurry.Store(time.Now().Unix() + 1)
		expect("from a clock that was ahead", false)
	})
	if made.Busy() || opened.Busy() {
		t.Error("who is in a hurry counts as busy")
	}
}
