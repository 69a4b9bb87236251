package main

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// memory is what of a machine's memory is taken, in bytes, by the two ways of counting it.
type memory struct {
	unavailable float64 // what the kernel doesn't call available
	used        float64 // what is neither free nor page cache
}

// memoryWatch follows the machine's memory.
type memoryWatch struct {
	before, most memory
	stop, ended  chan struct{}
}

// watchMemory begins to look each second.
func watchMemory() (*memoryWatch, error) {
	before, err := memoryTaken(read("/proc/meminfo"))
	if err != nil {
		return nil, err
	}
	w := &memoryWatch{before: before, stop: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(w.ended)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-w.stop:
				return
			case <-tick.C:
				now, _ := memoryTaken(read("/proc/meminfo")) // could be had before
				w.most.unavailable = max(w.most.unavailable, now.unavailable)
				w.most.used = max(w.most.used, now.used)
			}
		}
	}()
	return w, nil
}

// growth ends the watch and returns how much more than before was taken at most.
func (w *memoryWatch) growth() memory {
	close(w.stop)
	<-w.ended
	return memory{max(0, w.most.unavailable-w.before.unavailable), max(0, w.most.used-w.before.used)}
}

// memoryTaken reads the text of /proc/meminfo. The kernel calls inodes and dentries available, since it can
// drop those that nobody has open; but every open socket has one of each, so that what is used is the more
// of the two. What the kernel lends to sockets for data shows in no line of its own.
func memoryTaken(meminfo string) (memory, error) {
	kib := make(map[string]float64)
	for line := range strings.Lines(meminfo) {
		if name, value, ok := strings.Cut(line, ":"); ok {
			if n, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64); err == nil {
				kib[name] = n
			}
		}
	}
	total, free, available := kib["MemTotal"], kib["MemFree"], kib["MemAvailable"]
	if total == 0 || free == 0 || available == 0 {
		return memory{}, errors.New("/proc/meminfo doesn't say how much memory is free and how much available")
	}
	return memory{1024 * (total - available), 1024 * (total - free - kib["Buffers"] - kib["Cached"])}, nil
}
