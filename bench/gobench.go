package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// benchArgs run the benchmarks of the codec, of the fan-out and of the server around them.
var benchArgs = []string{"test", "-run", "^$", "-bench", ".", "-benchmem", "-benchtime", "300ms", "./internal/wire", "./internal/broadcast", "."}

// GoBenchmark is one line of go test -bench.
type GoBenchmark struct {
	Package string             `json:"package"`
	Name    string             `json:"name"`   // without Benchmark and without the number of processors
	Values  map[string]float64 `json:"values"` // by unit
}

// Units of go test's own, and those of ours that the report knows.
const (
	unitTime     = "ns/op"
	unitBytes    = "B/op"
	unitAllocs   = "allocs/op"
	unitDelivery = "ns/delivery"
)

// goBenchmarks runs the benchmarks in Go.
func goBenchmarks(ctx context.Context) ([]GoBenchmark, error) {
	cmd := exec.CommandContext(ctx, "go", benchArgs...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w%s\n%s", strings.Join(benchArgs, " "), err, tail(&stderr), output)
	}
	return parseBenchmarks(string(output))
}

// parseBenchmarks reads the output of go test -bench: lines of a name, a number of iterations and
// pairs of value and unit, under the name of their package.
func parseBenchmarks(output string) ([]GoBenchmark, error) {
	var all []GoBenchmark
	pkg := ""
	lines := bufio.NewScanner(strings.NewReader(output))
	for lines.Scan() {
		line := lines.Text()
		if name, ok := strings.CutPrefix(line, "pkg: "); ok {
			pkg = name
			continue
		}
		fields := strings.Fields(line)
		// What a benchmark prints stands between its name and its values, which then aren't looked for.
		if !strings.HasPrefix(line, "Benchmark") || len(fields) < 4 {
			continue
		}
		b := GoBenchmark{Package: pkg, Name: benchName(fields[0]), Values: make(map[string]float64)}
		for pair := fields[2:]; len(pair) >= 2; pair = pair[2:] {
			value, err := strconv.ParseFloat(pair[0], 64)
			if err != nil {
				return nil, fmt.Errorf("reading the benchmark line %q: %w", line, err)
			}
			b.Values[pair[1]] = value
		}
		all = append(all, b)
	}
	return all, lines.Err()
}

// benchName strips what go test adds to a benchmark's name: Benchmark in front and the number of
// processors behind.
func benchName(name string) string {
	name = strings.TrimPrefix(name, "Benchmark")
	if i := strings.LastIndexByte(name, '-'); i > 0 {
		if _, err := strconv.Atoi(name[i+1:]); err == nil {
			return name[:i]
		}
	}
	return name
}

// perDelivery returns the allocations per delivery, where the benchmark measures deliveries.
func (b GoBenchmark) perDelivery() (allocs float64, ok bool) {
	each := b.Values[unitDelivery]
	if each == 0 || b.Values[unitTime] == 0 {
		return 0, false
	}
	deliveries := b.Values[unitTime] / each
	return b.Values[unitAllocs] / deliveries, true
}
