package timerslack_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hubbub/internal/leak"
	"hubbub/internal/timerslack"
)

// reportEnv has this program print the slack of all of its threads and end.
const reportEnv = "HUBBUB_TEST_REPORT_SLACK"

func TestMain(m *testing.M) {
	if os.Getenv(reportEnv) != "" {
		fmt.Println(slack())
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
		var out bytes.Buffer
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), reportEnv+"=1")
		cmd.Stdout, cmd.Stderr = &out, os.Stderr
		if err := timerslack.Start(cmd, want); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		if want == 0 {
			want = time.Duration(own)
		}
		if got := strings.TrimSpace(out.String()); got != fmt.Sprint(want.Nanoseconds()) {
			t.Errorf("a process started with a slack of %v has %s ns", want, got)
		}
	}
	if got := slack(); got != own {
		t.Errorf("the thread itself has %d ns now, had %d", got, own)
	}
}
