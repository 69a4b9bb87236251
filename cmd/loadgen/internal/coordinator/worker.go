package coordinator

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"hubbub/cmd/loadgen/internal/client"
)

// progressEvery is how often a worker says how far it is.
const progressEvery = 200 * time.Millisecond

// worker is the child's side.
type worker struct {
	mu  sync.Mutex // guards out
	out *json.Encoder
}

// Work is the life of a worker. It returns when it is told to quit; orphaned
// is called when in ends before that, and has to end the process.
func Work(in io.Reader, out io.Writer, orphaned func()) error {
	w := &worker{out: json.NewEncoder(out)}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	commands := make(chan command, 1)
	go func() {
		dec := json.NewDecoder(in)
		for {
			var c command
			if err := dec.Decode(&c); err != nil {
				orphaned()
				return
			}
			if c.Stop {
				cancel()
				continue
			}
			if c.Quit {
				cancel()
			}
			commands <- c
			if c.Quit {
				return
			}
		}
	}()

	first := <-commands
	if first.Connect == nil {
		return fmt.Errorf("worker: told to do something before connect")
	}
	fleet, err := client.New(&first.Connect.Plan, first.Connect.Share)
	if err != nil {
		return w.say(event{Failed: err.Error()})
	}
	reporting, stop := context.WithCancel(context.Background())
	var reporter sync.WaitGroup
	reporter.Go(func() { w.report(reporting, fleet) })
	quit := func() {
		stop()
		reporter.Wait()
		fleet.Close()
	}

	fleet.Connect(ctx)
	now := fleet.Snapshot() // what is lost if this process ends before it reports again
	if err := w.say(event{Ready: true, Progress: &now}); err != nil {
		quit()
		return err
	}
	for c := range commands {
		var e event
		switch {
		case c.Publish != nil:
			e.Sent = &sentEvent{By: fleet.Publish(ctx, c.Publish.Start)}
			e.Sent.FirstLoss = fleet.FirstLoss()
		case c.Finish != nil:
			if c.Finish.FirstLoss != 0 {
				fleet.CountFrom(c.Finish.FirstLoss)
			}
			e.Result = fleet.Finish(ctx, c.Finish.Totals, c.Finish.Deadline)
			if err := e.Result.Pack(); err != nil {
				e = event{Failed: err.Error()}
			}
		case c.Quit:
			quit()
			return nil
		}
		if err := w.say(e); err != nil {
			quit()
			return err
		}
	}
	return nil
}

func (w *worker) say(e event) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.out.Encode(e); err != nil {
		return fmt.Errorf("worker: telling the parent: %w", err)
	}
	return nil
}

func (w *worker) report(ctx context.Context, f *client.Fleet) {
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			p := f.Snapshot()
			if w.say(event{Progress: &p}) != nil {
				return // the parent is gone; its end of the other pipe says so too
			}
		}
	}
}
