package timerslack

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// kernelSlack is what the kernel gives a process of which nobody says anything else.
const kernelSlack = 50 * time.Microsecond

// adoptedEnv holds the number of the process that has executed itself again.
const adoptedEnv = "TIMERSLACK_ADOPTED_BY"

// Adopt gives the calling process that slack: it executes its program again, as the
// same process and with the same arguments and environment, and doesn't return
// then. In what comes of it, or where the process has been given a slack of its
// own by whoever has started it, Adopt does nothing. It is for the beginning of a main
// function, before anything is open. An error says why all is as it was.
func Adopt(slack time.Duration) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	self := strconv.Itoa(os.Getpid())
	own, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil {
		return fmt.Errorf("reading the timer slack: %w", err)
	}
	if time.Duration(own) != kernelSlack || os.Getenv(adoptedEnv) == self {
		return nil
	}
	path, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding the own program: %w", err)
	}
	if err := set(slack); err != nil {
		return err
	}
	os.Setenv(adoptedEnv, self) // it could go on for ever where the kernel forgets the slack
	err = unix.Exec(path, os.Args, os.Environ())
	return fmt.Errorf("executing %s again: %w", path, errors.Join(err, set(0)))
}
