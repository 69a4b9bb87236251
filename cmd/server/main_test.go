package main

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"hubbub/internal/leak"
)

// patience bounds how long a test waits for what must come. Nothing is asserted
// about the time it takes.
const patience = 30 * time.Second

// asServer is the environment variable that makes the test binary the server,
// supervisor or worker: with the race detector, and counted in the coverage.
const asServer = "HUBBUB_TEST_AS_SERVER"

// TestMain fails the run if a test has left a goroutine or a descriptor behind.
// That no process is left is seen to in launch.
func TestMain(m *testing.M) {
	if os.Getenv(asServer) != "" {
		main()
	}
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, envPrefix+"_") {
			os.Unsetenv(name) // the tests are about other settings
		}
	}
	os.Exit(leak.Main(m))
}

// serverEnv is the environment in which the test binary is the server.
func serverEnv() []string {
	// GORACE: the race detector would keep a process that ends a second longer.
	env := append(os.Environ(), asServer+"=1", "GORACE="+os.Getenv("GORACE")+" atexit_sleep_ms=0")
	if dir := flag.Lookup("test.gocoverdir"); dir != nil && dir.Value.String() != "" {
		env = append(env, "GOCOVERDIR="+dir.Value.String()) // go test adds up what is there
	}
	return env
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
