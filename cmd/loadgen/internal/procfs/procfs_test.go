package procfs

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// proc makes a directory that looks like /proc to this package.
func proc(t *testing.T, files map[string]string) FS {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, link := strings.CutPrefix(text, "-> "); link {
			err = os.Symlink(target, path)
		} else {
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return FS(dir)
}

// statLine is /proc/PID/stat with the fields that matter.
func statLine(pid int, name string, parent, utime, stime, pages int) string {
	return fmt.Sprintf("%d (%s) S %d 1 1 0 -1 4194560 100 0 0 0 %d %d 0 0 20 0 1 0 12345 999999 %d 18446744073709551615 1 1\n",
		pid, name, parent, utime, stime, pages)
}

func TestTree(t *testing.T) {
	f := proc(t, map[string]string{
		"1/stat":    statLine(1, "init", 0, 9, 9, 9),
		"10/stat":   statLine(10, "server", 1, 100, 50, 1000),
		"10/fd/0":   "",
		"10/fd/1":   "",
		"11/stat":   statLine(11, "a worker) S 1 (", 10, 10, 0, 10), // names may hold anything
		"11/fd/0":   "",
		"12/stat":   statLine(12, "worker's child", 11, 1, 0, 1),
		"20/stat":   statLine(20, "loadgen", 10, 500, 500, 500), // started by the server's own tests
		"21/stat":   statLine(21, "loadgen", 20, 500, 500, 500),
		"self/stat": "not a process",
		"99/gone":   "",
	})
	page := int64(os.Getpagesize())
	for _, tt := range []struct {
		name   string
		roots  []int
		except int
		want   Usage
	}{
		{"one", []int{12}, 0, Usage{1, page, 10 * time.Millisecond, 10 * time.Millisecond, 0, 0}},
		{"with descendants", []int{11}, 0, Usage{2, 11 * page, 110 * time.Millisecond, 110 * time.Millisecond, 0, 1}},
		{"without the generator", []int{10}, 20, Usage{3, 1011 * page, 1610 * time.Millisecond, 1110 * time.Millisecond, 500 * time.Millisecond, 3}},
		{"a root and its own descendant", []int{11, 12}, 0, Usage{2, 11 * page, 110 * time.Millisecond, 110 * time.Millisecond, 0, 1}},
		{"the generator", []int{20}, 0, Usage{2, 1000 * page, 20 * time.Second, 10 * time.Second, 10 * time.Second, 0}},
	} {
		tree, err := f.Tree(tt.roots, tt.except)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got := f.Usage(tree); got != tt.want {
			t.Errorf("%s: %+v; want %+v", tt.name, got, tt.want)
		}
	}
	if _, err := f.Tree([]int{77}, 0); err == nil {
		t.Error("no error for a process that doesn't exist")
	}
	if u := f.Usage([]int{12, 77}); u.Processes != 1 {
		t.Errorf("%+v of two processes, of which one doesn't exist", u)
	}
}

func TestOwnTree(t *testing.T) {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	u := Default.Usage([]int{os.Getpid()})
	if u.Processes < 1 || u.RSS < 1<<20 || u.FDs < 4 || u.FDs > 1000 {
		t.Errorf("this process uses %+v", u)
	}
}

func TestListeners(t *testing.T) {
	const tcp = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n" +
		"   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 500 1 0\n" + // 127.0.0.1:8080
		"   1: 0100007F:1F90 0200007F:9000 01 00000000:00000000 00:00000000 00000000     0        0 501 1 0\n" + // a connection to it
		"   2: 0200007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 502 1 0\n" // 127.0.0.2:8081
	const tcp6 = "  sl  local_address\n" +
		"   0: 00000000000000000000000000000000:1F92 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 503 1 0\n" // [::]:8082
	f := proc(t, map[string]string{
		"net/tcp":  tcp,
		"net/tcp6": tcp6,
		"10/stat":  statLine(10, "supervisor", 1, 0, 0, 1),
		"10/fd/3":  "-> socket:[500]",
		"11/stat":  statLine(11, "worker", 10, 0, 0, 1),
		"11/fd/3":  "-> socket:[500]",
		"12/stat":  statLine(12, "client", 1, 0, 0, 1),
		"12/fd/3":  "-> socket:[501]",
		"13/stat":  statLine(13, "dual stack", 1, 0, 0, 1),
		"13/fd/3":  "-> socket:[503]",
	})
	for _, tt := range []struct {
		addr string
		want []int // nil: refused
	}{
		{"127.0.0.1:8080", []int{10}},
		{"127.0.0.2:8080", nil}, // another address
		{"127.0.0.2:8081", nil}, // nobody holds it whom we may look at
		{"127.0.0.1:8082", []int{13}},
		{"127.0.0.1:9", nil},
	} {
		got, err := f.Listeners(netip.MustParseAddrPort(tt.addr))
		if !slices.Equal(got, tt.want) || (err == nil) != (tt.want != nil) {
			t.Errorf("%s: %v, %v; want %v", tt.addr, got, err, tt.want)
		}
	}
}

func TestOwnListener(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	got, err := Default.Listeners(netip.MustParseAddrPort(ln.Addr().String()))
	if err != nil || !slices.Contains(got, os.Getpid()) {
		t.Errorf("%v, %v; want this process, %d", got, err, os.Getpid())
	}
}

func TestMachine(t *testing.T) {
	f := proc(t, map[string]string{
		"stat":                 "cpu  100 20 30 9999 888 4 5 6 0 0\ncpu0 1 1 1 1\n",
		"meminfo":              "MemTotal:       2000 kB\nMemFree: 7 kB\nMemAvailable:    1000 kB\n",
		"cpuinfo":              "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n",
		"sys/kernel/osrelease": "6.18.0\n",
		"sys/fs/file-nr":       "100\t0\t5000\n",
	})
	if got, err := f.Busy(); err != nil || got != 1650*time.Millisecond {
		t.Errorf("busy for %v, %v; want 1.65s", got, err)
	}
	if a, n, err := f.MemAvailable(); err != nil || a != 1000<<10 || n != 2000<<10 {
		t.Errorf("memory %d of %d, %v", a, n, err)
	}
	if got := f.CPUModel(); got != "Some CPU @ 2 GHz" {
		t.Errorf("CPU %q", got)
	}
	if got := f.Kernel(); got != "6.18.0" {
		t.Errorf("kernel %q", got)
	}
	if got, err := f.Ints("sys/fs/file-nr"); err != nil || !slices.Equal(got, []int64{100, 0, 5000}) {
		t.Errorf("file-nr %v, %v", got, err)
	}
	empty := proc(t, nil)
	if _, err := empty.Busy(); err == nil {
		t.Error("no error without /proc/stat")
	}
	if _, _, err := empty.MemAvailable(); err == nil {
		t.Error("no error without /proc/meminfo")
	}
}
