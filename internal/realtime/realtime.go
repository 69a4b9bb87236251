// Package realtime puts a process into a real-time class of the kernel
// (SCHED_RR, see sched(7)). Threads in it run as soon as there is something for
// them to do, before all ordinary ones. Where more threads want to run than there
// are processors, an ordinary thread that wakes up waits for those that run to use
// up their slices, some milliseconds each; a message that passes through several
// threads waits several times.
//
// It is for threads that do little at a time. One that doesn't can keep the
// machine from everybody else, but for the twentieth that the kernel sets aside,
// so what takes long should leave the class. Go's runtime has one thread wait for
// another at times, busily; an ordinary one can do what it waits for only on
// another processor, so the class isn't for machines with one.
package realtime

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// priority is the lowest: whoever else is in the class knows better.
const priority = 1

// Enter puts all threads of the process into the class. Threads and processes
// that they start are in it from the beginning. The error says what is missing, if
// the kernel doesn't permit it.
func Enter() error {
	if err := enoughProcessors(); err != nil {
		return err
	}
	for {
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return fmt.Errorf("reading the list of threads: %w", err)
		}
		moved := 0
		for _, task := range tasks {
			tid, err := strconv.Atoi(task.Name())
			if err != nil {
				return fmt.Errorf("reading the list of threads: %w", err)
			}
			is, err := in(tid)
			if err == nil && !is {
				err = move(tid)
				moved++
			}
			if err != nil && !errors.Is(err, unix.ESRCH) { // it may have ended
				return err
			}
		}
		if moved == 0 { // so nobody can have started a thread that isn't
			return nil
		}
	}
}

// Leave makes the calling goroutine's thread, to which it has to be locked, an
// ordinary one again.
func Leave() error {
	twenty, err := unix.Getpriority(unix.PRIO_PROCESS, 0) // 20 minus the nice value
	if err == nil {
		err = unix.SchedSetAttr(0, &unix.SchedAttr{Policy: unix.SCHED_NORMAL, Nice: int32(20 - twenty)}, 0)
	}
	if err != nil {
		return fmt.Errorf("leaving the real-time class: %w", err)
	}
	return nil
}

// Permitted returns the error that Enter would return.
func Permitted() error {
	if err := enoughProcessors(); err != nil {
		return err
	}
	tried := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		tried <- move(0)
	}()
	return <-tried
}

func enoughProcessors() error {
	if runtime.NumCPU() < 2 {
		return errors.New("there is one processor only, on which real-time threads would keep ordinary ones of the same program from going on")
	}
	return nil
}

// in reports whether a thread is in a real-time class.
func in(tid int) (bool, error) {
	a, err := unix.SchedGetAttr(tid, 0)
	if err != nil {
		return false, fmt.Errorf("asking for the scheduling of thread %d: %w", tid, err)
	}
	return a.Policy == unix.SCHED_RR || a.Policy == unix.SCHED_FIFO || a.Policy == unix.SCHED_DEADLINE, nil
}

// move puts a thread into the class, 0 being the calling one.
func move(tid int) error {
	err := unix.SchedSetAttr(tid, &unix.SchedAttr{Policy: unix.SCHED_RR, Priority: priority}, 0)
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("the kernel doesn't permit real-time scheduling (SCHED_RR: %w); it takes CAP_SYS_NICE "+
			"or a limit of 1 or more (LimitRTPRIO, ulimit -r), and, where control groups share out real time, some of that (cpu.rt_runtime_us)", err)
	case err != nil:
		return fmt.Errorf("moving a thread into the real-time class: %w", err)
	}
	return nil
}
