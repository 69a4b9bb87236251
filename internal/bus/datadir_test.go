package bus

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRoom(t *testing.T) {
	if err := Room(t.TempDir())(); err != nil {
		t.Error(err)
	}
	if err := Room(filepath.Join(t.TempDir(), "none"))(); !errors.Is(err, unix.ENOENT) {
		t.Errorf("%v, want ENOENT", err)
	}
	err := roomOf("/data", func(_ string, fs *unix.Statfs_t) error {
		fs.Bavail, fs.Bsize = leastFree/4096-1, 4096
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "63 MiB are left where /data is") {
		t.Errorf("%v, want how little is left", err)
	}
}

func TestDataDir(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b")
	d, err := OpenDataDir(path)
	if err != nil || d.Lost() {
		t.Fatal(err, d)
	}
	if _, err := OpenDataDir(path); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("in use by another server (process %d)", os.Getpid())) {
		t.Errorf("%v, want who has it", err)
	}
	d.lock.Close() // as if killed
	if d, err = OpenDataDir(path); err != nil || d.Lost() {
		t.Fatalf("after a kill: %v, lost %v", err, d.Lost())
	}
	d.Close()
	if err := os.WriteFile(d.running(), []byte("another boot\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // a server that didn't get so far as to tell anybody doesn't change that
		if d, err = OpenDataDir(path); err != nil || !d.Lost() {
			t.Fatalf("after the machine ended: %v, lost %v", err, d.Lost())
		}
		d.Close()
	}
	if d, err = OpenDataDir(path); err != nil {
		t.Fatal(err)
	}
	if err := d.Mourned(); err != nil || d.Lost() {
		t.Fatalf("when it is known: %v, lost %v", err, d.Lost())
	}
	d.lock.Close() // as if killed
	if d, err = OpenDataDir(path); err != nil || d.Lost() {
		t.Fatalf("after a kill: %v, lost %v", err, d.Lost())
	}
	d.Close()
	if d, err = OpenDataDir(path); err != nil || d.Lost() {
		t.Fatalf("after an orderly end: %v, lost %v", err, d.Lost())
	}
	d.Close()
	file := filepath.Join(path, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDataDir(file); err == nil || !strings.Contains(err.Error(), "creating the data directory") {
		t.Errorf("%v, want that it can't be created", err)
	}
}
