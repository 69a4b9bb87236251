package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Conditions is under what a benchmark was taken. It names no host and no user.
type Conditions struct {
	Date        string  `json:"date"`
	Commit      string  `json:"commit"`
	Dirty       bool    `json:"dirty"` // whether the tree had changes that aren't in the commit
	Go          string  `json:"go"`
	Kernel      string  `json:"kernel"`
	CPU         string  `json:"cpu"`
	Cores       int     `json:"cores"`
	MemoryGiB   float64 `json:"memory_gib"`
	Descriptors uint64  `json:"descriptors"` // that a process may hold
	Buckets     int     `json:"buckets"`     // of the kernel's table of TCP connections (net.ipv4.tcp_ehash_entries); 0: unknown
	Load        string  `json:"load"`        // average over a minute, before the start
}

// conditions gathers them; what can't be had is "unknown".
func conditions(now time.Time) Conditions {
	c := Conditions{
		Date:   now.UTC().Format(time.DateOnly),
		Commit: command("git", "rev-parse", "--verify", "--quiet", "--short", "HEAD"),
		Go:     strings.TrimPrefix(runtime.Version(), "go"),
		Kernel: firstLine("/proc/sys/kernel/osrelease"),
		CPU:    cpuModel(read("/proc/cpuinfo")),
		Cores:  runtime.NumCPU(),
		Load:   firstField(firstLine("/proc/loadavg")),
	}
	// Results lie in the tree themselves: what isn't known to git yet makes no commit dirty.
	c.Dirty = command("git", "status", "--porcelain", "--untracked-files=no") != unknown
	c.MemoryGiB = memoryGiB(read("/proc/meminfo"))
	c.Buckets = buckets(firstLine("/proc/sys/net/ipv4/tcp_ehash_entries"))
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) == nil {
		c.Descriptors = limit.Max
	}
	return c
}

const unknown = "unknown"

// command returns what a command prints; unknown if that is nothing or there is no such command.
func command(name string, args ...string) string {
	output, err := exec.Command(name, args...).Output()
	text := strings.TrimSpace(string(output))
	if err != nil || text == "" {
		return unknown
	}
	return text
}

// read returns a file's text; nothing if it can't be read, which the callers take for unknown.
func read(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(data)
}

func firstLine(path string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(read(path)), "\n")
	if line == "" {
		return unknown
	}
	return line
}

func firstField(line string) string {
	field, _, _ := strings.Cut(line, " ")
	return field
}

// cpuModel returns the processor's name from the text of /proc/cpuinfo.
func cpuModel(cpuinfo string) string {
	for line := range strings.Lines(cpuinfo) {
		key, value, _ := strings.Cut(line, ":")
		// Not every architecture tells a model; those that don't tell an implementer's number only.
		if strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return unknown + " " + runtime.GOARCH
}

// buckets returns how many the kernel's table of TCP connections has, by what it says of it, or 0. Where a network
// namespace uses the machine's own, that is said by a minus.
func buckets(entries string) int {
	n, _ := strconv.Atoi(strings.TrimPrefix(entries, "-")) // 0 where Linux is older than 6.1
	return n
}

// memoryGiB returns the machine's memory from the text of /proc/meminfo, or 0.
func memoryGiB(meminfo string) float64 {
	for line := range strings.Lines(meminfo) {
		var kib float64
		if n, _ := fmt.Sscanf(line, "MemTotal: %f kB", &kib); n == 1 {
			return kib / (1 << 20)
		}
	}
	return 0
}
