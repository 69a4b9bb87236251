package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

func TestInheritedRole(t *testing.T) {
	if r, ok, err := inheritedRole(); ok || err != nil {
		t.Errorf("without a supervisor: %+v, %v, %v", r, ok, err)
	}
	want := role{Index: 1, Conns: 2, Bus: "nats://token@127.0.0.1:1", Prefix: "p", ID: "i", Of: 4}
	told, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(roleEnv, string(told))
	if r, ok, err := inheritedRole(); !ok || err != nil || r != want {
		t.Errorf("%+v, %v, %v; want %+v", r, ok, err, want)
	}
	if v, ok := os.LookupEnv(roleEnv); ok {
		t.Errorf("%s is still %q, for whatever the process starts", roleEnv, v)
	}
	t.Setenv(roleEnv, "by hand")
	if _, _, err := inheritedRole(); err == nil || !strings.Contains(err.Error(), roleEnv) {
		t.Errorf("%v, want an error that names %s", err, roleEnv)
	}
}
