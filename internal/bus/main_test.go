package bus

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience bounds how long a test waits for what must come. Nothing is asserted
// about the time it takes.
const patience = 30 * time.Second

// TestMain lets the test binary be a NATS server in a process of its own, and
// otherwise fails the run if a test has left a goroutine or a descriptor behind.
func TestMain(m *testing.M) {
	if role, ok := os.LookupEnv(natsEnv); ok {
		os.Exit(beNATS(role))
	}
	before := openDescriptors()
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			println("goroutines are left:", err.Error())
			code = 1
		}
		if n := openDescriptors(); n > before {
			println("descriptors are left:", n-before)
			code = 1
		}
	}
	os.Exit(code)
}

func openDescriptors() int {
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		panic(err)
	}
	return len(fds)
}

// eventually waits until cond is true.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}
