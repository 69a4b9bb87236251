package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// patience bounds every wait. Nothing is asserted about time: it only turns a
// wait for something that never comes into a failure.
const patience = time.Minute

var (
	// serverBinary is the server, built once for all tests.
	serverBinary string
	// node is the command that runs client.mjs.
	node string
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if node, err = exec.LookPath("node"); err != nil {
		return 0, fmt.Errorf("%w; install it with: apt-get install -y nodejs npm", err)
	}
	if _, err := os.Stat(filepath.Join("node_modules", "ws", "package.json")); err != nil {
		return 0, fmt.Errorf("%w; fetch it with: cd interop && npm ci", err)
	}
	dir, err := os.MkdirTemp("", "hubbub-interop-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	serverBinary = filepath.Join(dir, "server")
	if err := build(serverBinary); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

// build compiles cmd/server of the module above, with the race detector, which
// makes it exit with 66 when it has found something.
func build(target string) error {
	cmd := exec.Command("go", "build", "-race", "-o", target, "./cmd/server")
	cmd.Dir = ".."
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", cmd, err, out)
	}
	return nil
}
