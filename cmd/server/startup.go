package main

import (
	"bufio"
	"debug/elf"
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

const selfExe = "/proc/self/exe"

// forgetStartup gives back what only starting took: memory of the heap, and those
// pages of the program itself that won't be needed again, which are half of what a
// worker without connections has resident. Those that are needed come back from the
// page cache. It is no matter if this fails. A process that is alone
// doesn't bother: there is no other to count the same pages again.
func forgetStartup() {
	debug.FreeOSMemory()
	image, err := elf.Open(selfExe)
	if err != nil {
		return
	}
	defer image.Close()
	path, err := os.Readlink(selfExe)
	if err != nil || image.Type != elf.ET_EXEC { // of others, read-only pages have been written to when they were placed
		return
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer maps.Close()
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		var from, to uintptr
		var access string
		n, _ := fmt.Sscanf(lines.Text(), "%x-%x %s", &from, &to, &access)
		if n == 3 && !strings.Contains(access, "w") && strings.HasSuffix(lines.Text(), path) {
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED)
		}
	}
}
