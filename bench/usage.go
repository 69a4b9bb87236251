package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// cpuSeconds returns the processor time that each of some processes has used so far, and at last what
// the whole machine has.
func cpuSeconds(pids ...int) ([]float64, error) {
	var all []float64
	for _, pid := range pids {
		used, err := parseCPU(read(fmt.Sprintf("/proc/%d/stat", pid)))
		if err != nil {
			return nil, fmt.Errorf("process %d: %w", pid, err)
		}
		all = append(all, used)
	}
	busy, err := parseBusy(firstLine("/proc/stat"))
	return append(all, busy), err
}

// parseBusy returns the seconds that the machine's processors were at work, from the first line of
// /proc/stat: "cpu", and hundredths of user, nice, system, idle, iowait, irq, softirq and steal.
func parseBusy(line string) (float64, error) {
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, fmt.Errorf("/proc/stat begins with %q", line)
	}
	ticks := 0
	for i, field := range fields[1:9] {
		n, err := strconv.Atoi(field)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat begins with %q", line)
		}
		if i != 3 && i != 4 {
			ticks += n
		}
	}
	return float64(ticks) / 100, nil
}

// parseCPU returns the seconds of user and system time in the text of /proc/PID/stat, where they are
// the fields 14 and 15, in hundredths. The second field is a name in parentheses that may hold
// anything.
func parseCPU(stat string) (float64, error) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("its stat is %q", stat)
	}
	var ticks int
	for _, field := range fields[11:13] {
		n, err := strconv.Atoi(field)
		if err != nil {
			return 0, fmt.Errorf("its stat is %q", stat)
		}
		ticks += n
	}
	return float64(ticks) / 100, nil
}

// peakRSS returns the most memory that a process had, in bytes, from the text of /proc/PID/status, or
// 0.
func peakRSS(status string) float64 {
	for line := range strings.Lines(status) {
		var kib float64
		if n, _ := fmt.Sscanf(line, "VmHWM: %f kB", &kib); n == 1 {
			return kib * 1024
		}
	}
	return 0
}

// countedFamilies are the metrics that tell what a server did about hostile peers, with the word for each
// and the label that says more.
var countedFamilies = []struct{ name, word, label string }{
	{"hubbub_handshakes_refused_total", "refused", "reason"},
	{"hubbub_http_rejected_total", "http rejected", ""},
	{"hubbub_disconnects_total", "ended", "reason"},
	{"hubbub_messages_dropped_total", "dropped", "policy"},
	{"hubbub_backlog_bytes", "backlog bytes", ""},
}

// counted returns, from a page of metrics, what isn't zero of them.
func counted(page string) (map[string]float64, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(page))
	if err != nil {
		return nil, fmt.Errorf("reading the server's metrics: %w", err)
	}
	counts := make(map[string]float64)
	for _, f := range countedFamilies {
		for _, m := range families[f.name].GetMetric() {
			key := f.word
			for _, l := range m.GetLabel() {
				if l.GetName() == f.label {
					key += " " + l.GetValue()
				}
			}
			if v := m.GetCounter().GetValue() + m.GetGauge().GetValue(); v != 0 {
				counts[key] += v
			}
		}
	}
	return counts, nil
}
