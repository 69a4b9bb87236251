package report

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"hubbub/cmd/loadgen/internal/client"
	"hubbub/cmd/loadgen/internal/coordinator"
	"hubbub/cmd/loadgen/internal/monitor"
	"hubbub/cmd/loadgen/internal/plan"
	"hubbub/cmd/loadgen/internal/procfs"
	"hubbub/cmd/loadgen/internal/recorder"
)

var update = flag.Bool("update", false, "write the golden files")

const start = int64(1_000_000_000_000) // CLOCK_MONOTONIC of the first message

// fanout is the input of a run with 100 subscribers and ten messages, one a
// second, that go out evenly over 100 ms; the last message takes twice as long.
func fanout() Input {
	p := &plan.Plan{
		Run: 0x0123456789abcdef, Mode: plan.Fanout, Conns: 101, Publishers: 1, Topics: 1,
		Rate: 1, Size: 128, Duration: 10 * time.Second,
	}
	res := client.NewResult()
	for msg := range 10 {
		intended := start + int64(msg)*int64(time.Second)
		for i := range 100 {
			d := int64(i+1) * int64(time.Millisecond)
			if msg == 9 {
				d *= 2
			}
			res.Latency.Record(d)
			res.Messages.Record(msg, intended, d)
		}
		res.Late.Record(int64(msg) * 1e5)
	}
	for i := range 100 {
		res.Handshake.Record(int64(i) * 1e6)
		res.Lag.Record(int64(i) * 1e4)
	}
	res.Failures["the server answered \"HTTP/1.1 503 Service <Unavailable>\""] = 1
	res.Failures["lost: connection reset by peer"] = 2
	res.Counts = client.Counts{
		Opened: 100, Failed: 1, Lost: 2, Retries: 3, FirstDial: start - 5e9, LastOpen: start - 45e8, LastArrive: start + 92e8,
		ActiveCPU: 3e8, Pause: 160_000, Sent: 10, Expected: 1000, Delivered: 1000,
	}
	sample := func(at time.Duration, mark string, rss int64, cpu, own, busy time.Duration) monitor.Sample {
		return monitor.Sample{
			At: at, Mark: mark, Busy: busy,
			Server:    &procfs.Usage{Processes: 2, RSS: rss, CPU: cpu, User: cpu * 2 / 5, System: cpu * 3 / 5, FDs: 120},
			Generator: procfs.Usage{Processes: 2, RSS: 30e6, CPU: own},
		}
	}
	return Input{
		Plan:      p,
		Processes: 1, Loops: 2,
		Outcome: &coordinator.Outcome{Result: res, Start: start, End: start + 93e8},
		Samples: []monitor.Sample{
			sample(0, MarkBefore, 10e6, 0, 0, 0),
			sample(time.Millisecond, "connecting", 10e6, 0, 0, 0),
			sample(500*time.Millisecond, "settling", 11e6, 200*time.Millisecond, 100*time.Millisecond, 400*time.Millisecond),
			sample(1500*time.Millisecond, "running", 12e6, 250*time.Millisecond, 150*time.Millisecond, 500*time.Millisecond),
			sample(6*time.Second, "", 12e6, 500*time.Millisecond, 300*time.Millisecond, time.Second),
			sample(11*time.Second, "finishing", 13e6, 850*time.Millisecond, 450*time.Millisecond, 1500*time.Millisecond),
			sample(11*time.Second, "done", 13e6, 850*time.Millisecond, 450*time.Millisecond, 1600*time.Millisecond),
		},
		ServerFrom: "processes under [42], found by the listening socket",
		Local:      true,
		Warnings:   []string{"a warning"},
		Conditions: Conditions{
			Version: "v1.2.3", Commit: "0123abc", Go: "go1.26", Kernel: "6.18.0", CPU: "Some CPU", Cores: 2, Memory: 25e9,
			Command: []string{"loadgen", "-conns", "101", "-html", "<script>alert(1)</script>"},
			Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), URL: "ws://127.0.0.1:8080/ws",
			Sources: 1, Protocol: "plain", Model: "open: 1 messages per second on schedule; latency counts from the intended send",
			Run: p.RunName(), Size: 128, Topics: 1, Senders: 1,
		},
	}
}

func golden(t *testing.T, name string, write func(io.Writer) error) {
	t.Helper()
	var got bytes.Buffer
	if err := write(&got); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%s differs from the golden file; look at the difference, then run go test -update\n%s", name, difference(got.String(), string(want)))
	}
}

// difference shows the first lines that aren't alike.
func difference(got, want string) string {
	a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return "got  " + a[i] + "\nwant " + b[i]
		}
	}
	return "one is longer"
}

func TestGolden(t *testing.T) {
	r := Build(fanout())
	golden(t, "fanout.json", r.WriteJSON)
	golden(t, "fanout.txt", r.WriteText)
	golden(t, "fanout.html", r.WriteHTML)

	in := fanout()
	in.Plan.Mode = plan.Idle
	in.Outcome.Result = client.NewResult()
	in.Outcome.Result.Counts.Opened = 101
	in.Outcome.Start = 0
	for i := range in.Samples {
		in.Samples[i].Server = nil
	}
	in.ServerFrom, in.ServerWhy = "", "it runs on another machine; give its -admin-url"
	in.Warnings = nil
	idle := Build(in)
	golden(t, "idle.txt", idle.WriteText)
	golden(t, "idle.html", idle.WriteHTML)
}

// The keys that others rely on.
func TestKeys(t *testing.T) {
	hasKeys(t, fanout(),
		"conns_requested", "conns_open", "conns_failed", "connect_per_s", "messages", "expected", "delivered", "missing",
		"duplicate", "reordered", "corrupt", "deliveries_per_s",
		"latency_ms.p50", "latency_ms.p90", "latency_ms.p99", "latency_ms.p999", "latency_ms.max",
		"fanout_ms.p50_mean", "fanout_ms.p99_mean", "fanout_ms.last_mean", "fanout_ms.last_min", "fanout_ms.last_max",
		"server.rss_bytes", "server.rss_bytes_per_conn", "server.cpu_s", "server.processes",
	)
}

// hasKeys checks that a report has numbers under these keys, with dots where one
// object lies in another.
func hasKeys(t *testing.T, in Input, paths ...string) {
	t.Helper()
	var buf bytes.Buffer
	if err := Build(in).WriteJSON(&buf); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(buf.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		at := got
		keys := strings.Split(path, ".")
		for i, key := range keys {
			v, ok := at[key]
			if !ok {
				t.Errorf("no key %s", path)
				break
			}
			if i < len(keys)-1 {
				at = v.(map[string]any)
			} else if _, ok := v.(float64); !ok {
				t.Errorf("%s is %v, want a number", path, v)
			}
		}
	}
}

func TestFigures(t *testing.T) {
	r := Build(fanout())
	for _, tt := range []struct {
		name      string
		got, want float64
	}{
		{"connections per second", r.ConnectPerS, 200},
		{"deliveries per second", r.DeliveriesPerS, 108.696},
		{"mean last delivery", r.Fanout.LastMean, 110},
		{"earliest last delivery", r.Fanout.LastMin, 100},
		{"latest last delivery", r.Fanout.LastMax, 200},
		{"offset of the last message", r.Timeline[9].OffsetS, 9},
		{"server's RSS", float64(r.Server.RSS), 12e6},
		{"per connection", r.Server.RSSPerConn, 120_000},
		{"server's CPU", r.Server.CPU, 0.85},
		{"of it connecting", r.Server.CPUConnect, 0.2},
		{"of it from the first message on", r.Server.CPURun, 0.6},
		{"of that in the program", r.Server.Split.User, 0.24},
		{"and in the kernel", r.Server.Split.System, 0.36},
		{"time with messages under way", r.Machine.ActiveS, 1.1},
		{"server's share", r.Machine.ServerShare, 0.273},       // 0.6 s of 2 × 1.1 s
		{"generator's share", r.Machine.GeneratorShare, 0.136}, // 0.3 s
		{"others' share", r.Machine.OtherShare, 0.011},         // 0.2 s of 2 × 9.5 s
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, tt.got, tt.want)
		}
	}
}

// A server's own metrics don't say what of its processor time was the kernel's.
func TestProcessorTimeWithoutSplit(t *testing.T) {
	in := fanout()
	for i := range in.Samples {
		in.Samples[i].Server.User, in.Samples[i].Server.System = 0, 0
	}
	r := Build(in)
	if r.Server.CPURun != 0.6 || r.Server.Split != nil {
		t.Errorf("the server used %v s, split into %+v; want 0.6 s, and not to know", r.Server.CPURun, r.Server.Split)
	}
	for _, write := range []func(io.Writer) error{r.WriteText, r.WriteHTML} {
		var said bytes.Buffer
		if err := write(&said); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(said.String(), "the kernel's") {
			t.Errorf("it is told apart all the same:\n%s", said.String())
		}
	}
}

func TestOK(t *testing.T) {
	whole := func() Input {
		in := fanout()
		in.Outcome.Result.Counts.Opened = 101
		in.Outcome.Result.Counts.Failed = 0
		in.Outcome.Result.Counts.Lost = 0
		return in
	}
	if r := Build(whole()); !r.OK {
		t.Errorf("a run without fault is not ok: %+v", r)
	}
	for name, adapt := range map[string]func(*Input){
		"stalled and ended": func(in *Input) {
			in.Outcome.Result.Counts.Stalled, in.Outcome.Result.Counts.StalledEnded = 20, 20
		},
		"churn": func(in *Input) {
			in.Plan.Churn = 1
			in.Outcome.Result.Counts.Churned, in.Outcome.Result.Counts.ChurnOpened = 5, 5
		},
		"acknowledged": func(in *Input) {
			in.Plan.Protocol = plan.Rooms
			in.Outcome.Result.Counts.Acknowledged = 10
		},
		"storm": func(in *Input) {
			in.Plan.Mode = plan.Storm
			in.Outcome.Result.Storm = &client.Storm{Lost: 2, Back: 2, Times: recorder.NewHistogram()}
		},
	} {
		in := whole()
		adapt(&in)
		if !Build(in).OK {
			t.Errorf("%s: the run counts as failed", name)
		}
	}
	for name, spoil := range map[string]func(*Input){
		"failed":    func(in *Input) { in.Outcome.Result.Counts.Failed = 1 },
		"lost":      func(in *Input) { in.Outcome.Result.Counts.Lost = 1 },
		"not open":  func(in *Input) { in.Outcome.Result.Counts.Opened-- },
		"missing":   func(in *Input) { in.Outcome.Result.Counts.Missing = 1 },
		"duplicate": func(in *Input) { in.Outcome.Result.Counts.Duplicate = 1 },
		"reordered": func(in *Input) { in.Outcome.Result.Counts.Reordered = 1 },
		"corrupt":   func(in *Input) { in.Outcome.Result.Counts.Corrupt = 1 },
		"refused": func(in *Input) {
			in.Plan.Protocol = plan.Rooms
			in.Outcome.Result.Counts.Refused = 1
		},
		"unanswered": func(in *Input) {
			in.Plan.Protocol = plan.Rooms
			in.Outcome.Result.Counts.Unanswered = 1
		},
		"interrupted": func(in *Input) { in.Outcome.Interrupted = true },
		"troubled":    func(in *Input) { in.Outcome.Troubles = []string{"a worker died"} },
		"churn failed": func(in *Input) {
			in.Plan.Churn = 1
			in.Outcome.Result.Counts.Churned, in.Outcome.Result.Counts.ChurnFailed = 1, 1
		},
		"churn not opened": func(in *Input) {
			in.Plan.Churn = 1
			in.Outcome.Result.Counts.Churned = 1
		},
		"storm, nothing lost": func(in *Input) {
			in.Plan.Mode = plan.Storm
			in.Outcome.Result.Storm = &client.Storm{}
		},
		"storm, not all back": func(in *Input) {
			in.Plan.Mode = plan.Storm
			in.Outcome.Result.Storm = &client.Storm{Lost: 2, Back: 1, Times: recorder.NewHistogram()}
		},
		"storm, nobody to tell": func(in *Input) { in.Plan.Mode = plan.Storm },
	} {
		in := whole()
		spoil(&in)
		if Build(in).OK {
			t.Errorf("%s: the run counts as ok", name)
		}
	}
}

// The page is complete in itself and nothing that was put in gets out as markup.
func TestPageIsSafe(t *testing.T) {
	var buf bytes.Buffer
	if err := Build(fanout()).WriteHTML(&buf); err != nil {
		t.Fatal(err)
	}
	page := buf.String()
	for _, bad := range []string{"<script", "<link", "<img", "@import", "url(", "<Unavailable>", "javascript:"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %q in it", bad)
		}
	}
	if got := regexp.MustCompile(`(?:src|href)=`).FindAllString(page, -1); got != nil {
		t.Errorf("the page refers to something else: %v", got)
	}
	if got := strings.Count(page, "<svg"); got != 4 {
		t.Errorf("%d plots, want 4", got)
	}
	if got := regexp.MustCompile(`#0[0-9]0[0-9]0[0-9]`).FindString(page); got != "" {
		t.Errorf("the stand-in colour %s is left over", got)
	}
}

func TestCurve(t *testing.T) {
	r := Build(fanout())
	last := Quantile{Q: -1}
	for _, q := range r.Curve {
		if q.Q <= last.Q || q.MS < last.MS {
			t.Errorf("%+v comes after %+v", q, last)
		}
		last = q
	}
	if last.Q != 1 || last.MS != r.Latency.Max {
		t.Errorf("the curve ends with %+v, want the maximum, %v", last, r.Latency.Max)
	}
}

func TestWords(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{count(0), "0"}, {count(999), "999"}, {count(1000), "1,000"}, {count(-1000), "-1,000"}, {count(-100), "-100"}, {count(1234567), "1,234,567"},
		{format(0.1234), "0.12 ms"}, {format(12.34), "12.3 ms"}, {format(1234), "1234 ms"}, {format(123456), "123.5 s"},
		{memory(512), "512 B"}, {memory(12_345), "12.3 KB"}, {memory(12_345_678), "12.3 MB"}, {memory(1_234_567_890), "1.23 GB"},
	} {
		if tt.got != tt.want {
			t.Errorf("%q, want %q", tt.got, tt.want)
		}
	}
}
