// Package testsched tells tests in which scheduling classes threads are.
package testsched

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Classes returns how many threads of a process are in which class (SCHED_RR and
// so on, see sched(7)), without those that end meanwhile.
func Classes(pid int) (map[uint32]int, error) {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return nil, err
	}
	n := map[uint32]int{}
	for _, task := range tasks {
		tid, err := strconv.Atoi(task.Name())
		if err != nil {
			return nil, err
		}
		a, err := unix.SchedGetAttr(tid, 0)
		if errors.Is(err, unix.ESRCH) {
			continue
		}
		if err != nil {
			return nil, err
		}
		n[a.Policy]++
	}
	return n, nil
}
