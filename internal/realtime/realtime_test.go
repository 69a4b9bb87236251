package realtime_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hubbub/internal/leak"
	"hubbub/internal/realtime"
	"hubbub/internal/testsched"
)

// partEnv has this program play a part in a process of its own, and print what
// has become of it.
const partEnv = "HUBBUB_TEST_REALTIME"

var parts = map[string]func() (string, error){"enter": enter, "refused": refused, "alone": alone, "try": try}

func TestMain(m *testing.M) {
	if part := os.Getenv(partEnv); part != "" {
		said, err := parts[part]()
		fmt.Print(said, err)
		return
	}
	os.Exit(leak.Main(m))
}

// play returns what a part prints.
func play(t *testing.T, part string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), partEnv+"="+part)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// enter enters the class, has a new thread look around, and another one leave.
func enter() (string, error) {
	if err := realtime.Enter(); err != nil {
		return "", err
	}
	var said strings.Builder
	for _, leave := range []bool{false, true} {
		done := make(chan error)
		go func() {
			runtime.LockOSThread()
			err := unix.Setpriority(unix.PRIO_PROCESS, 0, 19) // of this thread, for when it has left
			if leave {
				err = errors.Join(err, realtime.Leave())
			}
			all, looked := testsched.Classes(os.Getpid())
			own, asked := unix.SchedGetAttr(0, 0)
			if err = errors.Join(err, looked, asked); err == nil {
				fmt.Fprintf(&said, "%d (nice %d) in %v; ", own.Policy, own.Nice, slices.Sorted(maps.Keys(all)))
			}
			done <- err
		}()
		if err := <-done; err != nil {
			return "", err
		}
	}
	return said.String(), nil
}

func TestEnter(t *testing.T) {
	got := play(t, "enter")
	if err := realtime.Permitted(); err != nil {
		if got != err.Error() {
			t.Errorf("%q, want %q", got, err)
		}
		return
	}
	const rr, normal = unix.SCHED_RR, unix.SCHED_NORMAL
	want := fmt.Sprintf("%d (nice 0) in [%d]; %d (nice 19) in [%d %d]; <nil>", rr, rr, normal, normal, rr)
	if got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// Leave keeps the nice value, and is no error for a thread that is an ordinary one.
func TestLeaveTwice(t *testing.T) {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := unix.Setpriority(unix.PRIO_PROCESS, 0, 19)
		if err == nil {
			err = realtime.Leave()
		}
		a, looked := unix.SchedGetAttr(0, 0)
		if err = errors.Join(err, looked); err == nil && (a.Policy != unix.SCHED_NORMAL || a.Nice != 19) {
			err = fmt.Errorf("class %d, nice %d", a.Policy, a.Nice)
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// refused gives up what Enter takes, and tries.
func refused() (string, error) {
	runtime.LockOSThread() // capabilities are a thread's
	if err := unix.Setrlimit(unix.RLIMIT_RTPRIO, &unix.Rlimit{}); err != nil {
		return "", err
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&header, &caps[0]); err != nil {
		return "", err
	}
	caps[0].Effective &^= 1 << unix.CAP_SYS_NICE
	if err := unix.Capset(&header, &caps[0]); err != nil {
		return "", err
	}
	if err := realtime.Leave(); err != nil { // the tests may have been started in the class
		return "", err
	}
	return "", realtime.Enter()
}

func TestRefused(t *testing.T) {
	want := "the kernel doesn't permit real-time scheduling (SCHED_RR: operation not permitted); it takes CAP_SYS_NICE " +
		"or a limit of 1 or more (LimitRTPRIO, ulimit -r), and, where control groups share out real time, some of that (cpu.rt_runtime_us)"
	if runtime.NumCPU() == 1 {
		want = oneProcessor
	}
	if got := play(t, "refused"); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

const oneProcessor = "there is one processor only, on which real-time threads would keep ordinary ones of the same program from going on"

// alone has one processor, and tries.
func alone() (string, error) {
	runtime.LockOSThread() // which the affinity is of
	var one unix.CPUSet
	one.Set(firstProcessor())
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return "", err
	}
	cmd := exec.Command(os.Args[0]) // the number of processors is taken when a program starts
	cmd.Env = append(os.Environ(), partEnv+"=try")
	out, err := cmd.Output()
	return string(out), err
}

// firstProcessor returns one that this process may use.
func firstProcessor() int {
	var may unix.CPUSet
	if err := unix.SchedGetaffinity(0, &may); err != nil {
		panic(err)
	}
	i := 0
	for !may.IsSet(i) {
		i++
	}
	return i
}

func try() (string, error) { return fmt.Sprint(realtime.Permitted()), realtime.Enter() }

func TestOneProcessor(t *testing.T) {
	if got, want := play(t, "alone"), oneProcessor+oneProcessor+"<nil>"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
