package main

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"hubbub/cmd/loadgen/internal/plan"
)

func TestFlagsOutOfRange(t *testing.T) {
	for _, tt := range []struct {
		args string
		want string // the whole line
	}{
		{"-conns 0", "-conns 0: allowed are 1 to 10000000"},
		{"-conns 5 -topics 6", "-topics 6: allowed are 1 to 5"},
		{"-conns 5 -publishers 6", "-publishers 6: allowed are 1 to 5"},
		{"-size 39", "-size 39: allowed are 40 to 1048576"},
		{"-protocol rooms -size 55", "-size 55: allowed are 56 to 1048576"},
		{"-protocol mqtt", "-protocol mqtt: allowed are plain, rooms"},
		{"-protocol rooms -mode echo", "-mode echo: not with -protocol rooms, which has no echo"},
		{"-channel-prefix news:", "-channel-prefix: only with -protocol rooms"},
		{`-protocol rooms -channel-prefix a"b`, `-channel-prefix "a\"b": has to stand in JSON as it is, without quotes, backslashes, <, > and &`},
		{"-recover 30", "-recover: only with -protocol rooms"},
		{"-protocol rooms -recover -1", "-recover -1: allowed are 0 to 10000"},
		{"-protocol rooms -recover 5 -churn 10", "-recover: not together with -churn, whose connections would find more than that"},
		{"-window -1", "-window -1: allowed are 0 to 10000"},
		{"-mode echo -window 0", "-window 0: allowed are 1 to 10000"},
		{"-mode shout", "-mode shout: allowed are fanout, echo, idle, storm"},
		{"-rate 0", "-rate 0: allowed is more than 0, up to 10000000"},
		{"-rate NaN", "-rate NaN: allowed is more than 0, up to 10000000"},
		{"-rate 0.05", "-rate 0.05: not one message in -duration 10s; allowed is 0.1 or more"},
		{"-ramp -1", "-ramp -1: allowed are 0 to 10000000"},
		{"-ramp NaN", "-ramp NaN: allowed are 0 to 10000000"},
		{"-duration 0s", "-duration 0s: allowed are 1ms to 24h0m0s"},
		{"-settle -1s", "-settle -1s: allowed are 0s to 24h0m0s"},
		{"-timeout 25h", "-timeout 25h0m0s: allowed are 0s to 24h0m0s"},
		{"-processes -1", "-processes -1: allowed are 0 to 1000"},
		{"-url http://x/", "-url http://x/: has to begin with ws:// or wss://"},
		{"-url wss:///ws", "-url wss:///ws: has no host"},
		{"-tls-insecure", "-tls-insecure: only with a -url that begins with wss://"},
		{"-tls-ca flags.go", "-tls-ca: only with a -url that begins with wss://"},
		{"-url wss://x/ -tls-ca flags.go -tls-insecure", "-tls-ca: not together with -tls-insecure, which takes any certificate"},
		{"-url wss://x/ -tls-ca /nowhere/ca.pem", "-tls-ca: open /nowhere/ca.pem: no such file or directory"},
		{"-url wss://x/ -tls-ca flags.go", "-tls-ca flags.go: there is no PEM certificate in it"},
		{"-url ws:///ws", "-url ws:///ws: has no host"},
		{"-url ws://x:0/", "-url ws://x:0/: port 0: allowed are 1 to 65535"},
		{"-url ws://x:99999/", "-url ws://x:99999/: port 99999: allowed are 1 to 65535"},
		{"-source-ips 1.2.3", `-source-ips: "1.2.3" is not an IP address`},
		{"-admin-url localhost:8081", "-admin-url localhost:8081: has to be like http://127.0.0.1:8081"},
		{"-mode echo -rate 5", "-rate: only with -mode fanout, not echo"},
		{"-window 5 -rate 5", "-rate: not together with -window, which sends whenever a message has come back"},
		{"-mode idle -window 5", "-window: not with -mode idle"},
		{"-mode storm -window 5", "-window: not with -mode storm"},
		{"-mode storm -rate 5", "-rate: only with -mode fanout, not storm"},
		{"-slow 0.91", "-slow 0.91: allowed are 0 to 0.9"},
		{"-slow -0.1", "-slow -0.1: allowed are 0 to 0.9"},
		{"-slow NaN", "-slow NaN: allowed are 0 to 0.9"},
		{"-slow 0.2 -mode idle", "-slow: only with -mode fanout, not idle"},
		{"-slow 0.0001 -conns 100", "-slow 0.0001: not one of 100 connections; allowed is 0.01 or more"},
		{"-slow 0.5 -conns 100 -publishers 60", "-slow 0.5: 50 of 100 connections, but only 40 don't publish: give fewer -publishers"},
		{"-churn -1", "-churn -1: allowed are 0 to 10000000"},
		{"-churn NaN", "-churn NaN: allowed are 0 to 10000000"},
		{"-churn 0.05", "-churn 0.05: not one connection in -duration 10s; allowed is 0.1 or more"},
		{"-churn 5 -mode echo", "-churn: only with -mode fanout or idle, not echo"},
		{"-churn 5 -mode storm", "-churn: only with -mode fanout or idle, not storm"},
		{"-rooms -1", "-rooms -1: allowed are 0 to 10000000"},
		{"-rooms 5 -members 0", "-members 0: allowed are 1 to 10000000"},
		{"-rooms 100000 -members 101", "-rooms 100000: with -members 101 these are 10100000 connections; allowed are up to 10000000"},
		{"-members 5", "-members: only with -rooms"},
		{"-rooms 5 -conns 50", "-conns: not together with -rooms, which says how many there are"},
		{"-rooms 5 -topics 5", "-topics: not together with -rooms, which says how many there are"},
		{"-rooms 5 -mode idle", "-rooms: only with -mode fanout, not idle"},
		{"-rooms 5 -members 2 -publishers 11", "-publishers 11: allowed are 1 to 10"},
		{"-rooms 5 -slow 0.2", "-slow 0.2: 10 of 50 connections, but only 0 don't publish: give fewer -publishers"},
		{"-scenario party", "-scenario party: allowed are idle, fanout, chat, echo, latency, rooms, churn, storm, recover, million, and list"},
		{"-scenario rooms -conns 50", "-conns: not together with -rooms, which says how many there are"},
		{"-mode idle -publishers 5", "-publishers: only with -mode fanout, not idle"},
		{"-mode echo -topics 5", "-topics: not with -mode echo"},
		{"-conns many", `error parsing commandline arguments: invalid value "many" for flag -conns: parse error (loadgen -h lists the flags)`},
		{"-nonsense", "error parsing commandline arguments: flag provided but not defined: -nonsense (loadgen -h lists the flags)"},
		{"100000", `unexpected argument "100000" (loadgen -h lists the flags)`},
	} {
		_, err := parse(strings.Fields(tt.args), io.Discard)
		if err == nil || err.Error() != tt.want {
			t.Errorf("%s: %v, want %s", tt.args, err, tt.want)
		}
		var out strings.Builder
		if code := run(append([]string{"loadgen"}, strings.Fields(tt.args)...), &out, &out); code != exitUsage || out.String() != "loadgen: "+tt.want+"\n" {
			t.Errorf("%s: exit code %d, %q", tt.args, code, out.String())
		}
	}
}

func TestDefaults(t *testing.T) {
	o, err := parse(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	p := o.plan
	if o.url != "ws://127.0.0.1:8080/ws" || p.Mode != plan.Fanout || p.Rate != 1 || p.Duration != 10*time.Second || p.Size != 128 ||
		p.Publishers != 1 || p.Topics != 1 || p.Window != 0 || p.Settle != time.Second || p.Timeout != 30*time.Second {
		t.Errorf("%+v", o)
	}
	if p.Host != "127.0.0.1:8080" || p.Target != "/ws" || o.host != "127.0.0.1" || o.port != 8080 {
		t.Errorf("URL is read as %q %q %q %d", p.Host, p.Target, o.host, o.port)
	}
	o, err = parse(strings.Fields("-mode echo"), io.Discard)
	if err != nil || o.url != "ws://127.0.0.1:8080/echo" || o.plan.Window != 1 {
		t.Errorf("echo: %+v, %v", o, err)
	}
	o, err = parse(strings.Fields("-protocol rooms"), io.Discard)
	if err != nil || o.url != "ws://127.0.0.1:8080/connection/websocket" || o.plan.Protocol != plan.Rooms || o.plan.Prefix != "chat:" || p.Protocol != plan.Plain || p.Prefix != "" {
		t.Errorf("rooms: %+v, %v", o, err)
	}
	o, err = parse(strings.Fields("-protocol rooms -url ws://x/y -channel-prefix news:"), io.Discard)
	if err != nil || o.plan.Recover != 0 || o.plan.Target != "/y" || o.plan.Prefix != "news:" {
		t.Errorf("rooms elsewhere: %+v, %v", o, err)
	}
	if p.TLS != nil {
		t.Errorf("encrypted by default: %+v", p.TLS)
	}
	o, err = parse(strings.Fields("-url wss://example.com/ws -tls-insecure"), io.Discard)
	if err != nil || o.port != 443 || o.plan.Host != "example.com" || o.plan.TLS.ServerName != "example.com" || !o.plan.TLS.Insecure {
		t.Errorf("wss: %+v, %v", o, err)
	}
	o, err = parse(strings.Fields("-url ws://[::1]/a?b=c"), io.Discard)
	if err != nil || o.host != "::1" || o.port != 80 || o.plan.Host != "[::1]" || o.plan.Target != "/a?b=c" {
		t.Errorf("IPv6: %+v, %v", o, err)
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("LOADGEN_CONNS", "77")
	t.Setenv("LOADGEN_SOURCE_IPS", "10.0.0.1-3")
	o, err := parse([]string{"-rate", "2"}, io.Discard)
	if err != nil || o.plan.Conns != 77 || o.plan.Sources.Len() != 3 || o.plan.Rate != 2 {
		t.Errorf("%+v, %v", o, err)
	}
	if o, err = parse([]string{"-conns", "5"}, io.Discard); err != nil || o.plan.Conns != 5 {
		t.Errorf("the command line doesn't win: %+v, %v", o, err)
	}
}

func TestRooms(t *testing.T) {
	for args, want := range map[string]plan.Plan{
		"-rooms 6 -members 5":               {Topics: 6, Conns: 30, Publishers: 30, Rate: 1},
		"-rooms 6":                          {Topics: 6, Conns: 60, Publishers: 60, Rate: 1},
		"-rooms 6 -members 5 -publishers 2": {Topics: 6, Conns: 30, Publishers: 2, Rate: 1},
		"-rooms 6 -members 5 -window 3":     {Topics: 6, Conns: 30, Publishers: 30, Rate: 1, Window: 3},
		"-rooms 6 -members 5 -rate 50":      {Topics: 6, Conns: 30, Publishers: 30, Rate: 50},
	} {
		o, err := parse(strings.Fields(args), io.Discard)
		if err != nil {
			t.Errorf("%s: %v", args, err)
			continue
		}
		p := o.plan
		if p.Topics != want.Topics || p.Conns != want.Conns || p.Publishers != want.Publishers || p.Rate != want.Rate || p.Window != want.Window {
			t.Errorf("%s: %+v", args, p)
		}
	}
}

func TestHelpAndVersion(t *testing.T) {
	for args, want := range map[string]string{"-h": "-source-ips", "-version": "loadgen "} {
		var out strings.Builder
		if _, err := parse([]string{args}, &out); !errors.Is(err, errHandled) || !strings.Contains(out.String(), want) {
			t.Errorf("%s: %v, %q", args, err, out.String())
		}
	}
}
