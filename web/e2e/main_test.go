package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// patience bounds every wait. Nothing is asserted about time: it only turns a
// wait for something that never comes into a failure.
const patience = time.Minute

var (
	// binary is the server, built once for all tests.
	binary string
	// browser is the context of the one Chromium that all tests share; each
	// page is a browser context of its own in it.
	browser context.Context
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		return 0, fmt.Errorf("%w; install it with: apt-get install -y chromium", err)
	}

	dir, err := os.MkdirTemp("", "hubbub-e2e-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "server")
	if out, err := exec.Command("../../tools/page.sh", "test").CombinedOutput(); err != nil {
		return 0, fmt.Errorf("building the page: %w\n%s", err, out)
	}
	if err := build(binary); err != nil {
		return 0, err
	}

	allocator, stop := chromedp.NewExecAllocator(context.Background(),
		chromedp.ExecPath(chromium),
		chromedp.UserDataDir(filepath.Join(dir, "profile")),
		chromedp.Headless,
		chromedp.NoSandbox, // as root, Chromium doesn't start with it
		chromedp.NoFirstRun,
		chromedp.Flag("ignore-certificate-errors", true), // tests make their own
		chromedp.Flag("disable-gpu", true),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true), // containers have little
		// Pages of a test stand beside each other; none is to be throttled
		// because it isn't the one in front.
		chromedp.Flag("disable-background-timer-throttling", true),
		chromedp.Flag("disable-backgrounding-occluded-windows", true),
		chromedp.Flag("disable-renderer-backgrounding", true),
	)
	defer stop()
	var closeBrowser context.CancelFunc
	browser, closeBrowser = chromedp.NewContext(allocator)
	defer closeBrowser()
	if err := chromedp.Do(browser); err != nil {
		return 0, fmt.Errorf("starting %s: %w", chromium, err)
	}
	return m.Run(), nil
}

// build compiles cmd/server of the module two directories up.
func build(target string, flags ...string) error {
	cmd := exec.Command("go", append(append([]string{"build", "-o", target}, flags...), "./cmd/server")...)
	cmd.Dir = filepath.Join("..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", cmd, err, out)
	}
	return nil
}
