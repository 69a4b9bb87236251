package monitor

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"hubbub/cmd/loadgen/internal/procfs"
)

const (
	scrapeTimeout = 2 * time.Second
	maxScrape     = 8 << 20 // bytes
)

// Metrics is a Source: the process_* metrics that a server publishes in
// Prometheus' text format. Series of the same name, one per worker process,
// are added up.
type Metrics struct {
	URL    string // of the metrics page
	Client *http.Client
}

// Usage implements Source.
func (m Metrics) Usage(bool) (procfs.Usage, error) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.URL, nil)
	if err != nil {
		return procfs.Usage{}, err
	}
	resp, err := m.Client.Do(req)
	if err != nil {
		return procfs.Usage{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return procfs.Usage{}, fmt.Errorf("%s answered %s", m.URL, resp.Status)
	}
	return parseMetrics(m.URL, io.LimitReader(resp.Body, maxScrape))
}

func parseMetrics(url string, r io.Reader) (u procfs.Usage, err error) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		name, value, ok := series(lines.Text())
		if !ok {
			continue
		}
		switch name {
		case "process_resident_memory_bytes":
			u.RSS += int64(value)
			u.Processes++
		case "process_cpu_seconds_total":
			u.CPU += time.Duration(value * float64(time.Second))
		case "process_open_fds":
			u.FDs += int64(value)
		}
	}
	if err := lines.Err(); err != nil {
		return procfs.Usage{}, fmt.Errorf("%s: %w", url, err)
	}
	if u.Processes == 0 {
		return u, fmt.Errorf("%s has no process_resident_memory_bytes", url)
	}
	return u, nil
}

// series splits a line NAME{LABELS} VALUE [TIME].
func series(line string) (name string, value float64, ok bool) {
	if strings.HasPrefix(line, "#") {
		return "", 0, false
	}
	rest := line
	if i := strings.IndexAny(line, "{ "); i >= 0 {
		name, rest = line[:i], line[i:]
	}
	if i := strings.LastIndexByte(rest, '}'); i >= 0 {
		rest = rest[i+1:]
	}
	fields := strings.Fields(rest)
	if name == "" || len(fields) == 0 {
		return "", 0, false
	}
	value, err := strconv.ParseFloat(fields[0], 64)
	return name, value, err == nil
}
