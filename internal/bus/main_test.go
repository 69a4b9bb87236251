package bus

import (
	"os"
	"testing"
	"time"

	"hubbub/internal/leak"
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
	os.Exit(leak.Main(m))
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
