package monitor

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"hubbub/cmd/loadgen/internal/procfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const page = `# HELP process_resident_memory_bytes Resident memory size in bytes.
# TYPE process_resident_memory_bytes gauge
process_resident_memory_bytes{worker="0"} 1e+07
process_resident_memory_bytes{worker="1",note="a } in a label"} 2.5e+06 1700000000000
process_cpu_seconds_total{worker="0"} 1.5
process_cpu_seconds_total{worker="1"} 0.25
process_open_fds{worker="0"} 100
process_open_fds{worker="1"} 20
hubbub_connections 5
nonsense
`

func TestMetrics(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		page   string
		want   procfs.Usage
		err    string
	}{
		{"workers", 200, page, procfs.Usage{Processes: 2, RSS: 12_500_000, CPU: 1750 * time.Millisecond, FDs: 120}, ""},
		{"one process", 200, "process_resident_memory_bytes 5\nprocess_open_fds 3\n", procfs.Usage{Processes: 1, RSS: 5, FDs: 3}, ""},
		{"another page", 200, "<html>", procfs.Usage{}, "has no process_resident_memory_bytes"},
		{"not found", 404, page, procfs.Usage{}, "404"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tt.status)
				w.Write([]byte(tt.page))
			}))
			defer srv.Close()
			got, err := Metrics{URL: srv.URL, Client: srv.Client()}.Usage(true)
			if got != tt.want {
				t.Errorf("usage %+v, want %+v", got, tt.want)
			}
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}

type fake struct {
	usage procfs.Usage
	err   error
}

func (f fake) Usage(bool) (procfs.Usage, error) { return f.usage, f.err }

func TestMarks(t *testing.T) {
	server := fake{usage: procfs.Usage{Processes: 3, RSS: 7}}
	m := Start(procfs.Default, server, fake{usage: procfs.Usage{RSS: 9}})
	m.Mark("one")
	m.Mark("two")
	samples, err := m.Stop()
	if err != nil {
		t.Fatal(err)
	}
	var marks []string
	for _, s := range samples {
		if s.Mark != "" {
			marks = append(marks, s.Mark)
		}
		if s.Server == nil || *s.Server != server.usage || s.Generator.RSS != 9 {
			t.Errorf("sample %+v", s)
		}
	}
	if got := strings.Join(marks, " "); got != "one two" {
		t.Errorf("marks %q, want one two", got)
	}
}

func TestServerThatCannotBeFollowed(t *testing.T) {
	gone := errors.New("gone")
	m := Start(procfs.Default, fake{err: gone}, fake{})
	m.Mark("one")
	samples, err := m.Stop()
	if !errors.Is(err, gone) || len(samples) == 0 || samples[0].Server != nil {
		t.Errorf("samples %+v, error %v", samples, err)
	}
}

// Processes that come are found when a sample is marked, and those that go at once.
func TestProcessesThatComeAndGo(t *testing.T) {
	dir := t.TempDir()
	put := func(pid, parent int) {
		t.Helper()
		sub := filepath.Join(dir, strconv.Itoa(pid))
		if err := os.MkdirAll(filepath.Join(sub, "fd"), 0o755); err != nil {
			t.Fatal(err)
		}
		line := fmt.Sprintf("%d (server) S %d 0 0 0 0 0 0 0 0 0 1 1 0 0 0 0 0 0 0 0 1 0", pid, parent)
		if err := os.WriteFile(filepath.Join(sub, "stat"), []byte(line), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p := &Processes{FS: procfs.FS(dir), Roots: []int{10}}
	expect := func(what string, marked bool, want int) {
		t.Helper()
		if u, err := p.Usage(marked); err != nil || u.Processes != want {
			t.Errorf("%s: %+v, %v; want %d processes", what, u, err, want)
		}
	}
	put(10, 1)
	expect("at first", false, 1)
	put(11, 10)
	expect("not looked for", false, 1)
	expect("marked", true, 2)
	if err := os.RemoveAll(filepath.Join(dir, "11")); err != nil {
		t.Fatal(err)
	}
	expect("when one has ended", false, 1)
	put(12, 10)
	for range seekEvery {
		expect("for a while", false, 1)
	}
	expect("after that", false, 2)
	if err := os.RemoveAll(filepath.Join(dir, "10")); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "12")); err != nil {
		t.Fatal(err)
	}
	if u, err := p.Usage(false); err == nil {
		t.Errorf("%+v, and no error, when all have ended", u)
	}
}
