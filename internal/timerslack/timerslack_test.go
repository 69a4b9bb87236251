package timerslack_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hubbub/internal/leak"
	"hubbub/internal/timerslack"
)

const (
	// reportEnv has this program print the slack of all of its threads and end.
	reportEnv = "HUBBUB_TEST_REPORT_SLACK"
	// adoptEnv has it adopt one before, in nanoseconds.
	adoptEnv = "HUBBUB_TEST_ADOPT_SLACK"
)

func TestMain(m *testing.M) {
	if n, err := strconv.Atoi(os.Getenv(adoptEnv)); err == nil {
		if err := timerslack.Adopt(time.Duration(n)); err != nil {
			panic(err)
		}
	}
	if os.Getenv(reportEnv) != "" {
		fmt.Println(slack(), os.Getpid(), os.Args[1:])
		return
	}
	os.Exit(leak.Main(m))
}

// slack returns the calling thread's, in nanoseconds.
func slack() int {
	n, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil {
		panic(err)
	}
	return n
}

func TestStart(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	own := slack()
	for _, want := range []time.Duration{4 * time.Millisecond, 0} {
		got := report(t, exec.Command(os.Args[0]), want)
		if want == 0 {
			want = time.Duration(own)
		}
		if got != want {
			t.Errorf("a process started with a slack of %v has %v", want, got)
		}
	}
	if got := slack(); got != own {
		t.Errorf("the thread itself has %d ns now, had %d", got, own)
	}
}

// report starts cmd, which is to become this program, with that slack and returns
// the slack that it has. It has to be the same process with the same arguments.
func report(t *testing.T, cmd *exec.Cmd, with time.Duration, env ...string) time.Duration {
	t.Helper()
	var out bytes.Buffer
	cmd.Args = append(cmd.Args, "-x", "a b")
	cmd.Env = append(os.Environ(), append(env, reportEnv+"=1", "GORACE="+os.Getenv("GORACE")+" atexit_sleep_ms=0")...)
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := timerslack.Start(cmd, with); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	var n int64
	var rest string
	if _, err := fmt.Sscan(out.String(), &n); err == nil {
		_, rest, _ = strings.Cut(strings.TrimSpace(out.String()), " ")
	}
	if want := fmt.Sprint(cmd.Process.Pid, " [-x a b]"); rest != want {
		t.Errorf("process and arguments %q, want %q", rest, want)
	}
	return time.Duration(n)
}

func TestAdopt(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	adopt := fmt.Sprint(adoptEnv, "=", int64(2*time.Millisecond))
	self := func() *exec.Cmd { return exec.Command(os.Args[0]) }
	const kernels = 50 * time.Microsecond
	if slack() != int(kernels) {
		t.Fatalf("the tests have a timer slack of %d ns; they are about one of %v", slack(), kernels)
	}
	if got := report(t, self(), 0, adopt); got != 2*time.Millisecond {
		t.Errorf("a process that adopts 2 ms has %v", got)
	}
	if got := report(t, self(), 4*time.Millisecond, adopt); got != 4*time.Millisecond {
		t.Errorf("a process that was given 4 ms and would adopt 2 has %v", got)
	}
	if got := report(t, self(), 0, adopt, "TIMERSLACK_ADOPTED_BY=1"); got != 2*time.Millisecond {
		t.Errorf("a child of one that has adopted 2 ms adopts %v", got)
	}
	// Where executing it again has been in vain, it isn't done for ever.
	vain := exec.Command("/bin/sh", "-c", `TIMERSLACK_ADOPTED_BY=$$ exec "$0" "$@"`, os.Args[0])
	if got := report(t, vain, 0, adopt); got != kernels {
		t.Errorf("a process that has adopted in vain has %v", got)
	}
}
