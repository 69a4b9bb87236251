package preflight

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"hubbub/cmd/loadgen/internal/plan"
	"hubbub/cmd/loadgen/internal/procfs"
)

// small is a machine like the reference machine.
func small() Host {
	return Host{
		CPUs: 2, Descriptors: 20_000, FilesUsed: 1000, FilesMax: 2_000_000, PortFirst: 32768, PortLast: 60999,
		MemAvailable: 20 << 30, Loopback: true, Server: "127.0.0.1:8080",
	}
}

func TestProcesses(t *testing.T) {
	for _, tt := range []struct {
		conns, descriptors, asked int
		want                      int
		err                       string
	}{
		{1000, 20_000, 0, 1, ""},
		{19_872, 20_000, 0, 1, ""},
		{19_873, 20_000, 0, 2, ""},
		{100_000, 20_000, 0, 6, ""},
		{1_000_000, 20_000, 0, 51, ""},
		{1000, 20_000, 4, 4, ""},
		{100_000, 20_000, 5, 0, "-processes 5: 100000 connections take at least 6"},
		{2, 20_000, 3, 0, "-processes 3"},
		{10, 100, 0, 0, "raise the hard limit"},
		{10_000_000, 1024, 0, 0, "raise the hard limit"},
	} {
		h := small()
		h.Descriptors = tt.descriptors
		got, err := h.Processes(&plan.Plan{Conns: tt.conns}, tt.asked)
		if got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%d connections, %d descriptors, %d asked: %d, %v; want %d, %q", tt.conns, tt.descriptors, tt.asked, got, err, tt.want, tt.err)
		}
	}
}

func TestLoops(t *testing.T) {
	for _, tt := range []struct{ cpus, processes, want int }{{1, 1, 1}, {2, 1, 2}, {2, 6, 1}, {8, 3, 3}} {
		if got := (Host{CPUs: tt.cpus}).Loops(tt.processes); got != tt.want {
			t.Errorf("%d processors, %d processes: %d loops each, want %d", tt.cpus, tt.processes, got, tt.want)
		}
	}
}

// A process keeps room for as many churned connections as it has at a time.
func TestProcessesWithChurn(t *testing.T) {
	for _, tt := range []struct {
		conns int
		churn float64
		want  int
	}{
		{19_872, 0, 1},
		{18_848, 2000, 1},
		{18_849, 2000, 2},
		{19_862, 1, 1}, // ten of them in all
		{19_863, 1, 2},
	} {
		p := &plan.Plan{Mode: plan.Fanout, Conns: tt.conns, Churn: tt.churn, Duration: 10 * time.Second}
		if got, err := small().Processes(p, 0); got != tt.want || err != nil {
			t.Errorf("%d connections, churn %v: %d, %v; want %d", tt.conns, tt.churn, got, err, tt.want)
		}
	}
}

// What comes and goes needs room too, and what it may leave behind is worth a
// warning.
func TestCheckChurn(t *testing.T) {
	const far = `ports: if it isn't the server that closes connections first, they keep their ports for a minute, and 48048 may be taken at a time; from 1 source address(es) there are 28232: if connections fail, more addresses with -source-ips (2 would do)`
	for _, tt := range []struct {
		name      string
		p         plan.Plan
		edit      func(*Host)
		warn, err string
	}{
		{"on loopback", plan.Plan{Mode: plan.Fanout, Conns: 26_000, Churn: 2000, Duration: time.Minute, Sources: plan.LoopbackSources(146_000)}, nil, "", ""},
		{"few ports", plan.Plan{Mode: plan.Fanout, Conns: 26_000, Churn: 2000, Duration: 10 * time.Second}, nil, far, ""},
		{"too few ports", plan.Plan{Mode: plan.Fanout, Conns: 27_000, Churn: 2000, Duration: time.Minute}, nil, "",
			`ports: 29048 connections to 127.0.0.1:8080 from 1 source address(es) with 28232 ports each are at most 28232: sysctl -w net.ipv4.ip_local_port_range="1024 65535", or more addresses with -source-ips (2 would do)`},
		{"storm", plan.Plan{Mode: plan.Storm, Conns: 24_024}, nil, far, ""},
		{"open files", plan.Plan{Mode: plan.Fanout, Conns: 1000, Churn: 2000, Duration: 10 * time.Second}, func(h *Host) { h.FilesMax = 4000 }, "",
			"open files: 3048 connections take 6096, the machine has room for 3000 more: sysctl -w fs.file-max=7705"},
		{"firewall", plan.Plan{Mode: plan.Fanout, Conns: 1000, Churn: 2000, Duration: 10 * time.Second}, func(h *Host) { h.Tracked, h.TrackedMax = 50_000, 65_536 },
			"the firewall tracks connections and has room for 15536 more; if connections time out: sysctl -w net.netfilter.nf_conntrack_max=73048", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := small()
			if tt.edit != nil {
				tt.edit(&h)
			}
			warnings, err := h.Check(&tt.p, 2)
			if got := strings.Join(warnings, "\n"); got != tt.warn {
				t.Errorf("warnings\n%s, want\n%s", got, tt.warn)
			}
			if (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
				t.Errorf("error\n%v, want\n%s", err, tt.err)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		name  string
		conns int
		from  plan.Sources
		edit  func(*Host)
		warn  string
		err   string // all of it, lines joined
	}{
		{"enough", 100_000, plan.LoopbackSources(100_000), nil, "", ""},
		{"ports", 30_000, nil, nil, "",
			`ports: 30000 connections to 127.0.0.1:8080 from 1 source address(es) with 28232 ports each are at most 28232: sysctl -w net.ipv4.ip_local_port_range="1024 65535", or more addresses with -source-ips (2 would do)`},
		{"memory", 100_000, plan.LoopbackSources(100_000), func(h *Host) { h.MemAvailable = 500 << 20 }, "",
			"memory: 100000 connections take about 702 MB (both ends and the kernel), available are 500 MB: free some, or try -conns 70487"},
		{"memory for encryption", 100_000, plan.LoopbackSources(100_000), func(h *Host) { h.MemAvailable = 2 << 30 }, "",
			"memory: 100000 connections take about 3372 MB (both ends and the kernel), available are 2048 MB: free some, or try -conns 60531"},
		{"memory of one end", 100_000, plan.LoopbackSources(100_000), func(h *Host) { h.MemAvailable = 500 << 20; h.Loopback = false }, "", ""},
		{"open files", 100_000, plan.LoopbackSources(100_000), func(h *Host) { h.FilesMax = 150_000 }, "",
			"open files: 100000 connections take 200000, the machine has room for 149000 more: sysctl -w fs.file-max=221000"},
		{"unknown is no reason", 100_000, plan.LoopbackSources(100_000), func(h *Host) { h.MemAvailable, h.FilesMax = 0, 0 }, "", ""},
		{"firewall", 100_000, plan.LoopbackSources(100_000), func(h *Host) { h.Tracked, h.TrackedMax = 5000, 65536 },
			"room for 60536 more", ""},
		{"all at once", 30_000, nil, func(h *Host) { h.MemAvailable, h.FilesMax = 1<<20, 2000 }, "", "open files: ...\nports: ...\nmemory: ..."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := small()
			if tt.edit != nil {
				tt.edit(&h)
			}
			p := &plan.Plan{Conns: tt.conns, Sources: tt.from}
			if strings.Contains(tt.name, "encryption") {
				p.TLS = &plan.TLS{}
			}
			warnings, err := h.Check(p, 1)
			if got := strings.Join(warnings, "\n"); (got == "") != (tt.warn == "") || !strings.Contains(got, tt.warn) {
				t.Errorf("warnings %q, want %q", got, tt.warn)
			}
			var got string
			if err != nil {
				got = err.Error()
			}
			if strings.Contains(tt.err, "...") {
				var heads []string
				for line := range strings.Lines(got) {
					head, _, _ := strings.Cut(line, ":")
					heads = append(heads, head+": ...")
				}
				got = strings.Join(heads, "\n")
			}
			if got != tt.err {
				t.Errorf("error\n%s, want\n%s", got, tt.err)
			}
		})
	}
}

func TestLook(t *testing.T) {
	h, err := Look(procfs.Default, 2, netip.MustParseAddrPort("127.0.0.1:80"))
	if err != nil || h.Descriptors <= 0 || h.PortLast <= h.PortFirst || h.MemAvailable <= 0 || !h.Loopback {
		t.Errorf("this machine offers %+v, %v", h, err)
	}
}
