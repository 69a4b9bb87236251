package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// fileBacked returns how much of this process's files is in memory, in KiB.
func fileBacked(t *testing.T) (kib int) {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "RssFile:")
	if _, err := fmt.Sscanf(rest, "%d kB", &kib); err != nil {
		t.Fatalf("no RssFile in %q", status)
	}
	return kib
}

func TestForgetStartup(t *testing.T) {
	fileBacked(t) // so that what it takes itself is there
	before := fileBacked(t)
	forgetStartup()
	if after := fileBacked(t); after > before*3/4 {
		t.Errorf("%d KiB of the program are in memory, of %d before", after, before)
	}
}
