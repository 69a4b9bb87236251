package bus

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// DataDir is the directory in which an embedded NATS server keeps its logs, held for one server.
type DataDir struct {
	path string
	lock *os.File
	boot []byte
	lost bool
}

// OpenDataDir creates the directory if there is none, and holds it until it is closed. It is an error if
// another server holds it.
func OpenDataDir(path string) (*DataDir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("creating the data directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the data directory: %w", err)
	}
	d := &DataDir{path: path, lock: lock}
	if err := d.hold(); err != nil {
		lock.Close()
		return nil, err
	}
	return d, nil
}

func (d *DataDir) hold() error {
	// The lock ends with the process, however that ends.
	switch err := unix.Flock(int(d.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
	case errors.Is(err, unix.EWOULDBLOCK):
		holder := make([]byte, 20)
		n, _ := d.lock.ReadAt(holder, 0)
		return fmt.Errorf("the data directory %s is in use by another server (process %s): give this one another", d.path, bytes.TrimSpace(holder[:n]))
	case err != nil:
		return fmt.Errorf("locking the data directory %s: %w", d.path, err)
	}
	err := d.lock.Truncate(0)
	if err == nil {
		_, err = d.lock.WriteAt(strconv.AppendInt(nil, int64(os.Getpid()), 10), 0)
	}
	if err != nil {
		return fmt.Errorf("writing to the data directory: %w", err)
	}
	return d.begin()
}

// bootID names the time since the machine was started.
const bootID = "/proc/sys/kernel/random/boot_id"

// begin finds out whether the machine ended under the last server: what that had written may not have reached the disk. A
// process that is killed loses nothing. Otherwise it notes that a server has begun.
func (d *DataDir) begin() error {
	boot, err := os.ReadFile(bootID)
	if err != nil {
		return fmt.Errorf("finding out which boot this is: %w", err)
	}
	last, err := os.ReadFile(d.running())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("reading the data directory: %w", err)
	}
	d.boot, d.lost = boot, err == nil && !bytes.Equal(last, boot)
	if d.lost {
		return nil // it stays known until somebody has taken note
	}
	return d.note()
}

// note notes, on disk, in which boot a server runs.
func (d *DataDir) note() error {
	f, err := os.Create(d.running())
	if err == nil {
		_, err = f.Write(d.boot)
		err = errors.Join(err, f.Sync(), f.Close(), d.sync())
	}
	if err != nil {
		return fmt.Errorf("writing to the data directory: %w", err)
	}
	return nil
}

// sync has the directory's entries reach the disk.
func (d *DataDir) sync() error {
	f, err := os.Open(d.path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// running is a file with the boot in which a server runs, or has ended without Close.
func (d *DataDir) running() string { return filepath.Join(d.path, "running") }

// Lost reports whether what was taken last may be lost, for the machine has ended under the last server. That stays so for
// servers to come until Mourned is called.
func (d *DataDir) Lost() bool { return d.lost }

// Mourned is to be called when all who have to know of a loss do.
func (d *DataDir) Mourned() error {
	if !d.lost {
		return nil
	}
	d.lost = false
	return d.note()
}

// Close gives the directory up, after all is written.
func (d *DataDir) Close() {
	if !d.lost {
		_ = os.Remove(d.running()) // if it stays, the next server takes entries for lost that may not be
	}
	d.lock.Close()
}

// leastFree is the disk space in bytes that is left to others.
const leastFree = 64 << 20

// roomAge is for how long it is believed that there is room.
const roomAge = 100 * time.Millisecond

// Room returns a function that returns an error while there is too little disk space at path for a log to grow.
func Room(path string) func() error { return roomAt(path, unix.Statfs) }

func roomAt(path string, statfs func(string, *unix.Statfs_t) error) func() error {
	type finding struct {
		at  time.Time
		err error
	}
	var last atomic.Pointer[finding]
	return func() error {
		f := last.Load()
		if f == nil || time.Since(f.at) > roomAge {
			f = &finding{time.Now(), roomOf(path, statfs)}
			last.Store(f)
		}
		return f.err
	}
}

func roomOf(path string, statfs func(string, *unix.Statfs_t) error) error {
	var fs unix.Statfs_t
	if err := statfs(path, &fs); err != nil {
		return fmt.Errorf("bus: finding out how much disk space is left: %w", err)
	}
	if free := fs.Bavail * uint64(fs.Bsize); free < leastFree {
		return fmt.Errorf("bus: the disk is full: %d MiB are left where %s is, and the last %d are left to others", free>>20, path, leastFree>>20)
	}
	return nil
}
