package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"hubbub/internal/leak"
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

// Connections don't wait for the kernel to make its table of descriptors larger.
func TestRoomForAll(t *testing.T) {
	const conns = 3000
	p := start(t, "-max-conns", strconv.Itoa(conns))
	if room := leak.Room(t, strconv.Itoa(p.cmd.Process.Pid)); room < conns {
		t.Errorf("there is room for %d descriptors, for %d connections", room, conns)
	}
}

// Without workers it is the process that was started, and has executed itself again, for timer slack.
func TestAdoptsSlack(t *testing.T) {
	p := start(t, "-max-conns", "1000")
	pid := strconv.Itoa(p.cmd.Process.Pid)
	environ, err := os.ReadFile("/proc/" + pid + "/environ")
	if err != nil {
		t.Fatal(err)
	}
	if want := "TIMERSLACK_ADOPTED_BY=" + pid; !slices.Contains(strings.Split(string(environ), "\x00"), want) {
		t.Errorf("%s isn't in its environment", want)
	}
}
