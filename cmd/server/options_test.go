package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"hubbub/internal/rooms"
)

// mustParse returns what args, and the environment, set.
func mustParse(t *testing.T, args ...string) *options {
	t.Helper()
	o, err := parseOptions(args, io.Discard)
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return o
}

// mistake returns the line that is said about args that are wrong.
func mistake(t *testing.T, args ...string) string {
	t.Helper()
	o, err := parseOptions(args, io.Discard)
	var usage usageError
	if !errors.As(err, &usage) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%q: %+v and %v, want a usage error of one line", args, o, err)
		return ""
	}
	return err.Error()
}

// configFile writes a config file and returns its name.
func configFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hubbub.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDefaults(t *testing.T) {
	want := &options{
		addr: list{":8080"}, admin: "127.0.0.1:8081", maxConns: 100_000,
		maxHandshakes: 8192, rateBurst: 5 * time.Second, compressMin: 256,
		maxMessage: 64 << 10, maxBacklog: 1 << 20, slow: "disconnect",
		handshake: 10 * time.Second, drain: 10 * time.Second,
		namespaces: rulesFlag{rooms.DefaultRules}, anonymous: true,
		dataDir: "hubbub-data", fsync: "lazy", historyReplicas: 1,
		natsPrefix: "hubbub", logFormat: "text", logLevel: "info",
	}
	if got := mustParse(t); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// otherThanDefault is a value for each flag, but for -config.
var otherThanDefault = map[string]string{
	"addr":              ":1",
	"admin":             "127.0.0.1:1",
	"tls-cert":          "cert.pem",
	"tls-key":           "key.pem",
	"http-redirect":     ":2",
	"trusted-proxies":   "10.0.0.0/8,::1",
	"proxy-protocol":    "true",
	"max-conns":         "7",
	"max-conns-per-ip":  "8",
	"max-handshakes":    "9",
	"rate-limit":        "10",
	"rate-limit-bytes":  "1000",
	"rate-burst":        "3s",
	"compress":          "true",
	"api-key":           "hush",
	"data-dir":          "elsewhere",
	"fsync":             "always",
	"history-replicas":  "3",
	"compress-min":      "100",
	"workers":           "3",
	"loops":             "2",
	"broadcast-workers": "2",
	"realtime":          "true",
	"origins":           "https://a.example,https://*.b.example",
	"max-message":       "1000",
	"max-backlog":       "1000",
	"slow":              "drop-newest",
	"keepalive":         "1m30s",
	"handshake-timeout": "3s",
	"drain":             "3s",
	"namespaces":        `{"news": {"subscribe": "users"}}`,
	"anonymous":         "false",
	"token-hmac-secret": "a secret",
	"token-public-key":  "a.pem,b.pem",
	"token-jwks":        "https://a.example/keys",
	"token-audience":    "us",
	"token-issuer":      "them",
	"nats":              "nats://a.example:4222,nats://b.example:4222",
	"nats-prefix":       "a.b",
	"log-format":        "json",
	"log-level":         "debug",
	"version":           "true",
}

// company is what some flags are only allowed with.
var company = map[string][]string{
	"tls-cert":         {"-tls-key", "key.pem"},
	"tls-key":          {"-tls-cert", "cert.pem"},
	"http-redirect":    {"-tls-cert", "cert.pem", "-tls-key", "key.pem"},
	"proxy-protocol":   {"-trusted-proxies", "10.0.0.1"},
	"history-replicas": {"-nats", "nats://127.0.0.1:1"},
	"token-audience":   {"-token-jwks", "https://a.example/keys"},
	"token-issuer":     {"-token-public-key", "key.pem"},
}

// mustParseOnly returns what the flags say, allowed or not.
func mustParseOnly(t *testing.T, args ...string) *options {
	t.Helper()
	o := &options{}
	if err := flags(o).Parse(args); err != nil {
		t.Fatal(err)
	}
	o.setDefaults()
	return o
}

// TestEveryFlag: each has a text and an environment variable, and but for
// -config a line in the config file; all three mean the same.
func TestEveryFlag(t *testing.T) {
	var help bytes.Buffer
	if _, err := parseOptions([]string{"-help"}, &help); !errors.Is(err, flag.ErrHelp) {
		t.Fatalf("-help: %v", err)
	}
	flags(&options{}).VisitAll(func(f *flag.Flag) {
		t.Run(f.Name, func(t *testing.T) {
			value, usage := flag.UnquoteUsage(f)
			b, _ := f.Value.(interface{ IsBoolFlag() bool })
			if b == nil && strings.Count(f.Usage, "`") != 2 {
				t.Errorf("its text %q doesn't say what its value is", f.Usage)
			}
			if want := strings.TrimSpace("-"+f.Name+" "+value) + "\n    \t" + usage; usage == "" || !strings.Contains(help.String(), want) {
				t.Errorf("the help doesn't have %q", want)
			}
			env := "HUBBUB_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
			if f.Name == "config" {
				path := configFile(t, "workers: 3\n")
				want := mustParse(t, "-workers", "3")
				byFlag := mustParse(t, "-config", path)
				t.Setenv(env, path)
				byEnv := mustParse(t)
				if !reflect.DeepEqual(byFlag, want) || !reflect.DeepEqual(byEnv, want) {
					t.Errorf("by flag %+v, by %s %+v, want %+v", byFlag, env, byEnv, want)
				}
				return
			}
			other, ok := otherThanDefault[f.Name]
			if !ok {
				t.Fatal("otherThanDefault has no value for it")
			}
			with := company[f.Name]
			without := mustParseOnly(t, with...)
			byFlag := mustParse(t, append(with, "-"+f.Name+"="+other)...)
			byFile := mustParse(t, append(with, "-config", configFile(t, f.Name+": "+other+"\n"))...)
			t.Setenv(env, other)
			byEnv := mustParse(t, with...)
			if reflect.DeepEqual(byFlag, without) {
				t.Errorf("-%s %s changes nothing", f.Name, other)
			}
			if !reflect.DeepEqual(byFile, byFlag) || !reflect.DeepEqual(byEnv, byFlag) {
				t.Errorf("by flag %+v, by file %+v, by %s %+v: want the same", byFlag, byFile, env, byEnv)
			}
		})
	})
}

// Namespaces are a map in the file, for which other settings are no obstacle.
func TestNamespaces(t *testing.T) {
	path := configFile(t, "workers: 3\nnamespaces:\n  \"\": {subscribe: anyone}\n  chat:\n    publish: users\n    join_leave: true\n")
	o := mustParse(t, "-config", path)
	want := rooms.Rules{"": {Subscribe: rooms.Anyone}, "chat": {Publish: rooms.Users, JoinLeave: true}}
	if !maps.Equal(o.namespaces.Rules, want) || o.workers != 3 {
		t.Errorf("-namespaces %s -workers %d, want %s and 3", &o.namespaces, o.workers, want)
	}
	if o = mustParse(t, "-config", path, "-namespaces", "{}"); len(o.namespaces.Rules) != 0 {
		t.Errorf("the flag doesn't win over the file: %s", &o.namespaces)
	}
}

func TestPrecedence(t *testing.T) {
	path := configFile(t, "workers: 3\norigins: [https://file.example, https://file2.example]\n")
	check := func(o *options, workers int, origins ...string) {
		t.Helper()
		if o.workers != workers || !slices.Equal(o.origins, origins) {
			t.Errorf("-workers %d -origins %v, want %d %v", o.workers, o.origins, workers, origins)
		}
	}
	check(mustParse(t), 0)
	check(mustParse(t, "-config", path), 3, "https://file.example", "https://file2.example")
	t.Setenv("HUBBUB_WORKERS", "4")
	t.Setenv("HUBBUB_ORIGINS", "https://env.example")
	check(mustParse(t, "-config", path), 4, "https://env.example")
	check(mustParse(t, "-config", path, "-workers", "5", "-origins", "https://flag.example, https://flag2.example", "-origins", "https://flag3.example"),
		5, "https://flag.example", "https://flag2.example", "https://flag3.example")
}

func TestRanges(t *testing.T) {
	for _, tt := range []struct {
		flag      string
		low, high int
	}{
		{"max-conns", 1, 100_000_000},
		{"max-conns-per-ip", 0, 100_000_000},
		{"max-handshakes", 1, 100_000_000},
		{"rate-limit", 0, 1 << 30},
		{"rate-limit-bytes", 0, 1 << 30},
		{"compress-min", 1, 1 << 20},
		{"workers", 0, 10_000},
		{"loops", 0, 1024},
		{"broadcast-workers", 0, 1024},
		{"max-message", 125, 64 << 20},
		{"max-backlog", 1, 1 << 30},
	} {
		for _, v := range []int{tt.low, tt.high} {
			mustParse(t, "-"+tt.flag, fmt.Sprint(v))
		}
		for _, v := range []int{tt.low - 1, tt.high + 1} {
			want := fmt.Sprintf("-%s is %d; it has to be from %d to %d", tt.flag, v, tt.low, tt.high)
			if got := mistake(t, "-"+tt.flag, fmt.Sprint(v)); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		}
	}
}

func TestChoices(t *testing.T) {
	for _, tt := range []struct {
		flag string
		good []string
		bad  string
		want string
	}{
		{"slow", []string{"disconnect", "drop-oldest", "drop-newest"}, "drop", `-slow is "drop"; it has to be one of disconnect, drop-oldest, drop-newest`},
		{"fsync", []string{"lazy", "always"}, "never", `-fsync is "never"; it has to be one of lazy, always`},
		{"log-format", []string{"text", "json"}, "JSON", `-log-format is "JSON"; it has to be one of text, json`},
		{"log-level", []string{"debug", "info", "warn", "error"}, "", `-log-level is ""; it has to be one of debug, info, warn, error`},
		{"handshake-timeout", []string{"100ms", "1h"}, "99ms", "-handshake-timeout is 99ms; it has to be at least 100ms"},
		{"drain", []string{"0", "1h"}, "-1ns", "-drain is -1ns; it has to be at least 0s"},
		{"keepalive", []string{"0", "1s", "1h"}, "999ms", "-keepalive is 999ms; it has to be at least 1s"},
		{"keepalive", nil, "-1s", "-keepalive is -1s; it has to be at least 1s"},
		{"nats-prefix", []string{"a", "a.b", "ü"}, "", `-nats-prefix is ""; it has to be a NATS subject without wildcards`},
		{"nats-prefix", nil, "a.*", `-nats-prefix is "a.*"; it has to be a NATS subject without wildcards`},
		{"nats-prefix", nil, "a.>", `-nats-prefix is "a.>"; it has to be a NATS subject without wildcards`},
		{"nats-prefix", nil, "a b", `-nats-prefix is "a b"; it has to be a NATS subject without wildcards`},
		{"nats-prefix", nil, "a\nb", `-nats-prefix is "a\nb"; it has to be a NATS subject without wildcards`},
		{"nats-prefix", nil, "a..b", `-nats-prefix is "a..b"; it has to be a NATS subject without wildcards`},
		{"nats-prefix", nil, ".a", `-nats-prefix is ".a"; it has to be a NATS subject without wildcards`},
		{"nats-prefix", nil, "a.", `-nats-prefix is "a."; it has to be a NATS subject without wildcards`},
		{"origins", []string{"*", "https://a.example", "https://*.a.example,http://b.example:8080", ""}, "a.example", `-origins: "a.example" is no origin`},
	} {
		for _, v := range tt.good {
			mustParse(t, "-"+tt.flag, v)
		}
		if got := mistake(t, "-"+tt.flag, tt.bad); !strings.HasPrefix(got, tt.want) {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

// TestMistakesAreNamed: the line says where the mistake is.
func TestMistakesAreNamed(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing.yaml")
	for _, tt := range []struct {
		name string
		args []string
		want []string
	}{
		{"unknown flag", []string{"-wrokers", "3"}, []string{"-wrokers", "see -help"}},
		{"no number", []string{"-workers", "many"}, []string{"-workers", `"many"`}},
		{"no such number", []string{"-workers", "99999999999999999999"}, []string{"-workers", "99999999999999999999"}},
		{"no duration", []string{"-drain", "10"}, []string{"-drain", `"10"`}},
		{"no value", []string{"-workers"}, []string{"-workers"}},
		{"stray argument", []string{"-workers", "3", "serve", "-loops", "2"}, []string{`unexpected argument "serve"`}},
		{"no config file", []string{"-config", missing}, []string{missing}},
		{"a config file that isn't YAML", []string{"-config", configFile(t, "workers: [\n")}, []string{"YAML"}},
		{"unknown key", []string{"-config", configFile(t, "workers: 3\nwrokers: 3\n")}, []string{`"wrokers"`, "config file"}},
		{"unknown key below another", []string{"-config", configFile(t, "workers:\n  number: 3\n")}, []string{`"workers.number"`}},
		{"wrong value in the file", []string{"-config", configFile(t, "workers: many\n")}, []string{`"workers"`, "config file"}},
		{"a certificate without a key", []string{"-tls-cert", "c.pem"}, []string{"-tls-cert and -tls-key go together"}},
		{"a redirect to nowhere", []string{"-http-redirect", ":80"}, []string{"-http-redirect", "-tls-cert"}},
		{"the header of any proxy", []string{"-proxy-protocol"}, []string{"-proxy-protocol", "-trusted-proxies"}},
		{"replicas of nothing", []string{"-history-replicas", "3"}, []string{"-history-replicas", "-nats"}},
		{"fsync of another's disk", []string{"-nats", "nats://127.0.0.1:1", "-fsync", "always"}, []string{"-fsync", "-nats"}},
		{"nowhere for histories", []string{"-data-dir", ""}, []string{"-data-dir", "-namespaces"}},
		{"an audience of no tokens", []string{"-token-audience", "us"}, []string{"-token-audience", "-token-hmac-secret"}},
		{"an issuer of no tokens", []string{"-token-issuer", "them"}, []string{"-token-issuer", "-token-jwks"}},
		{"no network", []string{"-trusted-proxies", "10.0.0.0/8,proxy.example"}, []string{"-trusted-proxies", `"proxy.example"`}},
		{"no such rule", []string{"-config", configFile(t, "namespaces:\n  chat: {subscribe: all}\n")}, []string{"namespaces", `subscribe of the namespace "chat" is "all"`, "anyone"}},
		{"namespaces that are none", []string{"-config", configFile(t, "namespaces: chat\n")}, []string{"namespaces"}},
		{"rules that aren't JSON", []string{"-namespaces", "chat"}, []string{"-namespaces"}},
		{"value out of range in the file", []string{"-config", configFile(t, "workers: -1\n")}, []string{"-workers is -1", "from 0 to 10000"}},
	} {
		got := mistake(t, tt.args...)
		for _, part := range tt.want {
			if !strings.Contains(got, part) {
				t.Errorf("%s: %q, want something with %q", tt.name, got, part)
			}
		}
	}
	t.Setenv("HUBBUB_WORKERS", "many")
	if got := mistake(t); !strings.Contains(got, "HUBBUB_WORKERS") {
		t.Errorf("wrong value in the environment: %q, want something with HUBBUB_WORKERS", got)
	}
	t.Setenv("HUBBUB_WORKERS", "-1")
	if got := mistake(t); !strings.Contains(got, "-workers is -1") {
		t.Errorf("value out of range in the environment: %q, want something with -workers", got)
	}
}

func TestLogger(t *testing.T) {
	for _, tt := range []struct{ format, level, want string }{
		{"text", "info", "level=INFO msg=said key=v\n"},
		{"json", "info", `"level":"INFO","msg":"said","key":"v"}` + "\n"},
		{"text", "debug", "level=DEBUG msg=whispered\n"},
		{"text", "warn", ""},
	} {
		f, err := os.Create(filepath.Join(t.TempDir(), "log"))
		if err != nil {
			t.Fatal(err)
		}
		log := newLogger(&options{logFormat: tt.format, logLevel: tt.level}, f)
		log.Debug("whispered")
		log.Info("said", "key", "v")
		f.Close()
		got, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(got), tt.want) || tt.want == "" && len(got) > 0 || tt.level != "debug" && bytes.Contains(got, []byte("whispered")) {
			t.Errorf("-log-format %s -log-level %s: %q, want %q", tt.format, tt.level, got, tt.want)
		}
	}
}
