package main

import (
	"bytes"
	"fmt"
	"os"
	"testing"
	"time"
)

// The test binary serves as its own children, as the program does.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == childArg {
		if err := runChild(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "floor:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func TestRunDeliversEveryRound(t *testing.T) {
	l := load{conns: 601, size: 200, rounds: 3, pairs: 2, churn: 500, pace: 300 * time.Millisecond}
	if err := l.check(0); err != nil {
		t.Fatal(err)
	}
	got, err := run(l)
	if err != nil {
		t.Fatal(err)
	}
	if got.Conns != 601 || got.Processes != 4 || got.Rounds != 3 || len(got.RoundsMS) != 3 {
		t.Errorf("report = %+v, want 601 connections, 4 processes, 3 rounds", got)
	}
	if got.Churned == 0 {
		t.Error("no connection came and went")
	}
	if got.WritersCPUS <= 0 || got.WritersCPUS >= got.CPUS {
		t.Errorf("writers used %v s of %v s, want some of it", got.WritersCPUS, got.CPUS)
	}
	if got.Last.Min <= 0 || got.Last.Max > 10_000 || got.CPUS <= 0 || got.ConnectPerS <= 0 {
		t.Errorf("report = %+v, want times that are possible", got)
	}
}

// A child must not outlive its parent, of which the end of its standard input is the only sign.
func TestChildEndsWithItsInput(t *testing.T) {
	for _, role := range []string{"writer", "reader", "churner"} {
		t.Run(role, func(t *testing.T) {
			w, err := startChild("writer", 1, 1)
			if err != nil {
				t.Fatal(err)
			}
			defer w.stop()
			c := w
			port, err := w.read("port")
			if err != nil {
				t.Fatal(err)
			}
			if args := map[string][]int{"reader": {1, 1, int(port), 0}, "churner": {1000, 0}}[role]; args != nil {
				if c, err = startChild(role, args...); err != nil {
					t.Fatal(err)
				}
				defer c.stop()
				if _, err := c.read("ready"); err != nil {
					t.Fatal(err)
				}
			}
			c.stdin.Close()
			ended := make(chan error, 1)
			go func() { ended <- c.cmd.Wait() }()
			select {
			case err := <-ended:
				if err != nil {
					t.Errorf("the %s ended with %v", role, err)
				}
			case <-time.After(10 * time.Second):
				t.Errorf("the %s was still there after 10 s", role)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	limit, err := descriptorLimit()
	if err != nil {
		t.Fatal(err)
	}
	perProcess := limit - spareDescriptors
	for _, test := range []struct {
		name  string
		load  load
		args  int
		pairs int // 0: refused
	}{
		{"as many as a pair can hold", load{conns: perProcess, rounds: 1}, 0, 1},
		{"one more than that", load{conns: perProcess + 1, rounds: 1}, 0, 2},
		{"as told", load{conns: 10, rounds: 1, pairs: 3}, 0, 3},
		{"more than the told pairs hold", load{conns: perProcess + 1, rounds: 1, pairs: 1}, 0, 0},
		{"no connection", load{rounds: 1}, 0, 0},
		{"no round", load{conns: 1}, 0, 0},
		{"less than no churn", load{conns: 1, rounds: 1, churn: -1}, 0, 0},
		{"less than no pace", load{conns: 1, rounds: 1, pace: -1}, 0, 0},
		{"arguments", load{conns: 1, rounds: 1}, 1, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := test.load.check(test.args)
			if (err != nil) != (test.pairs == 0) {
				t.Fatalf("check = %v", err)
			}
			if err == nil && test.load.pairs != test.pairs {
				t.Errorf("pairs = %d, want %d", test.load.pairs, test.pairs)
			}
		})
	}
}

func TestSourceAddrSpreadsConnections(t *testing.T) {
	for _, test := range []struct {
		conn int
		want [4]byte
	}{
		{0, [4]byte{127, 1, 0, 1}},
		{249, [4]byte{127, 1, 0, 1}},
		{250, [4]byte{127, 1, 0, 2}},
		{250 * 250, [4]byte{127, 1, 1, 1}},
		{99_999, [4]byte{127, 1, 1, 150}},
		{250 * 250 * 250, [4]byte{127, 2, 0, 1}},
	} {
		if got := sourceAddr(test.conn); got != test.want {
			t.Errorf("sourceAddr(%d) = %v, want %v", test.conn, got, test.want)
		}
	}
}

func TestFrameOf(t *testing.T) {
	for _, test := range []struct {
		size   int
		header []byte
	}{
		{0, []byte{0x82, 0}},
		{125, []byte{0x82, 125}},
		{126, []byte{0x82, 126, 0, 126}},
		{1 << 16, []byte{0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0}},
	} {
		got := frameOf(test.size)
		if !bytes.HasPrefix(got, test.header) || len(got) != len(test.header)+test.size {
			t.Errorf("frameOf(%d) is %d bytes and starts %x, want header %x", test.size, len(got), got[:min(len(got), 10)], test.header)
		}
	}
}

func TestSummarize(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   summary
	}{
		{[]float64{4}, summary{Median: 4, Mean: 4, Min: 4, Max: 4}},
		{[]float64{9, 1, 2}, summary{Median: 2, Mean: 4, Min: 1, Max: 9}},
		{[]float64{8, 1, 5, 2}, summary{Median: 3.5, Mean: 4, Min: 1, Max: 8}},
	} {
		if got := summarize(test.values); got != test.want {
			t.Errorf("summarize(%v) = %+v, want %+v", test.values, got, test.want)
		}
	}
}
