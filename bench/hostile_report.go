package main

import (
	_ "embed"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
)

//go:embed hostile.tmpl
var hostileText string

var hostileTemplate = template.Must(template.New("hostile").Funcs(template.FuncMap{"thousands": thousands}).Parse(hostileText))

// of returns the trials of a kind that gave figures and, of calm, those that were played for it; for
// calm itself, all.
func (h *Hostility) of(kind string) (own, reference []Trial) {
	for _, t := range h.Trials {
		switch {
		case t.System == kind:
			own = append(own, t)
		case t.For == kind:
			reference = append(reference, t)
		}
	}
	return own, reference
}

// byTurn returns one figure of some trials, where there is one: of those of one kind by round.
func byTurn(trials []Trial, figure func(Trial) float64) map[int]float64 {
	values := make(map[int]float64)
	for i, t := range trials {
		turn := t.Round
		if t.System == calm {
			turn = i + 1 // there are several in each round, unless they are for one kind
		}
		if v := figure(t); v != 0 && t.Error == "" {
			values[turn] = v
		}
	}
	return values
}

func lastOf(t Trial) float64 { return t.Measured.LastMS }

// table shows what became of the honest, a line to each kind of hostile peers.
func (h *Hostility) table() string {
	var b strings.Builder
	b.WriteString("| kind | last delivery, ms | over calm | 99 % had it, ms | lost/doubled/reordered | server RSS, MB | CPU, s: server + generator + hostile, others | what the server counted |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|\n")
	for _, kind := range h.Kinds {
		own, reference := h.of(kind.Name)
		spread := func(figure func(Trial) float64) string {
			return spreadOf(byTurn(own, figure)).format(0)
		}
		median := func(figure func(Trial) float64) string {
			return decimal(spreadOf(byTurn(own, figure)).Median, 1)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s + %s + %s, %s | %s |\n", kind.Name,
			spread(lastOf),
			spreadOf(ratios(byTurn(own, lastOf), byTurn(reference, lastOf))).format(2),
			spread(func(t Trial) float64 { return t.Measured.P99MS }),
			wrongOf(own),
			spread(func(t Trial) float64 { return t.PeakRSS / 1e6 }),
			median(func(t Trial) float64 { return t.CPU.Server }),
			median(func(t Trial) float64 { return t.CPU.Generator }),
			median(func(t Trial) float64 { return t.CPU.Hostile }),
			spread(func(t Trial) float64 { return t.CPU.Others }),
			h.countedOf(own))
	}
	return b.String()
}

// wrongOf adds up what went wrong for the honest.
func wrongOf(trials []Trial) string {
	var m Measured
	failed := 0
	for _, t := range trials {
		if t.Error != "" {
			failed++
		}
		m.Missing += t.Measured.Missing
		m.Duplicate += t.Measured.Duplicate
		m.Reordered += t.Measured.Reordered
		m.Corrupt += t.Measured.Corrupt
		m.ConnsFailed += t.Measured.ConnsFailed
	}
	text := fmt.Sprintf("%d/%d/%d", m.Missing, m.Duplicate, m.Reordered)
	for _, more := range []struct {
		n    int
		what string
	}{{int(m.Corrupt), "corrupt"}, {m.ConnsFailed, "connections failed"}, {failed, "runs failed"}} {
		if more.n > 0 {
			text += fmt.Sprintf(", %d %s", more.n, more.what)
		}
	}
	return text
}

// countedOf shows the means of what the server counted. The honest, who leave in the end, aren't
// shown.
func (h *Hostility) countedOf(trials []Trial) string {
	trials = slices.DeleteFunc(slices.Clone(trials), func(t Trial) bool { return t.Error != "" })
	sum := make(map[string]float64)
	for _, t := range trials {
		for what, n := range t.Counted {
			if what == "ended peer" {
				n = max(0, n-float64(h.Honest))
			}
			sum[what] += n / float64(len(trials))
		}
	}
	var said []string
	for _, what := range slices.Sorted(maps.Keys(sum)) {
		if sum[what] >= 0.5 {
			said = append(said, what+" "+decimal(sum[what], 0))
		}
	}
	if said == nil {
		return none
	}
	return strings.Join(said, ", ")
}

// Table is the table, for the template.
func (h *Hostility) Table() string { return h.table() }

// Faults are the trials in which something went wrong, for the template.
func (h *Hostility) Faults() []Trial { return h.faulty() }

func (h *Hostility) faulty() []Trial {
	return slices.DeleteFunc(slices.Clone(h.Trials), func(t Trial) bool { return t.Fault() == "" })
}

// Commands are those of the last trial, for the template.
func (h *Hostility) Commands() []string { return h.Trials[len(h.Trials)-1].Commands }

// write puts the table and the raw results into the folder.
func (h *Hostility) write(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("making the folder for the results: %w", err)
	}
	if err := writeRaw(filepath.Join(folder, "hostile.json.gz"), h); err != nil {
		return err
	}
	var report strings.Builder
	if err := hostileTemplate.Execute(&report, h); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	if err := os.WriteFile(filepath.Join(folder, "hostile.md"), []byte(report.String()), 0o644); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}
