package main

import (
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
)

// scenario is a purpose with the flags that it sets, as on the command line.
type scenario struct {
	name, what string
	flags      string
}

// scenarios are the purposes that -scenario knows.
var scenarios = []scenario{
	{"idle", "how much 100,000 connections take that do nothing", "-mode idle -conns 100000 -settle 5s"},
	{"fanout", "one message per second to 100,000", "-conns 100000"},
	{"chat", "one busy room", "-conns 1000 -publishers 8 -window 1"},
	{"echo", "request and reply", "-mode echo -conns 1000 -window 1"},
	{"latency", "many small fan-outs, on schedule", "-conns 1000 -rate 100"},
	{"rooms", "many small rooms in which everyone talks", "-rooms 10000 -members 10 -window 1"},
	{"churn", "a fan-out while others come and go", "-conns 50000 -rate 1 -churn 2000"},
	{"storm", "all come back when the server is restarted", "-mode storm -conns 100000 -duration 10m -timeout 2m"},
	{"recover", "100,000 come at once, to channels, and get the last 30 messages", "-protocol rooms -mode idle -conns 100000 -recover 30 -duration 1s"},
	// One fan-out in 20 seconds: it takes 8 where one to 100,000 takes 0.8.
	{"million", "ten fan-outs to a million, one after the other", "-conns 1000000 -rate 0.05 -duration 200s -settle 10s"},
}

// exclusive are the flags of which a scenario's gives way to the other one if
// that was given.
var exclusive = map[string]string{"rate": "window", "window": "rate"}

func scenarioNames() string {
	var names []string
	for _, s := range scenarios {
		names = append(names, s.name)
	}
	return strings.Join(names, ", ")
}

// applyScenario sets the flags of a scenario, but for those given.
func applyScenario(fs *flag.FlagSet, name string, given map[string]bool) error {
	i := slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == name })
	if i < 0 {
		return fmt.Errorf("-scenario %s: allowed are %s, and list", name, scenarioNames())
	}
	words := strings.Fields(scenarios[i].flags)
	for pair := range slices.Chunk(words, 2) {
		name := strings.TrimPrefix(pair[0], "-")
		if given[name] || given[exclusive[name]] {
			continue
		}
		if err := fs.Set(name, pair[1]); err != nil {
			return fmt.Errorf("-scenario %s: %s: %w", scenarios[i].name, pair[0], err)
		}
	}
	return nil
}

// listScenarios shows what there is.
func listScenarios(w io.Writer) {
	for _, s := range scenarios {
		fmt.Fprintf(w, "%-9s%s\n         %s\n", s.name, s.what, s.flags)
	}
}
