// Package monitor follows, while a run goes on, what the server, the load
// generator and the machine as a whole use: regularly, and at moments that the
// caller marks.
package monitor

import (
	"context"
	"sync"
	"time"

	"hubbub/cmd/loadgen/internal/procfs"
)

// Every is the time between samples.
const Every = 500 * time.Millisecond

// Source tells what a program uses.
type Source interface {
	Usage() (procfs.Usage, error)
}

// Processes is a Source: processes of this machine with all their descendants.
type Processes struct {
	FS     procfs.FS
	Roots  []int
	Except int // left out, with its descendants; 0 for none
}

// Usage implements Source.
func (p Processes) Usage() (procfs.Usage, error) { return p.FS.Tree(p.Roots, p.Except) }

// Sample is what was used at a moment.
type Sample struct {
	At        time.Duration // since the Monitor was started
	Mark      string        // set where the caller asked for it
	Server    *procfs.Usage // nil if it couldn't be had
	Generator procfs.Usage
	Busy      time.Duration // processor time of the whole machine since it started
}

// Monitor takes samples.
type Monitor struct {
	fs        procfs.FS
	server    Source // nil: unknown
	generator Source
	began     time.Time
	stop      context.CancelFunc
	wg        sync.WaitGroup

	mu      sync.Mutex // guards what follows
	samples []Sample
	why     error // why the server's usage can't be had
}

// Start begins to take samples. A nil server means that nothing is known of
// it.
func Start(fs procfs.FS, server, generator Source) *Monitor {
	ctx, stop := context.WithCancel(context.Background())
	m := &Monitor{fs: fs, server: server, generator: generator, began: time.Now(), stop: stop}
	m.wg.Go(func() {
		tick := time.NewTicker(Every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				m.take("")
			}
		}
	})
	return m
}

// Mark takes a sample now, under a name.
func (m *Monitor) Mark(name string) { m.take(name) }

func (m *Monitor) take(mark string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := Sample{At: time.Since(m.began), Mark: mark}
	if m.server != nil {
		if u, err := m.server.Usage(); err == nil {
			s.Server = &u
		} else {
			m.why = err
		}
	}
	s.Generator, _ = m.generator.Usage() // of ourselves: can't fail while we run
	s.Busy, _ = m.fs.Busy()              // zero where it can't be had
	m.samples = append(m.samples, s)
}

// Stop ends sampling and returns the samples in order of time. The error says
// why the server's usage is missing where it is.
func (m *Monitor) Stop() ([]Sample, error) {
	m.stop()
	m.wg.Wait()
	return m.samples, m.why
}
