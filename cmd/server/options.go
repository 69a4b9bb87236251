package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/peterbourgon/ff/v3"

	"hubbub"
	"hubbub/internal/rooms"
)

const envPrefix = "HUBBUB"

// options are the settings, from flags, environment and config file.
type options struct {
	addr             list
	admin            string
	tlsCert          string
	tlsKey           string
	httpRedirect     string
	trustedProxies   list
	proxyProtocol    bool
	maxConns         int
	maxConnsPerIP    int
	maxHandshakes    int
	workers          int
	loops            int
	broadcastWorkers int
	realtime         bool
	origins          list
	maxMessage       int
	maxBacklog       int
	rateLimit        int
	rateLimitBytes   int
	rateBurst        time.Duration
	compress         bool
	compressMin      int
	slow             string
	keepalive        time.Duration
	handshake        time.Duration
	drain            time.Duration
	namespaces       rulesFlag
	anonymous        bool
	dataDir          string
	fsync            string
	historyReplicas  int
	apiKey           string
	tokenHMACSecret  string
	tokenPublicKey   list
	tokenJWKS        string
	tokenAudience    string
	tokenIssuer      string
	nats             string
	natsPrefix       string
	logFormat        string
	logLevel         string
	version          bool
}

// list is a flag of values separated by commas.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

func (l *list) Set(v string) error {
	for part := range strings.SplitSeq(v, ",") {
		if part = strings.TrimSpace(part); part != "" {
			*l = append(*l, part)
		}
	}
	return nil
}

func flags(o *options) *flag.FlagSet {
	fs := flag.NewFlagSet("server", flag.ContinueOnError)
	fs.Var(&o.addr, "addr", "`addresses` to serve on, separated by commas: WebSocket, page, /healthz and /subscribers; host:port, [::1]:8080 or unix:/path (default :8080)")
	fs.StringVar(&o.admin, "admin", "127.0.0.1:8081", "`address` for operators: /healthz, /metrics, /debug/pprof; empty for none")
	fs.StringVar(&o.tlsCert, "tls-cert", "", "PEM `file` with the certificate and its chain: -addr serves https and wss then, but for Unix sockets; read again when it changes")
	fs.StringVar(&o.tlsKey, "tls-key", "", "PEM `file` with the certificate's key")
	fs.StringVar(&o.httpRedirect, "http-redirect", "", "`address` on which ordinary requests are sent to https; empty for none")
	fs.Var(&o.trustedProxies, "trusted-proxies", "`networks` of your own proxies, separated by commas, like 10.0.0.0/8: their X-Forwarded-For is believed")
	fs.BoolVar(&o.proxyProtocol, "proxy-protocol", false, "trusted proxies begin each connection with a PROXY protocol header, version 2")
	fs.IntVar(&o.maxConnsPerIP, "max-conns-per-ip", 0, "`number` of connections from one IP address (IPv6: one /64), in each process; 0 for no limit")
	fs.IntVar(&o.maxHandshakes, "max-handshakes", 8192, "`number` of connections that may be at their handshake; a further one takes the place of the oldest")
	fs.IntVar(&o.rateLimit, "rate-limit", 0, "`messages` a second that a peer may send; more ends its connection; 0 for no limit")
	fs.IntVar(&o.rateLimitBytes, "rate-limit-bytes", 0, "`bytes` of messages a second that a peer may send, likewise")
	fs.DurationVar(&o.rateBurst, "rate-burst", 5*time.Second, "`time` for which a silent peer may save up what the rate limits allow")
	fs.BoolVar(&o.compress, "compress", false, "compress messages for clients that can (permessage-deflate)")
	fs.IntVar(&o.compressMin, "compress-min", 256, "least size in `bytes` of a message that is compressed")
	fs.IntVar(&o.maxConns, "max-conns", 100000, "`number` of connections to hold at most, rounded up to a multiple of the workers; more wait in the kernel's queue")
	fs.IntVar(&o.workers, "workers", 0, "`number` of worker processes; 0 chooses by -max-conns and the limit of open files")
	fs.IntVar(&o.loops, "loops", 0, "`number` of event loops per process; 0 for one per core, shared out over the workers")
	fs.IntVar(&o.broadcastWorkers, "broadcast-workers", 0, "`number` of goroutines per process that write broadcasts, beside one for small topics; 0 as for -loops")
	fs.BoolVar(&o.realtime, "realtime", false, "put all threads but those of the -broadcast-workers into the kernel's real-time class (SCHED_RR), before all ordinary programs: a small topic waits less for a processor beside giant ones then; takes CAP_SYS_NICE or LimitRTPRIO=1, and two processors")
	fs.Var(&o.origins, "origins", "web `sites` whose pages may connect besides our own, separated by commas: https://example.com, https://*.example.com, or * for all")
	fs.IntVar(&o.maxMessage, "max-message", 64<<10, "largest message in `bytes` that a peer may send")
	fs.IntVar(&o.maxBacklog, "max-backlog", 1<<20, "`bytes` that may wait for a reader that doesn't keep up")
	fs.StringVar(&o.slow, "slow", "disconnect", "`policy` on /ws for readers whose backlog is full: disconnect, drop-oldest or drop-newest")
	fs.DurationVar(&o.keepalive, "keepalive", 0, "`time` of silence after which a peer is pinged, and dropped after as long again; 0 for never, but 30s on /chat")
	fs.DurationVar(&o.handshake, "handshake-timeout", 10*time.Second, "`time` a peer has for its handshake")
	fs.DurationVar(&o.drain, "drain", 10*time.Second, "`time` the connections have to end after SIGTERM or Ctrl-C")
	o.namespaces = rulesFlag{rooms.DefaultRules}
	fs.Var(&o.namespaces, namespacesFlag, "`rules` of the channels of /connection/websocket, in JSON: who may subscribe, publish, see who is there and what was published, and how much of that is kept, by the part of their names before the colon; a map in the config file")
	fs.BoolVar(&o.anonymous, "anonymous", true, "clients of /connection/websocket may connect without saying who they are")
	fs.StringVar(&o.dataDir, "data-dir", "hubbub-data", "`directory` in which channels' histories are kept, for this server alone; made if there is none; not used with -nats")
	fs.StringVar(&o.fsync, "fsync", "lazy", "`when` a publication is forced to disk: always, before it is acknowledged; or lazy, within two minutes, which loses some if the machine loses power")
	fs.IntVar(&o.historyReplicas, "history-replicas", 1, "`number` of servers of the -nats cluster that keep each history")
	fs.StringVar(&o.apiKey, "api-key", "", "`secret` by which backends may use the HTTP API at /api/; empty for no API; better in the environment, as "+envPrefix+"_API_KEY: all users of the machine see flags")
	fs.StringVar(&o.tokenHMACSecret, "token-hmac-secret", "", "`secret` of tokens (JWT) signed with HS256, HS384 or HS512; better in the environment, as "+envPrefix+"_TOKEN_HMAC_SECRET: all users of the machine see flags")
	fs.Var(&o.tokenPublicKey, "token-public-key", "PEM `files`, separated by commas, with the public keys of tokens signed with RSA, ECDSA or Ed25519")
	fs.StringVar(&o.tokenJWKS, "token-jwks", "", "`URL` of a JSON Web Key Set with more of them; read every ten minutes, and when a token names a key that isn't in it")
	fs.StringVar(&o.tokenAudience, "token-audience", "", "`name` that tokens have to be for (aud); empty for any")
	fs.StringVar(&o.tokenIssuer, "token-issuer", "", "`name` that tokens have to be from (iss); empty for any")
	fs.StringVar(&o.nats, "nats", "", "`URL` of a NATS server or cluster that joins several hubbub servers; without it, workers are joined by an embedded one")
	fs.StringVar(&o.natsPrefix, "nats-prefix", "hubbub", "`prefix` of the subjects on -nats; servers that share it are one")
	fs.StringVar(&o.logFormat, "log-format", "text", "`format` of the log on standard error: text or json")
	fs.StringVar(&o.logLevel, "log-level", "info", "least `level` that is logged: debug, info, warn or error")
	fs.String("config", "", "YAML `file` with the same settings, named like the flags; flags and environment win")
	fs.BoolVar(&o.version, "version", false, "print the version and exit")
	return fs
}

// parseOptions reads the settings. help gets the text of -help, after which
// flag.ErrHelp is returned.
func parseOptions(args []string, help io.Writer) (*options, error) {
	o := &options{}
	fs := flags(o)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	err := ff.Parse(fs, args,
		ff.WithEnvVarPrefix(envPrefix),
		ff.WithConfigFileFlag("config"),
		ff.WithConfigFileParser(parseConfig),
	)
	if errors.Is(err, flag.ErrHelp) {
		usage(fs, help)
		return nil, flag.ErrHelp
	}
	if err == nil && fs.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if err != nil {
		return nil, usageError{fmt.Errorf("%s (see -help)", oneLine(err))}
	}
	o.setDefaults()
	if err := o.check(); err != nil {
		return nil, usageError{err}
	}
	return o, nil
}

// setDefaults sets what a list can't have as the default of its flag, since values
// are added to it.
func (o *options) setDefaults() {
	if len(o.addr) == 0 {
		o.addr = list{":8080"}
	}
}

// environment returns the settings as environment variables. They leave nothing to
// a config file, which may have changed since it was read.
func (o *options) environment() []string {
	same := &options{}
	fs := flags(same)
	*same = *o
	env := []string{envPrefix + "_CONFIG="}
	fs.VisitAll(func(f *flag.Flag) {
		if f.Name != "config" {
			env = append(env, envPrefix+"_"+strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))+"="+f.Value.String())
		}
	})
	return env
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

func usage(fs *flag.FlagSet, w io.Writer) {
	fmt.Fprintf(w, `hubbub holds very many WebSocket connections on one machine.

  /ws?topic=NAME          everything sent is relayed to everyone on the topic (default lobby)
  /echo                   everything sent comes back
  /chat?room=&name=       a chat of plain text: the last 30 messages first, and who comes and goes
  /connection/websocket   channels, for clients of the Centrifuge protocol
  /                       a chat page

Usage: server [flags]

Each flag is also an environment variable (-max-conns is %s_MAX_CONNS) and a
line in the config file (max-conns: 100000).

`, envPrefix)
	fs.SetOutput(w)
	fs.PrintDefaults()
}

// check returns what is out of range, with the way out.
func (o *options) check() error {
	inRange := func(name string, v, low, high int) error {
		if v < low || v > high {
			return fmt.Errorf("-%s is %d; it has to be from %d to %d", name, v, low, high)
		}
		return nil
	}
	atLeast := func(name string, v, low time.Duration) error {
		if v < low {
			return fmt.Errorf("-%s is %v; it has to be at least %v", name, v, low)
		}
		return nil
	}
	oneOf := func(name, v string, allowed ...string) error {
		for _, a := range allowed {
			if v == a {
				return nil
			}
		}
		return fmt.Errorf("-%s is %q; it has to be one of %s", name, v, strings.Join(allowed, ", "))
	}
	errs := []error{
		inRange("max-conns", o.maxConns, 1, 100_000_000),
		inRange("max-conns-per-ip", o.maxConnsPerIP, 0, 100_000_000),
		inRange("max-handshakes", o.maxHandshakes, 1, 100_000_000),
		inRange("rate-limit", o.rateLimit, 0, 1<<30),
		inRange("rate-limit-bytes", o.rateLimitBytes, 0, 1<<30),
		atLeast("rate-burst", o.rateBurst, time.Millisecond),
		inRange("compress-min", o.compressMin, 1, 1<<20),
		inRange("workers", o.workers, 0, 10_000),
		inRange("loops", o.loops, 0, 1024),
		inRange("broadcast-workers", o.broadcastWorkers, 0, 1024),
		inRange("max-message", o.maxMessage, 125, 64<<20),
		inRange("max-backlog", o.maxBacklog, 1, 1<<30),
		oneOf("slow", o.slow, "disconnect", "drop-oldest", "drop-newest"),
		atLeast("handshake-timeout", o.handshake, 100*time.Millisecond),
		atLeast("drain", o.drain, 0),
		oneOf("fsync", o.fsync, fsyncLazy, fsyncAlways),
		inRange("history-replicas", o.historyReplicas, 1, 5),
		oneOf("log-format", o.logFormat, "text", "json"),
		oneOf("log-level", o.logLevel, "debug", "info", "warn", "error"),
	}
	if o.keepalive != 0 {
		errs = append(errs, atLeast("keepalive", o.keepalive, time.Second))
	}
	if slices.Contains(strings.Split(o.natsPrefix, "."), "") || strings.ContainsAny(o.natsPrefix, " \t\r\n*>") {
		errs = append(errs, fmt.Errorf("-nats-prefix is %q; it has to be a NATS subject without wildcards", o.natsPrefix))
	}
	switch {
	case (o.tlsCert == "") != (o.tlsKey == ""):
		errs = append(errs, errors.New("-tls-cert and -tls-key go together"))
	case o.httpRedirect != "" && o.tlsCert == "":
		errs = append(errs, errors.New("-http-redirect sends to https, which needs -tls-cert and -tls-key"))
	case o.tlsCert != "" && !slices.ContainsFunc(o.addr, func(a string) bool { return !strings.HasPrefix(a, unixPrefix) }):
		errs = append(errs, errors.New("-tls-cert needs an -addr with a port: Unix sockets aren't encrypted"))
	case slices.Contains(o.addr, unixPrefix):
		errs = append(errs, errors.New("-addr unix: needs a path"))
	case o.nats == "" && o.historyReplicas > 1:
		errs = append(errs, errors.New("-history-replicas needs a -nats cluster to keep them"))
	case o.nats != "" && o.fsync == fsyncAlways:
		errs = append(errs, errors.New("-fsync is for histories that this server keeps; with -nats, set sync_interval there"))
	case o.nats == "" && o.dataDir == "" && o.namespaces.keepHistory():
		errs = append(errs, errors.New("-data-dir is empty; histories of channels need it, or -namespaces without history_size"))
	case (o.tokenAudience != "" || o.tokenIssuer != "") && !o.tokens():
		errs = append(errs, errors.New("-token-audience and -token-issuer need a key: -token-hmac-secret, -token-public-key or -token-jwks"))
	case o.proxyProtocol && len(o.trustedProxies) == 0:
		errs = append(errs, errors.New("-proxy-protocol needs -trusted-proxies: anybody else could claim any address"))
	}
	_, err := o.proxies()
	for _, err := range append(errs, err) {
		if err != nil {
			return err
		}
	}
	// The rest is known to the server itself.
	for _, origin := range o.origins {
		if err := hubbub.CheckOrigin(origin); err != nil {
			return fmt.Errorf("-origins: %w", err)
		}
	}
	return nil
}

// proxies returns the networks of -trusted-proxies; an address is a network of one.
func (o *options) proxies() (nets []netip.Prefix, err error) {
	for _, v := range o.trustedProxies {
		p, err := netip.ParsePrefix(v)
		if !strings.Contains(v, "/") {
			var a netip.Addr
			a, err = netip.ParseAddr(v)
			p = netip.PrefixFrom(a, a.BitLen())
		}
		if err != nil {
			return nil, fmt.Errorf("-trusted-proxies: %q is no network like 10.0.0.0/8 or fd00::/8, nor an IP address", v)
		}
		if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 { // peers have no such addresses
			p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
		}
		nets = append(nets, p.Masked())
	}
	return nets, nil
}

func (o *options) slowPolicy() hubbub.SlowPolicy {
	switch o.slow {
	case "drop-oldest":
		return hubbub.DropOldest
	case "drop-newest":
		return hubbub.DropNewest
	}
	return hubbub.Disconnect
}

func newLogger(o *options, w *os.File) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(o.logLevel)) // check has seen it
	opts := &slog.HandlerOptions{Level: level}
	if o.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}
