package main

import (
	"os"
	"runtime"
)

// shareOut settles how many event loops and broadcast workers this process, one of
// so many, has, and lends a processor (GOMAXPROCS, unless that is set in the
// environment) to each of them, to the express worker, and to what comes over the
// bus if there is one. A goroutine in a system call, which is where an idle loop
// waits for events and a worker spends its time, keeps its processor until it
// yields or the runtime's monitor notices, up to 10 ms later: with one to a core,
// the others would stand still meanwhile.
func (o *options) shareOut(processes int) {
	if o.loops == 0 {
		o.loops = max(1, runtime.GOMAXPROCS(0)/processes)
	}
	if o.broadcastWorkers == 0 {
		o.broadcastWorkers = o.loops
	}
	if os.Getenv("GOMAXPROCS") == "" {
		n := o.loops + o.broadcastWorkers + 1
		if processes > 1 || o.nats != "" {
			n++
		}
		runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), n))
	}
}
