package main

import (
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/peterbourgon/ff/v3"

	"hubbub/cmd/loadgen/internal/plan"
	"hubbub/cmd/loadgen/internal/rooms"
)

// Bounds of flags. Most are far beyond what a machine holds and only keep
// nonsense out.
const (
	maxConns  = 10_000_000
	maxSize   = 1 << 20
	maxWindow = 10_000
	maxRate   = 10_000_000
	maxSlow   = 0.9
	maxKept   = 10_000
	maxWait   = 24 * time.Hour
)

const (
	defaultURL = "ws://127.0.0.1:8080/ws"
	echoURL    = "ws://127.0.0.1:8080/echo"                 // in -mode echo
	roomsURL   = "ws://127.0.0.1:8080/connection/websocket" // with -protocol rooms
	envPrefix  = "LOADGEN"
)

// options are what the command line asks for.
type options struct {
	plan      plan.Plan // as far as the command line decides it
	url       string
	host      string
	port      uint16
	tlsCA     string
	insecure  bool
	processes int
	realtime  bool
	json      string
	html      string
	serverPID int
	adminURL  string
	rooms     int // 0: not asked for
	members   int // of each room
}

// errHandled is returned when there is nothing more to do.
var errHandled = errors.New("handled")

// parse reads the command line and the environment. Whatever is wrong, the
// error is one line that says how it should be.
func parse(args []string, stdout io.Writer) (*options, error) {
	o := &options{}
	p := &o.plan
	fs := flag.NewFlagSet("loadgen", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	var mode, protocol, prefix, sources, scenario string
	var showVersion bool
	fs.StringVar(&scenario, "scenario", "", "defaults for a purpose, by `name`, which flags override: "+scenarioNames()+"; list shows what each sets")
	fs.IntVar(&p.Conns, "conns", 1000, "connections to open")
	fs.StringVar(&o.url, "url", defaultURL, "server's endpoint, ws:// or wss://; in -mode echo the default ends in /echo, with -protocol rooms in /connection/websocket")
	fs.StringVar(&protocol, "protocol", string(plan.Plain), "what is spoken over the WebSocket: plain: a message is a payload, and the topic is in the URL; rooms: the Centrifuge client protocol in JSON, where a topic is a channel and each publication is acknowledged")
	fs.StringVar(&prefix, "channel-prefix", "chat:", "-protocol rooms: what the channels' names begin with")
	fs.IntVar(&p.Recover, "recover", 0, "-protocol rooms: first publish so many `messages` in each topic, then have each connection subscribe with recovery from the beginning: it is open when it has got exactly those, in a storm every time; 0: none")
	fs.StringVar(&o.tlsCA, "tls-ca", "", "wss: PEM `file` with certificates to trust besides those that the system does")
	fs.BoolVar(&o.insecure, "tls-insecure", false, "wss: don't check the server's certificate")
	fs.StringVar(&mode, "mode", string(plan.Fanout), "fanout: publishers send, everyone on the topic receives; echo: each connection gets back what it sends; idle: connections are only held; storm: they are held until the server goes away, and come back")
	fs.Float64Var(&p.Rate, "rate", 1, "fanout: `messages` per second, all publishers together, sent on schedule")
	fs.DurationVar(&p.Duration, "duration", 10*time.Second, "how long to publish, or to hold the connections; storm: how long to wait for the server to go away")
	fs.IntVar(&p.Size, "size", 128, "`bytes` of a message's payload; with -protocol rooms of what stands in JSON for it, quotes included")
	fs.IntVar(&p.Publishers, "publishers", 1, "fanout: connections that publish")
	fs.IntVar(&p.Topics, "topics", 1, "fanout: topics to spread connections and publishers over")
	fs.IntVar(&o.rooms, "rooms", 0, "fanout: instead of -topics and -conns, so many `topics` with -members each, of whom all publish unless -publishers is given; 0: none")
	fs.IntVar(&o.members, "members", 10, "connections in each of the -rooms")
	fs.Float64Var(&p.Slow, "slow", 0, "fanout: `share` of the connections, none of them publishers, that stop reading once they are open, 0 to 0.9; nothing is expected of them")
	fs.Float64Var(&p.Churn, "churn", 0, "fanout, idle: further `connections` per second that are opened on schedule, besides -conns and on the same topics, and closed at once; 0: none")
	fs.Float64Var(&p.Ramp, "ramp", 0, "`connections` to open per second; 0: as fast as it goes")
	fs.IntVar(&p.Window, "window", 0, "messages in flight per sender: each is sent when one comes back (fanout: instead of -rate; echo: at least 1, the default)")
	fs.StringVar(&sources, "source-ips", "", "addresses to connect from: `list`, separated by commas, of a.b.c.d or a.b.c.d-e (default: the kernel's choice, and on loopback one per 250 connections)")
	fs.IntVar(&o.processes, "processes", 0, "processes to spread the connections over; 0: as many as the limit of descriptors asks for")
	fs.BoolVar(&o.realtime, "realtime", false, "run before all ordinary programs (SCHED_RR), so that on a busy machine the generator's own waiting for a processor isn't among the latencies; for few connections, or the server gets no time; takes CAP_SYS_NICE or LimitRTPRIO=1, and two processors")
	fs.StringVar(&o.json, "json", "", "write the report as JSON to `file`")
	fs.StringVar(&o.html, "html", "", "write the report as a page with plots to `file`")
	fs.IntVar(&o.serverPID, "server-pid", 0, "follow this process and its descendants as the server (default: found by the listening socket, if it is on this machine)")
	fs.StringVar(&o.adminURL, "admin-url", "", "follow the server by its /metrics, at http://`host:port`")
	fs.DurationVar(&p.Settle, "settle", time.Second, "pause between the last connection and the first message")
	fs.DurationVar(&p.Timeout, "timeout", 30*time.Second, "how long to wait in the end for deliveries that are missing; storm: from the first loss, for connections to come back")
	fs.BoolVar(&showVersion, "version", false, "print the version and exit")

	err := ff.Parse(fs, args, ff.WithEnvVarPrefix(envPrefix))
	switch {
	case errors.Is(err, flag.ErrHelp):
		usage(fs, stdout)
		return nil, errHandled
	case err != nil:
		return nil, fmt.Errorf("%w (loadgen -h lists the flags)", err)
	case fs.NArg() > 0:
		return nil, fmt.Errorf("unexpected argument %q (loadgen -h lists the flags)", fs.Arg(0))
	case showVersion:
		fmt.Fprintf(stdout, "loadgen %s (%s)\n", version, commit)
		return nil, errHandled
	}
	given := make(map[string]bool)
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	switch scenario {
	case "":
	case "list":
		listScenarios(stdout)
		return nil, errHandled
	default:
		if err := applyScenario(fs, scenario, given); err != nil {
			return nil, err
		}
	}
	p.Mode, p.Protocol = plan.Mode(mode), plan.Protocol(protocol)
	if err := o.inRooms(given); err != nil {
		return nil, err
	}
	if p.Protocol == plan.Rooms {
		p.Prefix = prefix
		if !given["url"] {
			o.url = roomsURL
		}
	}
	if p.Mode == plan.Echo {
		if !given["url"] {
			o.url = echoURL
		}
		if !given["window"] {
			p.Window = 1
		}
	}
	if err := o.check(given); err != nil {
		return nil, err
	}
	if sources != "" {
		if p.Sources, err = plan.ParseSources(sources); err != nil {
			return nil, fmt.Errorf("-source-ips: %w", err)
		}
	}
	if err := o.parseURL(); err != nil {
		return nil, err
	}
	return o, o.trust()
}

// check holds every flag against its range.
func (o *options) check(given map[string]bool) error {
	p := &o.plan
	switch p.Mode {
	case plan.Fanout, plan.Echo, plan.Idle, plan.Storm:
	default:
		return fmt.Errorf("-mode %s: allowed are fanout, echo, idle, storm", p.Mode)
	}
	if p.Protocol != plan.Plain && p.Protocol != plan.Rooms {
		return fmt.Errorf("-protocol %s: allowed are plain, rooms", p.Protocol)
	}
	lowWindow := 0
	if p.Mode == plan.Echo {
		lowWindow = 1
	}
	for _, f := range []struct {
		name      string
		v, lo, hi int
	}{
		{"conns", p.Conns, 1, maxConns},
		{"size", p.Size, p.Protocol.LeastSize(), maxSize},
		{"topics", p.Topics, 1, p.Conns},
		{"publishers", p.Publishers, 1, p.Conns},
		{"window", p.Window, lowWindow, maxWindow},
		{"recover", p.Recover, 0, maxKept},
		{"processes", o.processes, 0, p.Conns},
		{"server-pid", o.serverPID, 0, math.MaxInt32},
	} {
		if f.v < f.lo || f.v > f.hi {
			return fmt.Errorf("-%s %d: allowed are %d to %d", f.name, f.v, f.lo, f.hi)
		}
	}
	for _, f := range []struct {
		name  string
		v, lo time.Duration
	}{
		{"duration", p.Duration, time.Millisecond},
		{"settle", p.Settle, 0},
		{"timeout", p.Timeout, 0},
	} {
		if f.v < f.lo || f.v > maxWait {
			return fmt.Errorf("-%s %s: allowed are %s to %s", f.name, f.v, f.lo, maxWait)
		}
	}
	if !(p.Ramp >= 0 && p.Ramp <= maxRate) { // not NaN either
		return fmt.Errorf("-ramp %v: allowed are 0 to %d", p.Ramp, maxRate)
	}
	if !(p.Rate > 0 && p.Rate <= maxRate) {
		return fmt.Errorf("-rate %v: allowed is more than 0, up to %d", p.Rate, maxRate)
	}
	if p.Mode == plan.Fanout && p.Open() && p.Messages().Total == 0 {
		return fmt.Errorf("-rate %v: not one message in -duration %s; allowed is %v or more", p.Rate, p.Duration, 1/p.Duration.Seconds())
	}
	if err := o.checkExtras(); err != nil {
		return err
	}
	return o.conflicts(given)
}

// checkExtras holds what goes on beside the messages against its range.
func (o *options) checkExtras() error {
	p := &o.plan
	if !(p.Slow >= 0 && p.Slow <= maxSlow) { // not NaN either
		return fmt.Errorf("-slow %v: allowed are 0 to %v", p.Slow, maxSlow)
	}
	if !(p.Churn >= 0 && p.Churn <= maxRate) {
		return fmt.Errorf("-churn %v: allowed are 0 to %d", p.Churn, maxRate)
	}
	readers := p.Conns - p.Publishers
	switch {
	case p.Slow > 0 && p.Mode != plan.Fanout:
		return fmt.Errorf("-slow: only with -mode fanout, not %s", p.Mode)
	case p.Slow > 0 && p.Stalling() == 0:
		return fmt.Errorf("-slow %v: not one of %d connections; allowed is %v or more", p.Slow, p.Conns, 1/float64(p.Conns))
	case p.Stalling() > readers:
		return fmt.Errorf("-slow %v: %d of %d connections, but only %d don't publish: give fewer -publishers", p.Slow, p.Stalling(), p.Conns, readers)
	case p.Churn > 0 && p.Mode != plan.Fanout && p.Mode != plan.Idle:
		return fmt.Errorf("-churn: only with -mode fanout or idle, not %s", p.Mode)
	case p.Churn > 0 && p.Churned().Total == 0:
		return fmt.Errorf("-churn %v: not one connection in -duration %s; allowed is %v or more", p.Churn, p.Duration, 1/p.Duration.Seconds())
	}
	return nil
}

// inRooms turns -rooms and -members into topics, connections and publishers.
func (o *options) inRooms(given map[string]bool) error {
	p := &o.plan
	switch {
	case o.rooms < 0 || o.rooms > maxConns:
		return fmt.Errorf("-rooms %d: allowed are 0 to %d", o.rooms, maxConns)
	case o.rooms == 0 && given["members"]:
		return errors.New("-members: only with -rooms")
	case o.rooms == 0:
		return nil
	case o.members < 1 || o.members > maxConns:
		return fmt.Errorf("-members %d: allowed are 1 to %d", o.members, maxConns)
	case o.rooms*o.members > maxConns:
		return fmt.Errorf("-rooms %d: with -members %d these are %d connections; allowed are up to %d", o.rooms, o.members, o.rooms*o.members, maxConns)
	case p.Mode != plan.Fanout:
		return fmt.Errorf("-rooms: only with -mode fanout, not %s", p.Mode)
	}
	for _, name := range []string{"topics", "conns"} {
		if given[name] {
			return fmt.Errorf("-%s: not together with -rooms, which says how many there are", name)
		}
	}
	p.Topics, p.Conns = o.rooms, o.rooms*o.members
	if !given["publishers"] {
		p.Publishers = p.Conns
	}
	return nil
}

// conflicts refuses flags that would have no effect.
func (o *options) conflicts(given map[string]bool) error {
	mode := o.plan.Mode
	switch {
	case given["rate"] && mode != plan.Fanout:
		return fmt.Errorf("-rate: only with -mode fanout, not %s", mode)
	case given["rate"] && o.plan.Window > 0:
		return errors.New("-rate: not together with -window, which sends whenever a message has come back")
	case given["publishers"] && mode != plan.Fanout:
		return fmt.Errorf("-publishers: only with -mode fanout, not %s", mode)
	case given["topics"] && mode == plan.Echo:
		return errors.New("-topics: not with -mode echo")
	case mode == plan.Echo && o.plan.Protocol == plan.Rooms:
		return errors.New("-mode echo: not with -protocol rooms, which has no echo")
	case given["channel-prefix"] && o.plan.Protocol != plan.Rooms:
		return errors.New("-channel-prefix: only with -protocol rooms")
	case given["recover"] && o.plan.Protocol != plan.Rooms:
		return errors.New("-recover: only with -protocol rooms")
	case o.plan.Recover > 0 && o.plan.Churn > 0:
		return errors.New("-recover: not together with -churn, whose connections would find more than that")
	case !rooms.Plain(o.plan.Prefix):
		return fmt.Errorf("-channel-prefix %q: has to stand in JSON as it is, without quotes, backslashes, <, > and &", o.plan.Prefix)
	case given["window"] && !mode.Sends():
		return fmt.Errorf("-window: not with -mode %s", mode)
	}
	return nil
}

func (o *options) parseURL() error {
	u, err := url.Parse(o.url)
	if err != nil {
		return fmt.Errorf("-url %s: %w", o.url, err)
	}
	switch {
	case u.Scheme != "ws" && u.Scheme != "wss":
		return fmt.Errorf("-url %s: has to begin with ws:// or wss://", o.url)
	case u.Hostname() == "":
		return fmt.Errorf("-url %s: has no host", o.url)
	}
	o.host, o.port = u.Hostname(), 80
	if u.Scheme == "wss" {
		o.port = 443
		o.plan.TLS = &plan.TLS{ServerName: o.host, Insecure: o.insecure}
	}
	if s := u.Port(); s != "" {
		n, err := strconv.ParseUint(s, 10, 16)
		if err != nil || n == 0 {
			return fmt.Errorf("-url %s: port %s: allowed are 1 to 65535", o.url, s)
		}
		o.port = uint16(n)
	}
	o.plan.Host = u.Host
	o.plan.Target = u.RequestURI()
	if o.adminURL != "" {
		a, err := url.Parse(o.adminURL)
		if err != nil || a.Scheme != "http" && a.Scheme != "https" || a.Host == "" {
			return fmt.Errorf("-admin-url %s: has to be like http://127.0.0.1:8081", o.adminURL)
		}
		o.adminURL = strings.TrimRight(o.adminURL, "/")
	}
	return nil
}

// trust reads whom to trust, so that all processes trust the same.
func (o *options) trust() (err error) {
	t := o.plan.TLS
	switch {
	case t == nil && o.tlsCA != "":
		return errors.New("-tls-ca: only with a -url that begins with wss://")
	case t == nil && o.insecure:
		return errors.New("-tls-insecure: only with a -url that begins with wss://")
	case o.tlsCA == "":
		return nil
	case o.insecure:
		return errors.New("-tls-ca: not together with -tls-insecure, which takes any certificate")
	}
	if t.CA, err = os.ReadFile(o.tlsCA); err != nil {
		return fmt.Errorf("-tls-ca: %w", err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(t.CA) {
		return fmt.Errorf("-tls-ca %s: there is no PEM certificate in it", o.tlsCA)
	}
	return nil
}

func usage(fs *flag.FlagSet, w io.Writer) {
	fmt.Fprintf(w, `loadgen opens WebSocket connections, publishes on schedule and reports what arrived, and when.

  loadgen -conns 100000                   fan-out of one message per second to 100,000
  loadgen -conns 1000 -window 8           fan-out as fast as the server can, 8 messages in flight
  loadgen -conns 1000 -mode echo          request and reply
  loadgen -conns 100000 -mode idle        only hold connections
  loadgen -conns 10000 -mode storm        wait until you restart the server, see all come back
  loadgen -conns 8000 -slow 0.2           fan-out with 1,600 readers that stall
  loadgen -conns 8000 -churn 1000         fan-out while 1,000 more per second come and go
  loadgen -rooms 500 -window 1            500 topics of 10 members who all publish
  loadgen -scenario list                  ready-made purposes, and what they set
  loadgen -protocol rooms                 fan-out on a server that speaks as Centrifugo does
  loadgen -scenario recover               100,000 come at once and get what was said before
  loadgen -url wss://example.com/ws       over TLS, a full handshake for each connection

Every flag can also be set as environment variable %s_NAME.

`, envPrefix)
	fs.SetOutput(w)
	fs.PrintDefaults()
}
