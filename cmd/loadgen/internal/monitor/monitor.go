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
	// Usage is called over and over; marked says that the caller waits for this one.
	Usage(marked bool) (procfs.Usage, error)
}

// Processes is a Source: processes of this machine with all their descendants.
//
// To look for descendants takes milliseconds, in which a fan-out goes slower, so
// that isn't done for every sample: for those that are marked, when a process has
// ended, and every seekEvery samples.
type Processes struct {
	FS     procfs.FS
	Roots  []int
	Except int // left out, with its descendants; 0 for none

	tree []int
	left int // samples before descendants are looked for again
}

// seekEvery is how many samples are taken in a row without looking for descendants.
const seekEvery = 20

// Usage implements Source.
func (p *Processes) Usage(marked bool) (procfs.Usage, error) {
	if p.left--; !marked && p.left >= 0 {
		if u := p.FS.Usage(p.tree); u.Processes == len(p.tree) {
			return u, nil
		}
	}
	p.left = 0
	tree, err := p.FS.Tree(p.Roots, p.Except)
	if err != nil {
		return procfs.Usage{}, err
	}
	p.tree, p.left = tree, seekEvery
	return p.FS.Usage(tree), nil
}

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
		if u, err := m.server.Usage(mark != ""); err == nil {
			s.Server = &u
		} else {
			m.why = err
		}
	}
	s.Generator, _ = m.generator.Usage(mark != "") // of ourselves: can't fail while we run
	s.Busy, _ = m.fs.Busy()                        // zero where it can't be had
	m.samples = append(m.samples, s)
}

// Stop ends sampling and returns the samples in order of time. The error says
// why the server's usage is missing where it is.
func (m *Monitor) Stop() ([]Sample, error) {
	m.stop()
	m.wg.Wait()
	return m.samples, m.why
}
