package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A server finds its directory in its environment. It is the same when it is started again in its place, and gone
// when it is stopped, or hasn't come up.
func TestPlace(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	left := func() (names []string) {
		found, err := filepath.Glob(filepath.Join(temporary, "*", "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			names = append(names, filepath.Base(path))
		}
		return names
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	shell := func(script string) server {
		return server{command: func(int, string, string) (string, []string, string) {
			return "/bin/sh", []string{"-c", script}, ""
		}}
	}
	if _, err := shell(`touch "$HUBBUB_DATA_DIR"/x; exit 3`).up(ctx, &Run{}, 1); err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("a server that ends: %v", err)
	}
	if entries, err := os.ReadDir(temporary); err != nil || len(entries) > 0 {
		t.Errorf("it has left %v, %v", entries, err)
	}
	at, err := findPlace()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"first", "second"} {
		if _, err := shell(`touch "$HUBBUB_DATA_DIR"/`+name).upAt(ctx, &Run{}, 1, at); err == nil {
			t.Errorf("the %s is taken for one that is up", name)
		}
	}
	if got := left(); !slices.Equal(got, []string{"first", "second"}) {
		t.Errorf("after two in one place there are %q", got)
	}
	if err := at.leave(); err != nil || left() != nil {
		t.Errorf("left: %q, %v", left(), err)
	}
}

// The report's commands can be repeated as they stand there.
func TestCommandsAreQuoted(t *testing.T) {
	var run Run
	child(t.Context(), &run, "bin/server", "-namespaces", `{"live":{}}`, "-addr", ":1")
	if want := []string{`bin/server -namespaces '{"live":{}}' -addr :1`}; !slices.Equal(run.Commands, want) {
		t.Errorf("commands %q, want %q", run.Commands, want)
	}
}
