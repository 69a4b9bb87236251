package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"time"
)

// run starts the pairs, has them play the rounds and gathers what they saw.
func run(l load) (*report, error) {
	var writers, readers, churners []*child
	defer func() {
		for _, c := range slices.Concat(readers, writers, churners) {
			c.stop()
		}
	}()

	start := time.Now()
	first := 0
	for pair := range l.pairs {
		// The first conns%pairs pairs take one connection more.
		conns := l.conns / l.pairs
		if pair < l.conns%l.pairs {
			conns++
		}
		w, err := startChild("writer", conns, l.size)
		if err != nil {
			return nil, err
		}
		writers = append(writers, w)
		port, err := w.read("port")
		if err != nil {
			return nil, err
		}
		r, err := startChild("reader", conns, l.size, int(port), first)
		if err != nil {
			return nil, err
		}
		readers = append(readers, r)
		first += conns
	}
	all := slices.Concat(readers, writers) // in the order in which they may end: a reader fails when its writer goes
	if _, err := readAll(all, "ready"); err != nil {
		return nil, err
	}
	connected := time.Since(start)
	if l.churn > 0 {
		c, err := startChild("churner", l.churn, l.conns)
		if err != nil {
			return nil, err
		}
		churners = append(churners, c)
		if _, err := c.read("ready"); err != nil {
			return nil, err
		}
	}

	result := &report{
		Conns:       l.conns,
		Processes:   len(all),
		Size:        l.size,
		Rounds:      l.rounds,
		ConnectPerS: float64(l.conns) / connected.Seconds(),
	}
	for range l.rounds {
		time.Sleep(max(settle, l.pace-time.Since(start)))
		start = time.Now()
		took, err := round(writers, readers)
		if err != nil {
			return nil, err
		}
		result.RoundsMS = append(result.RoundsMS, float64(took)/1e6)
	}
	result.Last = summarize(result.RoundsMS)
	result.NSPerDelivery = result.Last.Median * 1e6 / float64(l.conns)

	for _, c := range all {
		c.stdin.Close() // the children take it as the end, and say what the rounds cost
		cpu, err := c.read("cpu")
		if err != nil {
			return nil, err
		}
		result.CPUS += float64(cpu) / 1e9
		if c.role == "writer" {
			result.WritersCPUS += float64(cpu) / 1e9
		}
	}
	for _, c := range churners {
		c.stdin.Close()
		if _, err := c.read("cpu"); err != nil {
			return nil, err
		}
		n, err := c.read("churned")
		if err != nil {
			return nil, err
		}
		result.Churned += n
	}
	return result, nil
}

// round sends one message to everyone and returns the nanoseconds from its first write to its last
// delivery.
func round(writers, readers []*child) (int64, error) {
	for _, w := range writers {
		if _, err := io.WriteString(w.stdin, "go\n"); err != nil {
			return 0, fmt.Errorf("starting a round: %w", err)
		}
	}
	began, err := readAll(writers, "began")
	if err != nil {
		return 0, err
	}
	ended, err := readAll(readers, "ended")
	if err != nil {
		return 0, err
	}
	return slices.Max(ended) - slices.Min(began), nil
}

// child is a writer, reader or churner process. It ends when its standard input does, so it can't outlive
// this process, whatever ends that.
type child struct {
	role  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines *bufio.Scanner
}

func startChild(role string, args ...int) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	argv := []string{childArg, role}
	for _, a := range args {
		argv = append(argv, strconv.Itoa(a))
	}
	cmd := exec.Command(self, argv...)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("starting a %s: %w", role, err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("starting a %s: %w", role, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting a %s: %w", role, err)
	}
	return &child{role: role, cmd: cmd, stdin: stdin, lines: bufio.NewScanner(stdout)}, nil
}

// stop ends the child, at once if it is still at work.
func (c *child) stop() {
	c.stdin.Close()
	// An error here means that it has ended already, which is what is wanted.
	c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

// read takes the child's next line, which must start with word, and returns the number after it.
func (c *child) read(word string) (int64, error) {
	if !c.lines.Scan() {
		return 0, fmt.Errorf("a %s ended early: %w", c.role, errors.Join(c.lines.Err(), c.cmd.Wait()))
	}
	var got string
	var n int64
	if _, err := fmt.Sscan(c.lines.Text(), &got, &n); err != nil || got != word {
		return 0, fmt.Errorf("a %s said %q instead of %s", c.role, c.lines.Text(), word)
	}
	return n, nil
}

// readAll takes the next line of every child.
func readAll(children []*child, word string) ([]int64, error) {
	var all []int64
	for _, c := range children {
		n, err := c.read(word)
		if err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return all, nil
}
