package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	catchUpTimeout = 5 * time.Second
	// maxCatchUp is how many entries are read at most that were missed: whoever follows has to start anew rather
	// than wait for more.
	maxCatchUp = 10_000
)

// Follow has f told of all entries from now on. It is called once.
func (l *Log) Follow(ctx context.Context, f Follower) error {
	l.following.Lock()
	defer l.following.Unlock()
	l.follower = f
	sub, err := l.bus.nc.Subscribe(l.republished(), l.onLive)
	if err == nil {
		err = sub.SetPendingLimits(-1, pendingBytes)
	}
	if err == nil {
		err = l.bus.nc.Flush()
	}
	if err != nil {
		return l.failed("following", err)
	}
	l.live = sub
	info, err := l.info(ctx)
	if err != nil {
		return err
	}
	l.seen = info.State.LastSeq
	l.bus.onGap(l.lookBack)
	return nil
}

// onLive gets what is republished.
func (l *Log) onLive(m *nats.Msg) {
	e, err := l.entry(m, m.Subject)
	if err != nil {
		l.bus.cfg.OnError(err)
		return
	}
	l.following.Lock()
	defer l.following.Unlock()
	if e.Offset > l.seen+1 {
		l.catchUp(e.Offset)
	}
	if e.Offset > l.seen {
		l.seen = e.Offset
		l.tell(e)
	}
}

// tell tells the follower of an entry, unless that is an anchor.
func (l *Log) tell(e Entry) {
	if e.Channel != "" {
		l.follower.Follow(e)
	}
}

// begin has the follower begin anew where the stream is now: another epoch has begun.
func (l *Log) begin(info *jetstream.StreamInfo) {
	l.following.Lock()
	defer l.following.Unlock()
	l.seen = info.State.LastSeq
	if l.follower != nil {
		l.follower.Missed("")
	}
}

// lookBackAgain is how long it takes until a log that can't be asked is asked again.
const lookBackAgain = time.Second

// lookBack finds out what the follower has missed: the connection was lost, or messages were.
func (l *Log) lookBack() {
	ctx, cancel := context.WithTimeout(context.Background(), catchUpTimeout)
	defer cancel()
	seen := l.offset()
	info, err := l.info(ctx)
	if errors.Is(err, jetstream.ErrStreamNotFound) { // NATS has lost it
		if err = l.create(ctx, false); err == nil {
			err = l.Anchor(ctx)
		}
		if err == nil {
			info, err = l.info(ctx)
		}
	}
	if err == nil && info.State.LastSeq < seen && !l.isNew(info) { // it has lost the end: others get these offsets
		if err = l.create(ctx, true); err == nil {
			info, err = l.info(ctx)
		}
	}
	switch {
	case l.bus.nc.IsClosed():
	case err != nil:
		l.bus.cfg.OnError(err)
		time.AfterFunc(lookBackAgain, l.lookBack)
	case l.adopt(info):
		l.begin(info)
	default:
		l.following.Lock()
		defer l.following.Unlock()
		if info.State.LastSeq > l.seen {
			l.catchUp(info.State.LastSeq)
		}
	}
}

// offset is the last one that the follower knows of.
func (l *Log) offset() uint64 {
	l.following.Lock()
	defer l.following.Unlock()
	return l.seen
}

// catchUp tells the follower of the entries that it hasn't been told of, up to an offset at least.
func (l *Log) catchUp(to uint64) {
	ctx, cancel := context.WithTimeout(context.Background(), catchUpTimeout)
	defer cancel()
	entries, err := l.after(ctx, l.seen)
	if err != nil {
		l.bus.cfg.OnError(err)
		l.seen = max(l.seen, to)
		l.follower.Missed("")
		return
	}
	// One that isn't there was displaced by so many newer ones of its channel as are kept, which are there. Otherwise it
	// is not known what is missing.
	absent := int(to - min(to, l.seen))
	count := make(map[string]int)
	for _, e := range entries {
		if e.Offset <= to {
			absent--
		}
		count[e.Channel]++
	}
	keep := l.kept()
	for channel, n := range count {
		if channel != "" && n > keep { // there may have been more
			l.follower.Missed(channel)
			count[channel], absent = -1, 0
		}
	}
	if absent > 0 {
		l.follower.Missed("")
	}
	for _, e := range entries {
		if count[e.Channel] >= 0 {
			l.tell(e)
		}
		l.seen = e.Offset
	}
	l.seen = max(l.seen, to)
}

// after reads all entries after an offset.
func (l *Log) after(ctx context.Context, offset uint64) ([]Entry, error) {
	entries, _, err := l.read(ctx, l.subject(">"), offset+1, maxCatchUp+1)
	if err != nil {
		return nil, err
	}
	if len(entries) > maxCatchUp {
		return nil, fmt.Errorf("bus: over %d entries of the log %s were missed", maxCatchUp, l.stream)
	}
	return entries, nil
}
