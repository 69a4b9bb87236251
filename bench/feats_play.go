package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// What the load generator says as it goes on.
const (
	publishes = "loadgen: publishing"
	published = "loadgen: waiting for the last deliveries"
	holds     = "loadgen: waiting for the server to go away"
)

// besideFile is where a load generator puts its report beside which something else goes on.
var besideFile = filepath.Join(binaries, "bench-load-beside.json")

// startLoad starts a load generator and waits until it says something.
func startLoad(ctx context.Context, run *Run, conns int, load []string, url string, pid int, something string) (*process, error) {
	if err := os.RemoveAll(besideFile); err != nil {
		return nil, fmt.Errorf("removing the last run's report: %w", err)
	}
	says := func(_ context.Context, so *said) error {
		if !strings.Contains(so.String(), something) {
			return errors.New("it hasn't")
		}
		return nil
	}
	return start(ctx, child(ctx, run, program("loadgen"), loadArgs(conns, load, besideFile, url, pid)...), says)
}

// besideGiant returns what puts a scenario's load, of some length and with further flags, on a small topic of a
// server while another one has all of the scenario's connections as members, and its publisher sends each
// message as soon as it has the last one back.
func besideGiant(length time.Duration, of server, flags ...string) func(context.Context, *Run, *scenario) error {
	// What the small topic's members take to connect and to settle, on a machine that has no time.
	const margin = 10 * time.Second
	return func(ctx context.Context, run *Run, s *scenario) (err error) {
		server, err := of.up(ctx, run, s.conns+smallTopic)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, server.stop()) }()

		url, pid := "ws://"+server.addr+s.path, server.cmd.Process.Pid
		giant, err := startLoad(ctx, run, s.conns, []string{"-window", "1", "-duration", (length + margin).String()}, url, pid, publishes)
		if err != nil {
			return err
		}
		if err := generate(ctx, run, smallTopic, url, pid, append(slices.Clip(s.load), flags...)); err != nil {
			return errors.Join(err, giant.stop())
		}
		over := strings.Contains(giant.log.String(), published)
		<-giant.ended
		_, report, err := readLoad(besideFile)
		if err != nil {
			return errors.Join(giant.err, err)
		}
		small := run.Measured
		run.Measured = Measured{ // no processor time: most of it was the giant topic's
			ConnectPerS:    report.ConnectPerS,
			LatencyP50MS:   small.LatencyP50MS,
			LatencyP99MS:   small.LatencyP99MS,
			DeliveriesPerS: small.DeliveriesPerS + report.DeliveriesPerS,
			RSSBytes:       small.RSSBytes,
			Messages:       small.Messages,
			Saturated:      small.Saturated,
			Missing:        small.Missing + report.Missing,
			Duplicate:      small.Duplicate + report.Duplicate,
			Reordered:      small.Reordered + report.Reordered,
			Corrupt:        small.Corrupt + report.Corrupt,
			ConnsFailed:    small.ConnsFailed + report.ConnsFailed + report.ConnsLost,
		}
		switch {
		case run.Fault() == "" && giant.err != nil:
			return fmt.Errorf("%s: %w%s", giant.name, giant.err, tail(giant.log))
		case over:
			return errors.New("the big topic's fan-out was over before the small one's messages were")
		}
		return nil
	}
}

// stormReport is the load generator's account of a storm.
type stormReport struct {
	Lost      int       `json:"lost"`
	FirstLoss time.Time `json:"first_loss"`
	Times     struct {
		Last float64 `json:"last"` // s, from the first loss
	} `json:"back_s"`
}

// back returns after how many seconds from a moment before the first loss all were back.
func (s stormReport) back(from time.Time) float64 {
	return s.FirstLoss.Sub(from).Seconds() + s.Times.Last
}

// killed kills the server with all its processes under the scenario's connections, and starts it again in the
// same place.
func killed(ctx context.Context, run *Run, s *scenario) (err error) {
	server, err := hubbub.up(ctx, run, s.conns)
	if err != nil {
		return err
	}
	load, err := startLoad(ctx, run, s.conns, s.load, "ws://"+server.addr+s.path, server.cmd.Process.Pid, holds)
	if err != nil {
		return errors.Join(err, server.stop())
	}
	end := time.Now()
	if err := syscall.Kill(-server.cmd.Process.Pid, syscall.SIGKILL); err != nil {
		return errors.Join(fmt.Errorf("killing the server: %w", err), load.stop(), server.stop())
	}
	<-server.ended
	at := server.place
	server, err = again(ctx, run, s.conns, at)
	if err != nil {
		return errors.Join(err, load.stop(), at.leave())
	}
	defer func() { err = errors.Join(err, server.stop()) }()

	<-load.ended
	raw, report, err := readLoad(besideFile)
	if err != nil {
		return errors.Join(load.err, err)
	}
	run.Raw = raw
	run.Measured = Measured{
		ConnectPerS: report.ConnectPerS,
		BackS:       report.Storm.back(end),
		ReadyS:      report.Recovery.AllReady,
		ConnsFailed: report.ConnsFailed + report.ConnsLost,
	}
	switch {
	case run.Fault() == "" && load.err != nil:
		return fmt.Errorf("%s: %w%s", load.name, load.err, tail(load.log))
	case report.Storm.Lost != s.conns:
		return fmt.Errorf("%d of %d connections were lost when the server was killed", report.Storm.Lost, s.conns)
	}
	return nil
}

// again starts the server anew where one was killed. Its address is taken until the kernel has ended the last
// of its processes.
func again(ctx context.Context, run *Run, conns int, at place) (upServer, error) {
	for {
		commands := run.Commands
		up, err := hubbub.upAt(ctx, run, conns, at)
		if err == nil || !strings.Contains(err.Error(), "in use") {
			return up, err
		}
		run.Commands = commands
	}
}

// weighed has a contender play and watches how much of the machine's memory that takes.
func weighed(play func(context.Context, *Run, *scenario) error) func(context.Context, *Run, *scenario) error {
	return func(ctx context.Context, run *Run, s *scenario) error {
		watch, err := watchMemory()
		if err != nil {
			return err
		}
		err = play(ctx, run, s)
		most := watch.growth()
		run.Measured.EverythingBytes, run.Measured.PinnedBytes = most.unavailable, most.used
		if run.Measured.ConnectPerS > 0 {
			run.Measured.OpenedS = float64(s.conns) / run.Measured.ConnectPerS
		}
		return err
	}
}
