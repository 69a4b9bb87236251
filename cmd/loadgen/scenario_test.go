package main

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"hubbub/cmd/loadgen/internal/plan"
)

func TestScenarios(t *testing.T) {
	for name, ok := range map[string]func(o *options) bool{
		"idle": func(o *options) bool { return o.plan.Mode == plan.Idle && o.plan.Conns == 100_000 },
		"fanout": func(o *options) bool {
			return o.plan.Mode == plan.Fanout && o.plan.Conns == 100_000 && o.plan.Rate == 1
		},
		"chat": func(o *options) bool {
			return o.plan.Conns == 1000 && o.plan.Topics == 1 && o.plan.Publishers == 8 && o.plan.Window == 1
		},
		"echo": func(o *options) bool {
			return o.plan.Mode == plan.Echo && o.plan.Conns == 1000 && o.plan.Window == 1 && o.url == echoURL
		},
		"latency": func(o *options) bool { return o.plan.Conns == 1000 && o.plan.Rate == 100 && o.plan.Open() },
		"rooms": func(o *options) bool {
			return o.plan.Conns == 100_000 && o.plan.Topics == 10_000 && o.plan.Publishers == 100_000 && o.plan.Window == 1
		},
		"churn": func(o *options) bool { return o.plan.Conns == 50_000 && o.plan.Rate == 1 && o.plan.Churn == 2000 },
		"storm": func(o *options) bool { return o.plan.Mode == plan.Storm && o.plan.Conns == 100_000 },
		"recover": func(o *options) bool {
			return o.plan.Mode == plan.Idle && o.plan.Conns == 100_000 && o.plan.Recover == 30 && o.url == roomsURL
		},
		"million": func(o *options) bool {
			return o.plan.Conns == 1_000_000 && o.plan.Messages().Total == 10 && o.plan.Settle == 10*time.Second
		},
	} {
		o, err := parse([]string{"-scenario", name}, io.Discard)
		if err != nil || !ok(o) {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
		if !strings.Contains(scenarioNames(), name) {
			t.Errorf("%s isn't among %s", name, scenarioNames())
		}
	}
}

// What is given, on the command line or in the environment, wins.
func TestScenariosAreOverridden(t *testing.T) {
	t.Setenv("LOADGEN_PUBLISHERS", "3")
	for _, tt := range []struct {
		args          string
		conns, window int
		rate          float64
	}{
		{"-scenario chat -conns 50", 50, 1, 1},
		{"-conns 50 -scenario chat", 50, 1, 1},
		{"-scenario chat -window 0", 1000, 0, 1},
		{"-scenario chat -rate 7", 1000, 0, 7}, // instead of the window
		{"-scenario latency -window 4", 1000, 4, 1},
	} {
		o, err := parse(strings.Fields(tt.args), io.Discard)
		if err != nil {
			t.Errorf("%s: %v", tt.args, err)
			continue
		}
		if p := o.plan; p.Conns != tt.conns || p.Window != tt.window || p.Rate != tt.rate || p.Publishers != 3 {
			t.Errorf("%s: %+v", tt.args, p)
		}
	}
	t.Setenv("LOADGEN_SCENARIO", "rooms")
	if o, err := parse([]string{"-rooms", "7"}, io.Discard); err != nil || o.plan.Topics != 7 || o.plan.Conns != 70 {
		t.Errorf("rooms: %+v, %v", o, err)
	}
}

func TestScenarioList(t *testing.T) {
	var out strings.Builder
	if _, err := parse([]string{"-scenario", "list"}, &out); !errors.Is(err, errHandled) {
		t.Errorf("error %v", err)
	}
	for _, s := range scenarios {
		if !strings.Contains(out.String(), s.name) || !strings.Contains(out.String(), s.flags) {
			t.Errorf("no %s with %s in\n%s", s.name, s.flags, out.String())
		}
	}
}
