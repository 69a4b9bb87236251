// Package procfs reads from Linux's /proc what the load generator wants to
// know of the machine and of processes on it: memory, processor time,
// descriptors, who listens on a port, and limits.
package procfs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// FS is where proc is mounted; a test puts a directory of its own there.
type FS string

// Default is the usual place.
const Default FS = "/proc"

// tick is the unit of processor times in /proc: USER_HZ, 100 on every
// architecture that Go runs on.
const tick = 10 * time.Millisecond

// Usage is what a set of processes uses.
type Usage struct {
	Processes int
	RSS       int64 // bytes
	CPU       time.Duration
	User      time.Duration // of CPU, in the programs
	System    time.Duration // of CPU, in the kernel; both are 0 where only their sum is known
	FDs       int64
}

func (f FS) path(parts ...string) string {
	return filepath.Join(append([]string{string(f)}, parts...)...)
}

// stat is what is needed of /proc/PID/stat (proc(5)).
type stat struct {
	parent       int
	user, system time.Duration
	rss          int64
}

func parseStat(line []byte) (s stat, err error) {
	// The second field is the command's name in parentheses and may hold any
	// character: fields count from the last closing one.
	left, right := bytes.IndexByte(line, '('), bytes.LastIndexByte(line, ')')
	if left < 0 || right < left {
		return s, errors.New("malformed stat line")
	}
	fields := strings.Fields(string(line[right+1:]))
	if len(fields) < 22 {
		return s, errors.New("malformed stat line")
	}
	num := func(field int) int64 { // numbered from 1 as in proc(5)
		n, e := strconv.ParseInt(fields[field-3], 10, 64)
		err = errors.Join(err, e)
		return n
	}
	s.parent = int(num(4))
	s.user, s.system = time.Duration(num(14))*tick, time.Duration(num(15))*tick
	s.rss = num(24) * int64(os.Getpagesize())
	return s, err
}

func (f FS) stat(pid int) (stat, error) {
	line, err := os.ReadFile(f.path(strconv.Itoa(pid), "stat"))
	if err != nil {
		return stat{}, err
	}
	return parseStat(line)
}

// parents returns every process of the machine, and which one has started it.
func (f FS) parents() (map[int]int, error) {
	dirs, err := os.ReadDir(string(f))
	if err != nil {
		return nil, err
	}
	all := make(map[int]int)
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		if s, err := f.stat(pid); err == nil { // else it has ended meanwhile
			all[pid] = s.parent
		}
	}
	return all, nil
}

// Tree returns the processes roots and all their descendants, leaving out the
// process except and its descendants. It reads about every process of the machine.
func (f FS) Tree(roots []int, except int) ([]int, error) {
	parents, err := f.parents()
	if err != nil {
		return nil, err
	}
	var tree []int
	for pid := range parents {
		in := false
		for p, hops := pid, 0; p > 0 && hops < len(parents); p, hops = parents[p], hops+1 {
			if p == except {
				in = false
				break
			}
			in = in || slices.Contains(roots, p)
		}
		if in {
			tree = append(tree, pid)
		}
	}
	if len(tree) == 0 {
		return nil, fmt.Errorf("no process %v", roots)
	}
	return tree, nil
}

// Usage returns what processes use together, those of them that haven't ended.
func (f FS) Usage(pids []int) (u Usage) {
	for _, pid := range pids {
		s, err := f.stat(pid)
		if err != nil {
			continue
		}
		u.Processes++
		u.RSS += s.rss
		u.CPU += s.user + s.system
		u.User += s.user
		u.System += s.system
		u.FDs += f.fds(pid)
	}
	return u
}

// fds counts a process's descriptors. Since Linux 6.2 the directory's size is
// their number, which spares listing twenty thousand of them.
func (f FS) fds(pid int) int64 {
	dir := f.path(strconv.Itoa(pid), "fd")
	if st, err := os.Stat(dir); err == nil && st.Size() > 0 && f == Default {
		return st.Size()
	}
	d, err := os.Open(dir)
	if err != nil {
		return 0
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	return int64(len(names))
}

// Busy returns the processor time that the whole machine has spent on
// something since it started, on all its processors together.
func (f FS) Busy() (time.Duration, error) {
	text, err := os.ReadFile(f.path("stat"))
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, errors.New("malformed /proc/stat")
	}
	var ticks int64
	for i, field := range fields[1:9] { // user nice system idle iowait irq softirq steal
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("malformed /proc/stat: %w", err)
		}
		if i != 3 && i != 4 {
			ticks += n
		}
	}
	return time.Duration(ticks) * tick, nil
}

// MemAvailable returns how many bytes of memory can still be had, and how many
// there are.
func (f FS) MemAvailable() (available, total int64, err error) {
	text, err := os.ReadFile(f.path("meminfo"))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		n, _ := strconv.ParseInt(fields[1], 10, 64)
		switch fields[0] {
		case "MemAvailable:":
			available = n << 10
		case "MemTotal:":
			total = n << 10
		}
	}
	if total == 0 {
		return 0, 0, errors.New("no MemTotal in /proc/meminfo")
	}
	return available, total, nil
}

// Ints reads the numbers in a file like sys/fs/file-nr.
func (f FS) Ints(name string) ([]int64, error) {
	text, err := os.ReadFile(f.path(name))
	if err != nil {
		return nil, err
	}
	var out []int64
	for _, field := range strings.Fields(string(text)) {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.path(name), err)
		}
		out = append(out, n)
	}
	return out, nil
}

// CPUModel returns the processor's name, empty if there is none to be had.
func (f FS) CPUModel() string {
	text, _ := os.ReadFile(f.path("cpuinfo"))
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// Kernel returns the kernel's version.
func (f FS) Kernel() string {
	text, _ := os.ReadFile(f.path("sys/kernel/osrelease"))
	return strings.TrimSpace(string(text))
}
