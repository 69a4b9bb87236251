// Package leak runs a package's tests and fails them if they have left
// goroutines, descriptors or whatever else behind. It is for tests only, and
// rests on go.uber.org/goleak.
package leak

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// Main runs the tests and returns the process's exit code. Each check is called
// after tests that have passed, and returns what is left, or "".
func Main(m *testing.M, checks ...func() string) int {
	before := Descriptors()
	code := m.Run()
	if code != 0 {
		return code
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, "goroutines are left:", err)
		code = 1
	}
	if after := Descriptors(); len(after) > len(before) {
		fmt.Fprintf(os.Stderr, "descriptors are left: %v, before they were %v\n", after, before)
		code = 1
	}
	for _, check := range checks {
		if left := check(); left != "" {
			fmt.Fprintln(os.Stderr, left)
			code = 1
		}
	}
	return code
}

// Descriptors returns what the process has open, by number.
func Descriptors() map[string]string {
	paths, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		panic(err)
	}
	open := make(map[string]string)
	for _, p := range paths {
		if what, err := os.Readlink(p); err == nil { // not the one that was open to list them
			open[filepath.Base(p)] = what
		}
	}
	return open
}

// Room returns how many descriptors a process can have before the kernel has to make
// its table larger. process is as in /proc: a number, "self", or "thread-self".
func Room(t *testing.T, process string) (n int) {
	t.Helper()
	status, err := os.ReadFile("/proc/" + process + "/status")
	if err != nil {
		t.Error(err)
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "FDSize:")
	if _, err := fmt.Sscan(rest, &n); err != nil {
		t.Errorf("no FDSize in %q", status)
	}
	return n
}
