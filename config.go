package hubbub

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"time"

	"hubbub/internal/broadcast"
	"hubbub/internal/wire"
)

// Config describes a Server. It is copied by New: changing it later changes
// nothing. The zero value works, and serves nothing but 404.
type Config struct {
	// Endpoints maps paths ("/ws") to what is served there. Paths are compared
	// with the request's as they are, percent-encoding included.
	Endpoints map[string]Endpoint

	// HTTP gets every request that isn't a WebSocket handshake, one to a
	// connection. The default answers 404. Such connections have goroutines, as
	// usual with net/http; no more than MaxHTTP are served at a time.
	HTTP http.Handler

	// MaxHTTP bounds the connections that net/http serves. Above it they are
	// closed at once, so that ordinary requests can't use up the descriptors
	// of WebSocket connections. Default 1,000.
	MaxHTTP int

	// TrustedProxies are the networks of our own proxies: what they say of a
	// client's address in X-Forwarded-For is believed, and so is a peer on a Unix
	// socket if there is any proxy at all. Danger: whoever connects from there
	// can claim any address.
	TrustedProxies []netip.Prefix

	// ProxyProtocol says that trusted proxies begin each connection with a PROXY
	// protocol header of version 2; without one, theirs are closed. Others'
	// connections are taken as they are.
	ProxyProtocol bool

	// MaxConns is the number of connections, of any kind, above which the
	// server stops accepting: more wait in the kernel's queue. Default: what
	// the process's descriptor limit leaves, less some for its own use.
	MaxConns int

	// MaxConnsPerIP is the number of connections, of any kind, from one IP
	// address, or from one /64 in the case of IPv6; further ones are closed at
	// once, or refused with 429 if X-Forwarded-For says whose they are. Default: no
	// limit.
	MaxConnsPerIP int

	// MaxHandshakes is the number of connections that have not said yet what they
	// want. A further one takes the place of the oldest, so that peers who never
	// get to the point don't keep others out. Default 8,192.
	MaxHandshakes int

	// Origins lists the web sites whose pages may connect, besides the one
	// that the server itself is part of: "https://example.com",
	// "https://*.example.com", or "*" for all. Danger: with "*" any page that
	// a user visits can connect with that user's cookies. Clients that send no
	// Origin aren't browsers, and pass.
	Origins []string

	// MaxMessage is the largest message in bytes that a peer may send, all
	// fragments together; a larger one ends the connection with close code
	// 1009. Default 64 KiB. It bounds the memory a peer can take for input.
	MaxMessage int

	// MessageRate and ByteRate bound what a peer may send in a second, messages and
	// their bytes (as they come out of decompression); more ends the connection with
	// close code 1008. Default: no limit.
	MessageRate int
	ByteRate    int

	// RateBurst is how long a peer may have been silent to send it all at once:
	// rates times this, though never less than one message. Default 5 s.
	RateBurst time.Duration

	// Compress has the server agree to permessage-deflate (RFC 7692), without
	// context takeover, so that idle connections hold no compressor and a
	// broadcast is compressed once for all. Default: no.
	Compress bool

	// CompressMin is the size in bytes from which on messages are compressed, up to
	// a mebibyte. Default 256.
	CompressMin int

	// MaxBacklog is the number of bytes that may wait for a reader who doesn't
	// keep up, before the endpoint's SlowPolicy applies; for what it takes to
	// keep it, a message counts as 128 bytes more than it has. A single message
	// that is larger passes if nothing else waits. Default 1 MiB. Backlogs are
	// references: what many readers wait for is held once.
	MaxBacklog int

	// MaxPending is the number of bytes published and not yet handed to the
	// sockets, with what it takes to keep them, above which the server stops
	// reading, until half of it is worked off. Default 64 MiB.
	MaxPending int

	// KeepMessages is the number of messages of one topic that are kept of those
	// that PublishKept sends, for SubscribeLast. Default 100.
	KeepMessages int

	// KeepBytes is the number of bytes that may be kept in all topics together,
	// with what it takes to keep them, and three times with Compress for the
	// compressed forms. Above it, the topics that were published to the longest
	// ago are forgotten. Default 64 MiB, or an eighth of MemoryLimit if that is less.
	KeepBytes int

	// MemoryLimit is the memory in bytes that the process should use; near it, new
	// connections are refused with 503 and the biggest backlogs ended with close
	// code 1013. Default: the Go runtime's own limit (GOMEMLIMIT), if it has one.
	MemoryLimit int64

	// HandshakeTimeout bounds the time from accepting a connection to the end
	// of its handshake. Default 10 s.
	HandshakeTimeout time.Duration

	// Loops is the number of event loops. Default: one per processor that Go
	// may use.
	Loops int

	// Workers is the number of goroutines that write broadcasts, beside one that
	// serves small topics while those are busy. Default: one per processor that
	// Go may use. A program that does little else should have runtime.GOMAXPROCS
	// at Loops + Workers + 1, or one more with a Bus: who is in a system call, as
	// idle loops and busy workers are, keeps the processor that Go has lent it.
	// As many TLS handshakes are computed at a time.
	Workers int

	// OnWorkerThread, if there is one, is called by each of the Workers before it
	// begins, locked to a thread that stays its own: for settings of the kernel that
	// threads have, like scheduling.
	OnWorkerThread func()

	// Neighbours are the processes that share the machine's processors, and its
	// listening sockets, with this one. Default: none.
	Neighbours Neighbours

	// Bus joins this server with others, so that what is published in one
	// reaches the subscribers of all. Default: none.
	Bus Bus

	// Logger gets what an operator has to know; nothing per message. Default:
	// slog.Default().
	Logger *slog.Logger
}

// Neighbours are processes that share a machine's processors. While a large fan-out is under way
// in any of them, a Server accepts connections a little later, many at a time; and while there are
// messages for small topics, large fan-outs give way to what else is to run. The
// methods are called by many goroutines, often, with locks held: they must not block.
type Neighbours interface {
	// SetBusy tells the others whether one is under way in this process.
	SetBusy(busy bool)
	// Busy reports whether one is in any of them.
	Busy() bool
	// Hurry tells the others of a message for a small topic.
	Hurry()
	// Hurried reports whether one of them has had one a moment ago, this one included.
	Hurried() bool
}

// SlowPolicy says what becomes of a reader whose backlog is full.
type SlowPolicy = broadcast.Policy

const (
	// Disconnect ends the connection with close code 1008: the reader knows
	// that it has missed something, and can come back.
	Disconnect = broadcast.Disconnect
	// DropOldest throws away the oldest messages that wait: the reader has gaps
	// and doesn't know.
	DropOldest = broadcast.DropOldest
	// DropNewest throws away the messages that come, likewise.
	DropNewest = broadcast.DropNewest
)

// Endpoint is what happens to the connections of one path. Every function may
// be nil. See the package comment for what they may do.
type Endpoint struct {
	// OnOpen is called when the handshake is valid, before it is answered. It
	// may subscribe, send (which arrives after the answer), and set the
	// connection's session. An error refuses the connection: with the status
	// of a Refuse, with 500 otherwise; no other function is called then.
	OnOpen func(c *Conn, r *Request) error

	// OnText and OnBinary are called for each message, in order. Text is valid
	// UTF-8. The bytes are valid until the function returns.
	OnText   func(c *Conn, text []byte)
	OnBinary func(c *Conn, data []byte)

	// OnDead is called when keepalive has found the peer gone without a word,
	// just before OnClose.
	OnDead func(c *Conn)

	// OnClose is called once for each connection that OnOpen let in, last:
	// with the code and reason of the peer's close frame if it sent one, of
	// the server's otherwise; code 1005 means that the peer gave none, 1006
	// that the connection broke.
	OnClose func(c *Conn, code uint16, reason string)

	// Subprotocols are the subprotocols the endpoint speaks. The first that
	// the client asks for and that is among them is agreed on.
	Subprotocols []string

	// Keepalive is the time of silence after which a peer is pinged; a peer
	// that says nothing for as long again is dead. It is kept to within a
	// quarter. 0, the default, turns it off; at least a second otherwise.
	Keepalive time.Duration

	// Ping, if there is one, is called instead of sending a ping frame, for
	// protocols that have a message for that: every Keepalive, whether the peer
	// was silent or not. Whatever the peer sends is an answer.
	Ping func(c *Conn)

	// SlowPolicy says what happens to readers that don't keep up. Default:
	// Disconnect.
	SlowPolicy SlowPolicy
}

const minKeepalive = time.Second

// withDefaults returns a checked copy of c with every field set.
func (c Config) withDefaults() (Config, error) {
	c.Endpoints = maps.Clone(c.Endpoints)
	c.Origins = slices.Clone(c.Origins)
	c.TrustedProxies = slices.Clone(c.TrustedProxies)
	for path, ep := range c.Endpoints {
		ep.Subprotocols = slices.Clone(ep.Subprotocols)
		c.Endpoints[path] = ep
		switch {
		case !strings.HasPrefix(path, "/"):
			return c, fmt.Errorf("hubbub: endpoint %q: a path starts with /", path)
		case ep.Keepalive != 0 && ep.Keepalive < minKeepalive:
			return c, fmt.Errorf("hubbub: endpoint %s: Keepalive is %v; it is 0 for none, or at least %v", path, ep.Keepalive, minKeepalive)
		case ep.Ping != nil && ep.Keepalive == 0:
			return c, fmt.Errorf("hubbub: endpoint %s: Ping needs a Keepalive", path)
		case ep.SlowPolicy > DropNewest:
			return c, fmt.Errorf("hubbub: endpoint %s: unknown SlowPolicy %d", path, ep.SlowPolicy)
		}
	}
	for _, o := range c.Origins {
		if err := CheckOrigin(o); err != nil {
			return c, fmt.Errorf("hubbub: Origins: %w", err)
		}
	}
	if c.ProxyProtocol && len(c.TrustedProxies) == 0 {
		return c, errors.New("hubbub: ProxyProtocol needs TrustedProxies: anybody else could claim any address")
	}
	procs := runtime.GOMAXPROCS(0)
	err := setDefault("MemoryLimit", &c.MemoryLimit, memoryLimit())
	keep := 64 << 20
	if c.MemoryLimit > 0 {
		keep = int(min(int64(keep), c.MemoryLimit/8))
	}
	err = errors.Join(err,
		setDefault("MaxHTTP", &c.MaxHTTP, 1000),
		setDefault("MaxConns", &c.MaxConns, connsAllowed()),
		setDefault("MaxConnsPerIP", &c.MaxConnsPerIP, 0),
		setDefault("MaxHandshakes", &c.MaxHandshakes, 8192),
		setDefault("MessageRate", &c.MessageRate, 0),
		setDefault("ByteRate", &c.ByteRate, 0),
		setDefault("RateBurst", &c.RateBurst, 5*time.Second),
		setDefault("CompressMin", &c.CompressMin, 256),
		setDefault("MaxMessage", &c.MaxMessage, 64<<10),
		setDefault("MaxBacklog", &c.MaxBacklog, 1<<20),
		setDefault("KeepMessages", &c.KeepMessages, 100),
		setDefault("KeepBytes", &c.KeepBytes, keep),
		setDefault("MaxPending", &c.MaxPending, 64<<20),
		setDefault("HandshakeTimeout", &c.HandshakeTimeout, 10*time.Second),
		setDefault("Loops", &c.Loops, procs),
		setDefault("Workers", &c.Workers, procs),
	)
	if c.HTTP == nil {
		c.HTTP = http.NotFoundHandler()
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c, err
}

// CheckOrigin reports what is wrong with an entry of Config.Origins.
func CheckOrigin(pattern string) error { return wire.CheckOriginPattern(pattern) }

func setDefault[T int | int64 | time.Duration](name string, field *T, value T) error {
	if *field < 0 {
		return fmt.Errorf("hubbub: %s is %v; it must not be negative", name, *field)
	}
	if *field == 0 {
		*field = value
	}
	return nil
}
