package bus

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// LogConfig says what a Log keeps.
type LogConfig struct {
	Name     string // several may share a bus
	Keep     int    // entries of each channel; the oldest go first
	MaxAge   time.Duration
	MaxBytes int64 // of all channels; the oldest go first; 0 for no limit
	Replicas int   // servers of the cluster that keep it; 0 is 1
}

// Entry is something that a Log has taken.
type Entry struct {
	Channel string
	Offset  uint64 // its place among all entries of the log, from 1: a channel's offsets grow, with gaps
	Time    time.Time
	Data    []byte // belong to who gets the entry; empty if all that the channel had before was removed
}

// Past is what a Log has of a channel.
type Past struct {
	// Epoch tells lives of the log apart: offsets of another mean nothing in this one.
	Epoch string
	// Whole is the offset after which nothing of the channel is missing in Entries.
	Whole uint64
	// Gone is the offset of the last one that is known to have been there and to be missing, 0 for none. It is at most
	// Whole, which is as far as others may be missing for all that is known.
	Gone uint64
	// End is an offset that nothing of the channel lies beyond, but for what Follow tells of.
	End uint64
	// Entries are in order of their offsets.
	Entries []Entry
}

// Follower gets what a Log takes. Its methods are called one at a time.
type Follower interface {
	// Follow gets the entries in order of their offsets, from all processes, each once.
	Follow(e Entry)
	// Missed says that there may have been entries of a channel that Follow won't be called with, of
	// any channel if it is "".
	Missed(channel string)
}

// Log keeps the last entries of each of many channels, in one order for all, in a JetStream stream. Every
// process that follows it gets what is republished of it; what that lacks is read from the stream.
type Log struct {
	bus    *NATS
	cfg    LogConfig
	stream string // its name
	js     jetstream.JetStream

	following sync.Mutex // held while the follower is called, and to find out what it has missed
	follower  Follower
	seen      uint64 // the last offset that the follower knows of; guarded by following
	live      *nats.Subscription

	mu    sync.Mutex // guards what follows
	epoch string
	keep  int
}

// CreateLog makes a log, or gives one that is there another LogConfig. With lost, it begins a new epoch: the
// machine may have lost the last entries, so that others get their offsets.
func (b *NATS) CreateLog(ctx context.Context, cfg LogConfig, lost bool) (*Log, error) {
	l, err := b.log(cfg)
	if err != nil {
		return nil, err
	}
	if err := l.create(ctx, lost); err != nil {
		return nil, err
	}
	info, err := l.info(ctx)
	if err != nil {
		return nil, err
	}
	l.adopt(info)
	return l, l.Anchor(ctx)
}

func (l *Log) create(ctx context.Context, lost bool) error {
	want := l.config()
	s, err := l.look(ctx)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		_, err = l.js.CreateStream(ctx, want)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another server was faster
			return nil
		}
		if err != nil {
			return l.failed("creating", err)
		}
		return nil
	case err != nil:
		return l.failed("looking for", err)
	}
	have := s.CachedInfo().Config
	if have.MaxMsgsPerSubject == want.MaxMsgsPerSubject && !lost {
		want.Description = have.Description // with its epoch
	}
	if _, err := l.js.UpdateStream(ctx, want); err != nil {
		return l.failed("changing", err)
	}
	return nil
}

// Anchor appends an entry to no channel. The stream's first entry is what tells since when none has been
// removed for its age or for want of room: without an anchor among the oldest it would also grow where a
// channel's new entries take the place of its old ones. It is to be called several times in MaxAge.
func (l *Log) Anchor(ctx context.Context) error {
	if _, err := l.append(ctx, ""); err != nil {
		return l.failed("appending to", err)
	}
	return nil
}

// append adds an empty entry, and waits for that.
func (l *Log) append(ctx context.Context, channel string) (offset uint64, err error) {
	type answer struct {
		offset uint64
		err    error
	}
	answered := make(chan answer, 1)
	l.Append(channel, "", nil, func(offset uint64, err error) { answered <- answer{offset, err} })
	select {
	case a := <-answered:
		return a.offset, a.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// OpenLog returns a log that has been created.
func (b *NATS) OpenLog(ctx context.Context, cfg LogConfig) (*Log, error) {
	l, err := b.log(cfg)
	if err != nil {
		return nil, err
	}
	info, err := l.info(ctx)
	if err != nil {
		return nil, err
	}
	l.adopt(info)
	return l, nil
}

func (b *NATS) log(cfg LogConfig) (*Log, error) {
	js, err := jetstream.New(b.nc)
	if err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	// Dots part the tokens of subjects; names of streams mustn't have any.
	return &Log{bus: b, cfg: cfg, js: js, stream: token(b.subject("log") + "." + cfg.Name)}, nil
}

// epochMark is what comes before the epoch in the stream's description, where all versions of NATS keep it.
const epochMark = "epoch "

func (l *Log) config() jetstream.StreamConfig {
	c := jetstream.StreamConfig{
		Name:              l.stream,
		Description:       "hubbub: what was published in channels; " + epochMark + rand.Text()[:8],
		Subjects:          []string{l.subject(">")},
		Discard:           jetstream.DiscardOld,
		MaxMsgsPerSubject: int64(l.cfg.Keep) + 1, // the oldest tells whether something before it is gone
		MaxAge:            l.cfg.MaxAge,
		MaxBytes:          l.cfg.MaxBytes,
		Replicas:          l.cfg.Replicas,
		Duplicates:        keyWindow,
		AllowDirect:       true,
		RePublish:         &jetstream.RePublish{Source: l.subject(">"), Destination: l.republished()},
	}
	if l.cfg.MaxBytes == 0 {
		c.MaxBytes = -1
	}
	if l.cfg.MaxAge > 0 {
		c.Duplicates = min(c.Duplicates, l.cfg.MaxAge) // or it is refused
	}
	return c
}

// The subjects of a channel.
func (l *Log) subject(channel string) string {
	return l.bus.subject("log." + token(l.cfg.Name) + "." + channel)
}
func (l *Log) republished() string { return l.bus.subject("live." + token(l.cfg.Name) + ".>") }

// adopt takes over what the stream says of itself, and reports whether it is another one than before.
func (l *Log) adopt(info *jetstream.StreamInfo) (changed bool) {
	epoch := epochOf(info)
	l.mu.Lock()
	defer l.mu.Unlock()
	changed = epoch != l.epoch
	l.epoch, l.keep = epoch, int(info.Config.MaxMsgsPerSubject)-1
	return changed
}

// isNew reports whether the stream is in another epoch than is known.
func (l *Log) isNew(info *jetstream.StreamInfo) bool { return epochOf(info) != l.Epoch() }

func epochOf(info *jetstream.StreamInfo) string {
	_, epoch, ok := strings.Cut(info.Config.Description, epochMark)
	if !ok { // somebody has described it better
		epoch = strconv.FormatInt(info.Created.UnixMicro(), 36)
	}
	return epoch
}

// MaxAge is how old entries get, 0 for any age.
func (l *Log) MaxAge() time.Duration { return l.cfg.MaxAge }

// Epoch returns the log's epoch, as far as it is known.
func (l *Log) Epoch() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.epoch
}

// lookTimeout is how long NATS has to answer before it is asked again: it doesn't answer every question about a stream that is
// just being made.
const lookTimeout = time.Second

// look looks for the stream.
func (l *Log) look(ctx context.Context) (jetstream.Stream, error) {
	for {
		short, cancel := context.WithTimeout(ctx, lookTimeout)
		s, err := l.js.Stream(short, l.stream)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			return s, err
		}
	}
}

func (l *Log) info(ctx context.Context) (*jetstream.StreamInfo, error) {
	s, err := l.look(ctx)
	if err != nil {
		return nil, l.failed("looking for", err)
	}
	return s.CachedInfo(), nil
}

func (l *Log) failed(doing string, err error) error {
	if errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) || errors.Is(err, nats.ErrNoResponders) {
		err = fmt.Errorf("the NATS server has no JetStream: start it with -js, or keep no history (%w)", err)
	}
	return fmt.Errorf("bus: %s the log %s: %w", doing, l.stream, err)
}

// keyWindow is for how long an entry's key keeps another one with the same from being taken.
const keyWindow = 5 * time.Minute

// Append adds an entry, and calls done when it is stored, or has failed to be. An entry with the key of one that
// was added to the channel lately isn't added: done gets the other's offset; "" is no key.
func (l *Log) Append(channel, key string, data []byte, done func(offset uint64, err error)) {
	if err := l.bus.room(); err != nil {
		done(0, err)
		return
	}
	m := &nats.Msg{Subject: l.subject(token(channel)), Data: data}
	if key != "" {
		sum := sha256.Sum256([]byte(channel + "\x00" + key))
		m.Header = nats.Header{jetstream.MsgIDHeader: []string{base64.RawURLEncoding.EncodeToString(sum[:])}}
	}
	l.bus.acks.send(m, done)
}

// Remove takes what a channel has out of the log, up to an offset. What is appended meanwhile stays.
func (l *Log) Remove(ctx context.Context, channel string) (last uint64, err error) {
	s, err := l.look(ctx)
	if err != nil {
		return 0, l.failed("looking for", err)
	}
	last, err = l.append(ctx, channel) // which stays, so that it is known that others are missing
	if err == nil {
		err = s.Purge(ctx, jetstream.WithPurgeSubject(l.subject(token(channel))), jetstream.WithPurgeSequence(last))
	}
	if err != nil {
		return 0, l.failed("removing from", err)
	}
	return last, nil
}
