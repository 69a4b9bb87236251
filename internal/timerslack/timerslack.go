// Package timerslack starts a process whose threads may be woken late from
// short sleeps. It is for programs that split into many processes: the Go
// runtime's monitor (sysmon) sleeps for 20 µs at a time while anything goes on
// in its process, and with dozens of processes to a core these monitors, and
// switching to them, take much of it. With slack the kernel lets them oversleep.
//
// It rests on PR_SET_TIMERSLACK of prctl(2). What waits for a descriptor or for
// another thread is woken in time as ever, and timerfd has no slack; timers of
// the runtime may come late by it. Threads in a real-time class have none.
package timerslack

import (
	"fmt"
	"os/exec"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Start starts the command with that slack for all of its threads, and of the
// processes that they start; 0 leaves it as it is. A new process takes it over
// from the thread that starts it, so it cannot give itself any: its monitor runs
// before its first line does.
func Start(cmd *exec.Cmd, slack time.Duration) error {
	if slack == 0 {
		return cmd.Start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := set(slack); err != nil {
		return err
	}
	err := cmd.Start()
	if back := set(0); back != nil && err == nil { // 0 is what the thread began with
		err = back
	}
	return err
}

func set(slack time.Duration) error {
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(slack), 0, 0, 0); err != nil {
		return fmt.Errorf("setting the timer slack to %v: %w", slack, err)
	}
	return nil
}
