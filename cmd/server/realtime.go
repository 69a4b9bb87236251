package main

import (
	"fmt"
	"log/slog"

	"hubbub/internal/realtime"
)

// enterRealtime puts the process into the real-time class, if it is to be there. A
// worker is in it already, as its supervisor's child.
func (o *options) enterRealtime() error {
	if !o.realtime {
		return nil
	}
	if err := realtime.Enter(); err != nil {
		return usageError{fmt.Errorf("-realtime: %w", err)}
	}
	return nil
}

// onWorkerThread returns what has the threads leave the class again that write
// to large topics, which takes all of the processors that it can get.
func (o *options) onWorkerThread(log *slog.Logger) func() {
	if !o.realtime {
		return nil
	}
	return func() {
		if err := realtime.Leave(); err != nil {
			log.Error("a broadcast worker", "err", err)
		}
	}
}
