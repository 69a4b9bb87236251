package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
)

// TestEnvironmentOfWorkers: it says all that the settings say.
func TestEnvironmentOfWorkers(t *testing.T) {
	args := []string{"-config", configFile(t, "max-message: 999\norigins: [https://a.example, https://b.example]\n")}
	for name, value := range otherThanDefault {
		if name != "max-message" && name != "origins" && name != "fsync" { // which doesn't go with -nats
			args = append(args, "-"+name+"="+value)
		}
	}
	want := mustParse(t, args...)
	t.Setenv("HUBBUB_CONFIG", filepath.Join(t.TempDir(), "gone.yaml"))
	for _, kv := range want.environment() {
		name, value, _ := strings.Cut(kv, "=")
		t.Setenv(name, value)
	}
	if got := mustParse(t); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestWorkersKeepTheirSettings: one that is started again serves as the others
// do, even if the config file says otherwise by then, or is gone.
func TestWorkersKeepTheirSettings(t *testing.T) {
	files := newPKI(t, 1)
	const settings = "admin: 127.0.0.1:0\nlog-format: json\nworkers: 2\nmax-conns: 2\n"
	path := configFile(t, settings+"addr: 127.0.0.1:0\n")
	p := launch(t, self(t), "-config", path).serving()
	for what, change := range map[string]func() error{
		"other addresses, and encrypted": func() error {
			text := settings + "addr: [127.0.0.1:0, 127.0.0.1:0]\ntls-cert: " + files.cert + "\ntls-key: " + files.key + "\n"
			return os.WriteFile(path, []byte(text), 0o600)
		},
		"gone": func() error { return os.Remove(path) },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		pid := p.workers()[1]
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, what+": /healthz to be well again", func() bool {
			status, _ := p.health("/healthz")
			return status == 200 && p.workers()[1] != pid
		})
		members := dialMany(t, 2, p.addr, "/ws") // one to each worker
		expectRelay(members)
		for _, c := range members {
			c.conn.Close()
		}
	}
}
