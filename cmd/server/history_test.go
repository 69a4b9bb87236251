package main

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"hubbub/internal/bus"
)

// api calls a method of the HTTP API and returns what it answers.
func (p *process) api(method, body string) string {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, "http://"+p.addr+"/api/"+method, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("X-API-Key", "hush")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(text)
}

// What was acknowledged is there when the server is started again, though it was killed; and every process counts.
func TestHistoryOutlivesTheServer(t *testing.T) {
	for _, form := range forms {
		for _, fsync := range []string{"lazy", "always"} {
			t.Run(form.name+" "+fsync, func(t *testing.T) {
				args := append(form.args, "-data-dir", filepath.Join(t.TempDir(), "data"), "-fsync", fsync, "-api-key", "hush")
				p := start(t, args...)
				const said = 5
				for i := range said {
					if got := p.api("publish", fmt.Sprintf(`{"channel":"chat:x","data":%d}`, i)); !strings.Contains(got, `"epoch"`) {
						t.Fatal(got)
					}
				}
				var counted float64
				for _, m := range p.scrapePage("")["hubbub_channel_publications_total"].GetMetric() {
					counted += m.GetCounter().GetValue()
				}
				if counted != said {
					t.Errorf("%v publications were counted, want %d", counted, said)
				}
				p.signal(syscall.SIGKILL)
				p.wait()
				p = start(t, args...)
				got := p.api("history", `{"channel":"chat:x","limit":-1}`)
				for i := range said {
					if !strings.Contains(got, fmt.Sprintf(`"data":%d,`, i)) {
						t.Errorf("%d is missing in %s", i, got)
					}
				}
			})
		}
	}
}

// Where histories can't be kept, the server doesn't start, and says why.
func TestHistoryCantBeKept(t *testing.T) {
	dir := t.TempDir()
	p := start(t, append(forms[0].args, "-data-dir", dir)...)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	plain, err := bus.StartEmbedded(bus.EmbeddedConfig{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(plain.Close)
	for _, form := range forms {
		for name, tt := range map[string]struct {
			args []string
			want string
		}{
			"in use":    {[]string{"-data-dir", dir}, fmt.Sprintf("-data-dir: the data directory %s is in use by another server (process %d)", dir, p.cmd.Process.Pid)},
			"a file":    {[]string{"-data-dir", file}, "-data-dir: creating the data directory"},
			"elsewhere": {[]string{"-nats", plain.URL()}, "has no JetStream: start it with -js"},
		} {
			t.Run(form.name+" "+name, func(t *testing.T) {
				line := launch(t, append([]string{self(t)}, onFreePorts(append(form.args, append(tt.args, "-log-level", "error")...)...)...)...).expectUsageError()
				if !strings.Contains(line, tt.want) {
					t.Errorf("it says %q, want %q", line, tt.want)
				}
			})
		}
	}
	// Without histories there is nothing to keep.
	for _, elsewhere := range [][]string{{"-nats", plain.URL()}, {"-data-dir", file}} {
		start(t, append(forms[0].args, append(elsewhere, "-namespaces", `{"chat": {"subscribe": "anyone"}}`)...)...)
	}
}
