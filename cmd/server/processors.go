package main

import (
	"os"
	"runtime"
)

// shareOut settles how many event loops and broadcast workers this process, one of
// so many, has, and lends each of them a processor (GOMAXPROCS, unless that is set
// in the environment). A goroutine in a system call, which is where an idle loop
// waits for events, keeps its processor until the runtime's monitor notices, up to
// 10 ms later: with one to a core, the broadcast workers would stand still meanwhile.
func (o *options) shareOut(processes int) {
	if o.loops == 0 {
		o.loops = max(1, runtime.GOMAXPROCS(0)/processes)
	}
	if o.broadcastWorkers == 0 {
		o.broadcastWorkers = o.loops
	}
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), o.loops+o.broadcastWorkers))
	}
}
