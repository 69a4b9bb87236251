package main

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// memoryWatch follows the machine's memory in use.
type memoryWatch struct {
	before, most float64 // bytes
	stop, ended  chan struct{}
}

// watchMemory begins to look each second.
func watchMemory() (*memoryWatch, error) {
	before, err := memoryInUse(read("/proc/meminfo"))
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
				now, _ := memoryInUse(read("/proc/meminfo")) // could be had before
				w.most = max(w.most, now)
			}
		}
	}()
	return w, nil
}

// growth ends the watch and returns how many bytes more than before were in use at most.
func (w *memoryWatch) growth() float64 {
	close(w.stop)
	<-w.ended
	return max(0, w.most-w.before)
}

// memoryInUse returns the bytes that are neither free nor page cache, from the text of /proc/meminfo. What
// that says is available won't do: it takes half of all inodes and dentries for ones that can be given up,
// and every open socket has one of each. What the kernel lends to sockets for data shows in no line of it.
func memoryInUse(meminfo string) (float64, error) {
	kib := make(map[string]float64)
	for line := range strings.Lines(meminfo) {
		if name, value, ok := strings.Cut(line, ":"); ok {
			if n, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64); err == nil {
				kib[name] = n
			}
		}
	}
	if kib["MemTotal"] == 0 || kib["MemFree"] == 0 {
		return 0, errors.New("/proc/meminfo doesn't say how much memory is free")
	}
	return 1024 * (kib["MemTotal"] - kib["MemFree"] - kib["Buffers"] - kib["Cached"]), nil
}
