package neighbours

import (
	"os"
	"strings"
	"testing"
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
	if _, err := Open(f, 3); err == nil || !strings.Contains(err.Error(), "128 bytes, and not the 192") {
		t.Errorf("a board for two processes is opened for three: %v", err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(null, 0); err == nil || !strings.Contains(err.Error(), "mmap") {
		t.Errorf("/dev/null is opened as a board: %v", err)
	}
	null.Close()
	if _, err := Open(null, 1); err == nil {
		t.Error("a closed file is opened as a board")
	}
}
