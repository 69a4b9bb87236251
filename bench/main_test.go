package main

import (
	"slices"
	"strings"
	"testing"
)

func TestParseSaysWhatIsWrong(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"-against nobody", `-against: there is no "nobody"; there are gorilla`},
		{"-scenarios idle,nap", `-scenarios: there is no "nap"; there are idle`},
		{"-scenarios idle,tail", "-scenarios idle,tail: tail is played in a run of its own"},
		{"-scenarios storm -against gws", "-scenarios storm: hubbub plays it alone"},
		{"-scenarios storm -hostile", "-scenarios storm: hubbub plays it alone"},
		{"-rounds 0", "-conns and -rounds must be 1 or more"},
		{"-kinds reset", "-kinds goes with -hostile"},
		{"-hostile -conns 4", "-hostile takes -conns 5 or more"},
		{"more", "takes flags only"},
	} {
		if _, err := parse(strings.Fields(test.args)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("bench %s: %v, want an error with %q", test.args, err, test.want)
		}
	}
}

func TestGuest(t *testing.T) {
	s, err := guest("node server.js --listen {addr} --log=off")
	if err != nil {
		t.Fatal(err)
	}
	path, args, health := s.command(1000, "127.0.0.1:9", "127.0.0.1:10")
	if want := []string{"server.js", "--listen", "127.0.0.1:9", "--log=off"}; path != "node" || !slices.Equal(args, want) || health != "" {
		t.Errorf("the command is %q %q with health page %q, want node %q", path, args, health, want)
	}
	if s.name != guestName {
		t.Errorf("it is called %q", s.name)
	}
	if s, err = guest("Node.js=node --x=y {addr}"); err != nil || s.name != "Node.js" {
		t.Errorf("with a name: %q, %v", s.name, err)
	}
	if path, args, _ := s.command(1, "a:1", ""); path != "node" || !slices.Equal(args, []string{"--x=y", "a:1"}) {
		t.Errorf("with a name, the command is %q %q", path, args)
	}
	for _, wrong := range []string{"node server.js", "mine=", "gorilla=x {addr}", "hubbub=x {addr}", "floor=x {addr}"} {
		if _, err := guest(wrong); err == nil {
			t.Errorf("-server %q is taken", wrong)
		}
	}
}

func TestScenarios(t *testing.T) {
	opts := options{conns: 50_000, length: short, servers: []server{hubbub, peer(gorilla), peer(centrifuge), peer(channels.name)}}
	byKind := make(map[string]scenario)
	for _, s := range scenarios(opts) {
		byKind[s.kind] = s
	}
	if len(byKind) != len(kinds) {
		t.Errorf("%d kinds of scenarios, want %d", len(byKind), len(kinds))
	}
	names := func(s scenario) (all []string) {
		for _, c := range s.contenders {
			all = append(all, c.name)
		}
		return all
	}
	if got, want := names(byKind[fanOut]), []string{"hubbub", "gorilla", "centrifuge", "channels", "floor"}; !slices.Equal(got, want) {
		t.Errorf("the fan-out is played by %q, want %q", got, want)
	}
	// A process of the peer's can't hold as many.
	if got, want := names(byKind[bigFanOut]), []string{"hubbub", "floor"}; !slices.Equal(got, want) {
		t.Errorf("the big fan-out is played by %q, want %q", got, want)
	}
	if got, want := names(byKind[history]), []string{"channels, kept", "channels"}; !slices.Equal(got, want) {
		t.Errorf("histories are played by %q, want %q", got, want)
	}
	// Their protocol has no echo.
	if got, want := names(byKind[echo]), []string{"hubbub", "gorilla"}; !slices.Equal(got, want) {
		t.Errorf("echo is played by %q, want %q", got, want)
	}
	opts.conns, opts.scenarios = 25, []string{bigFanOut, rooms}
	if got := scenarios(opts); len(got) != 1 || got[0].conns != 20 || !slices.Contains(got[0].load, "2") {
		t.Errorf("of 25 connections there is %+v, want two rooms of 10", got)
	}
}
