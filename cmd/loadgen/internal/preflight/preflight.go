// Package preflight tells before a run starts whether the machine can hold it,
// and if not, what to change. It also divides the connections over processes,
// which is a question of descriptors.
package preflight

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"hubbub/cmd/loadgen/internal/plan"
	"hubbub/cmd/loadgen/internal/procfs"
)

const (
	// reserve is how many descriptors a process needs beside its connections:
	// standard streams, epoll, eventfd and timerfd of each loop, Go's own.
	reserve = 128
	// perEnd is about what an idle connection's end takes of memory: socket,
	// inode, file and epoll entry in the kernel (measured on Linux 6.18: 3.2 KB),
	// and a few hundred bytes in its process.
	perEnd = 3600
	// perTLS is what encryption adds to an end (measured with Go 1.26: 12 KB in
	// the server, 14 KB here).
	perTLS = 14_000
	// perProcess is what a worker process takes before its first connection.
	perProcess = 16 << 20
	// maxProcesses bounds -processes; a million connections with 20,000
	// descriptors per process take 51.
	maxProcesses = 4096
)

// Host is what a machine offers.
type Host struct {
	CPUs         int
	Descriptors  int    // hard limit per process
	FilesUsed    int64  // open files of the whole machine
	FilesMax     int64  // and how many there may be; 0: unknown
	PortFirst    int    // local ports for outgoing connections
	PortLast     int    //
	MemAvailable int64  // bytes; 0: unknown
	Tracked      int64  // connections that the firewall tracks now
	TrackedMax   int64  // and how many it can; 0: it doesn't track
	Loopback     bool   // the server is on this machine
	Server       string // its address, for messages
}

// Look returns what this machine offers for connections to addr.
func Look(fs procfs.FS, cpus int, addr netip.AddrPort) (Host, error) {
	h := Host{CPUs: cpus, Loopback: addr.Addr().IsLoopback(), Server: addr.String()}
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return h, fmt.Errorf("getrlimit: %w", err)
	}
	h.Descriptors = int(min(lim.Max, 1<<30))
	if v, err := fs.Ints("sys/fs/file-nr"); err == nil && len(v) == 3 {
		h.FilesUsed, h.FilesMax = v[0], v[2]
	}
	h.PortFirst, h.PortLast = 32768, 60999 // the kernel's default
	if v, err := fs.Ints("sys/net/ipv4/ip_local_port_range"); err == nil && len(v) == 2 {
		h.PortFirst, h.PortLast = int(v[0]), int(v[1])
	}
	h.MemAvailable, _, _ = fs.MemAvailable() // zero: not checked
	if v, err := fs.Ints("sys/net/netfilter/nf_conntrack_count"); err == nil && len(v) == 1 && v[0] > 0 {
		h.Tracked = v[0]
		if v, err := fs.Ints("sys/net/netfilter/nf_conntrack_max"); err == nil && len(v) == 1 {
			h.TrackedMax = v[0]
		}
	}
	return h, nil
}

// RaiseLimit raises this process's limit of descriptors as far as it may.
func RaiseLimit() error {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return fmt.Errorf("getrlimit: %w", err)
	}
	lim.Cur = lim.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return fmt.Errorf("raising the limit of descriptors to %d: %w", lim.Max, err)
	}
	return nil
}

// room is how many of a plan's connections a process can hold.
func (h Host) room(p *plan.Plan) int { return max(0, h.Descriptors-reserve-p.ChurnedAtOnce()) }

// Processes returns how many worker processes a plan takes. asked is how many
// the user wants, 0 for as few as will do.
func (h Host) Processes(p *plan.Plan, asked int) (int, error) {
	room := h.room(p)
	if room == 0 {
		return 0, fmt.Errorf("a process may open only %d descriptors: raise the hard limit (ulimit -Hn)", h.Descriptors)
	}
	need := (p.Conns + room - 1) / room
	switch {
	case asked > p.Conns:
		return 0, fmt.Errorf("-processes %d: allowed are 0 to the number of connections, %d", asked, p.Conns)
	case asked > 0 && asked < need:
		return 0, fmt.Errorf("-processes %d: %d connections take at least %d, since a process may open %d descriptors; give -processes 0, or raise the hard limit (ulimit -Hn)",
			asked, p.Conns, need, h.Descriptors)
	case max(asked, need) > maxProcesses:
		return 0, fmt.Errorf("%d connections take %d processes: raise the hard limit of %d descriptors (ulimit -Hn)", p.Conns, need, h.Descriptors)
	}
	return max(asked, need), nil
}

// Loops returns how many event loops each of the processes runs: together at
// least one per processor.
func (h Host) Loops(processes int) int { return max(1, (h.CPUs+processes-1)/processes) }

// Check returns an error that says what to change for each thing the machine
// doesn't have enough of, and warnings for what may turn out too small.
func (h Host) Check(p *plan.Plan, processes int) (warnings []string, err error) {
	var errs []error
	conns := p.Conns + processes*p.ChurnedAtOnce() // at a time
	ends := int64(conns)
	if h.Loopback {
		ends *= 2
	}
	if free := h.FilesMax - h.FilesUsed; h.FilesMax > 0 && free < ends {
		errs = append(errs, fmt.Errorf("open files: %d connections take %d, the machine has room for %d more: sysctl -w fs.file-max=%d",
			conns, ends, free, h.FilesUsed+ends+ends/10))
	}
	ports := max(0, h.PortLast-h.PortFirst+1)
	sources := max(1, p.Sources.Len())
	have := ports * sources
	if have < conns {
		errs = append(errs, fmt.Errorf("ports: %d connections to %s from %d source address(es) with %d ports each are at most %d: sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\", or more addresses with -source-ips (%d would do)",
			conns, h.Server, sources, ports, have, addresses(conns, ports)))
	} else if all := conns + p.Lingering(); have < all {
		warnings = append(warnings, fmt.Sprintf("ports: if it isn't the server that closes connections first, they keep their ports for a minute, and %d may be taken at a time; from %d source address(es) there are %d: if connections fail, more addresses with -source-ips (%d would do)",
			all, sources, have, addresses(all, ports)))
	}
	per := int64(perEnd)
	if p.TLS != nil {
		per += perTLS
	}
	need := ends*per + int64(processes)*perProcess
	if h.MemAvailable > 0 && h.MemAvailable < need {
		errs = append(errs, fmt.Errorf("memory: %d connections take about %d MB%s, available are %d MB: free some, or try -conns %d",
			conns, need>>20, bothEnds(h.Loopback), h.MemAvailable>>20, h.fits(processes, per)))
	}
	tracked := int64(conns + p.Lingering())
	if h.TrackedMax > 0 && h.TrackedMax-h.Tracked < tracked {
		warnings = append(warnings, fmt.Sprintf("the firewall tracks connections and has room for %d more; if connections time out: sysctl -w net.netfilter.nf_conntrack_max=%d",
			h.TrackedMax-h.Tracked, h.Tracked+max(ends, tracked)))
	}
	return warnings, errors.Join(errs...)
}

// addresses returns from how many addresses with so many ports each that many
// connections can go out.
func addresses(conns, ports int) int { return (conns + max(ports, 1) - 1) / max(ports, 1) }

// fits returns how many connections there is memory for, if an end takes so much.
func (h Host) fits(processes int, per int64) int64 {
	if h.Loopback {
		per *= 2
	}
	return max(0, h.MemAvailable-int64(processes)*perProcess) / per
}

func bothEnds(loopback bool) string {
	if loopback {
		return " (both ends and the kernel)"
	}
	return ""
}
