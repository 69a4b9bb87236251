package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"maps"
	"slices"
	"strings"
)

//go:embed page.html
var page string

// WriteHTML writes the report as one page that needs nothing else: no scripts,
// no requests.
func (r *Report) WriteHTML(w io.Writer) error {
	charts, err := r.charts()
	if err != nil {
		return err
	}
	t, err := template.New("page").Funcs(template.FuncMap{
		"count":  func(n any) string { return count(toInt(n)) },
		"ms":     format,
		"memory": memoryOf,
		"rate":   func(f float64) string { return count(int(f)) },
		"pct":    func(f float64) string { return fmt.Sprintf("%.0f %%", 100*f) },
		"join":   func(s []string) string { return strings.Join(s, " ") },
	}).Parse(page)
	if err != nil {
		return err
	}
	data := map[string]any{"R": r, "Charts": charts, "Sends": r.sends(), "Failures": sorted(r.Failures)}
	if r.Storm != nil {
		data["LostBy"], data["Refused"] = sorted(r.Storm.LostBy), sorted(r.Storm.Refused)
	}
	return t.Execute(w, data)
}

type reason struct {
	Reason string
	N      int
}

// sorted returns reasons in the order of the alphabet.
func sorted(reasons map[string]int) (out []reason) {
	for _, name := range slices.Sorted(maps.Keys(reasons)) {
		out = append(out, reason{name, reasons[name]})
	}
	return out
}

func toInt(n any) int {
	switch n := n.(type) {
	case int:
		return n
	case int64:
		return int(n)
	case uint64:
		return int(n)
	}
	return 0
}

func memoryOf(n any) string {
	if f, ok := n.(float64); ok {
		return memory(int64(f))
	}
	return memory(int64(toInt(n)))
}
