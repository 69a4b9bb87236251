package main

import (
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// churn opens rate connections a second, numbered from first, and closes each of them at once, until the
// process ends. Their other ends are in this process as well: one thread connects and closes, another one
// accepts and closes. No byte is sent, and nobody waits for readiness: it is the least that a connection
// which comes and goes can take.
func churn(rate, first int, rounds <-chan struct{}) error {
	listener, port, err := listen()
	if err != nil {
		return err
	}
	failed := make(chan error, 2)
	go onThread(failed, func() error {
		for {
			fd, _, err := unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			if err != nil {
				return fmt.Errorf("accepting one that comes and goes: %w", err)
			}
			unix.Close(fd)
		}
	})
	go onThread(failed, func() error {
		start := time.Now()
		for opened := 0; ; time.Sleep(time.Millisecond) {
			for due := int(time.Since(start).Seconds() * float64(rate)); opened < due; opened++ {
				fd, err := open(port, first+opened%maxChurning)
				if err != nil {
					return fmt.Errorf("one that comes and goes: %w", err)
				}
				unix.Close(fd)
				churned.Add(1)
			}
		}
	})
	ready()
	for {
		select {
		case err := <-failed:
			return err
		case <-rounds: // they are for the others
		}
	}
}

// churned counts them.
var churned atomic.Int64

// maxChurning is how many connections that come and go have source addresses of their own: those that were
// closed keep their ports for a minute.
const maxChurning = 1_000_000
