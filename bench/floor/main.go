// Floor measures what the kernel alone takes to fan a message out: a bare loop of writes over as
// many loopback sockets as a server would hold, and a bare loop of reads at their other ends.
//
// It is for the benchmark, which divides a server's fan-out time by it. A writer and a reader are
// children that are this same program, and each writes or reads on one core; there are as many pairs
// of them as a server needs processes, because each may hold only so many descriptors. It rests on raw
// system calls alone and parses nothing; in place of a handshake its connections begin with as many bytes
// in each direction. Where one pair suffices a server gets below it by writing on several cores, and
// anywhere by writing less often.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"
)

// spareDescriptors stay free in every process, for pipes, epoll and the Go runtime.
const spareDescriptors = 1000

// settle is the least pause between rounds, in which delayed acknowledgements go out: in a server that
// publishes once a second they fall between the messages too.
const settle = 100 * time.Millisecond

// report is what the floor prints, as JSON. Times are CLOCK_MONOTONIC, which all processes share.
type report struct {
	Conns     int `json:"conns"`
	Processes int `json:"processes"` // writers and readers together
	Size      int `json:"size"`      // payload bytes; a frame has a header of 2 to 10 more
	Rounds    int `json:"rounds"`
	// Last is the time from the first write of a round to its last delivery.
	Last          summary   `json:"last_ms"`
	RoundsMS      []float64 `json:"rounds_ms"`
	NSPerDelivery float64   `json:"ns_per_delivery"` // median round over connections
	ConnectPerS   float64   `json:"connect_per_s"`
	CPUS          float64   `json:"cpu_s"`         // all processes, in the rounds only
	WritersCPUS   float64   `json:"writers_cpu_s"` // of CPUS
	Churned       int64     `json:"churned"`       // further connections that came and went meanwhile
}

type summary struct {
	Median float64 `json:"median"`
	Mean   float64 `json:"mean"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == childArg {
		if err := runChild(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "floor:", err)
			os.Exit(1)
		}
		return
	}

	var load load
	flag.IntVar(&load.conns, "conns", 16000, "connections, all processes together")
	flag.IntVar(&load.size, "size", 128, "payload `bytes` of a message")
	flag.IntVar(&load.rounds, "rounds", 20, "messages to every connection, one after the other")
	flag.DurationVar(&load.pace, "pace", time.Second, "`time` from one message to the next: what sockets need of the caches is gone from there after a while; a pause of 100 ms if that is longer")
	flag.IntVar(&load.pairs, "pairs", 0, "writer and reader processes, of each this many (0: as many as the descriptor limit demands)")
	flag.IntVar(&load.churn, "churn", 0, "further connections that are opened and closed meanwhile, `a second`; they get no message")
	flag.Parse()
	if err := load.check(flag.NArg()); err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(2)
	}

	result, err := run(load)
	if err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", "  ")
	if err := out.Encode(result); err != nil {
		fmt.Fprintln(os.Stderr, "floor: writing the report:", err)
		os.Exit(1)
	}
}

// load is what to measure.
type load struct {
	conns, size, rounds, pairs, churn int
	pace                              time.Duration
}

// check reports what is wrong with the load, and fills in the number of pairs if it is open.
func (l *load) check(extraArgs int) error {
	if extraArgs > 0 {
		return errors.New("takes flags only; see -help")
	}
	if l.conns < 1 || l.size < 0 || l.rounds < 1 || l.pairs < 0 || l.churn < 0 || l.pace < 0 {
		return errors.New("-conns and -rounds must be 1 or more, -size, -pace, -pairs and -churn 0 or more")
	}
	limit, err := descriptorLimit()
	if err != nil {
		return err
	}
	perProcess := limit - spareDescriptors
	if perProcess < 1 {
		return fmt.Errorf("a process may hold %d descriptors, more than %d are needed: raise the hard limit (ulimit -Hn)", limit, spareDescriptors)
	}
	if l.pairs == 0 {
		l.pairs = (l.conns + perProcess - 1) / perProcess
	}
	if most := l.pairs * perProcess; l.conns > most {
		return fmt.Errorf("%d pairs of processes can hold %d connections here, not %d: raise -pairs or the hard descriptor limit", l.pairs, most, l.conns)
	}
	return nil
}

// descriptorLimit returns how many descriptors a process of ours may hold. The Go runtime has
// raised the soft limit to the hard one before main, in this process and in each child.
func descriptorLimit() (int, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("reading the descriptor limit: %w", err)
	}
	return int(limit.Cur), nil
}

func summarize(values []float64) summary {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	var sum float64
	for _, v := range sorted {
		sum += v
	}
	return summary{
		Median: (sorted[(n-1)/2] + sorted[n/2]) / 2,
		Mean:   sum / float64(n),
		Min:    sorted[0],
		Max:    sorted[n-1],
	}
}
