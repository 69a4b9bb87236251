package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// Read returns what the log has of a channel.
func (l *Log) Read(ctx context.Context, channel string) (Past, error) {
	before, err := l.info(ctx)
	if err != nil {
		return Past{}, err
	}
	if l.adopt(before) {
		l.begin(before)
	}
	keep := l.kept()
	subject := l.subject(token(channel))
	entries, parts, err := l.read(ctx, subject, 1, keep+1)
	if err != nil {
		return Past{}, err
	}
	var gone uint64
	if parts > 1 {
		// Between two of them, newer entries may have taken the place of the next ones: what is in one piece begins
		// with the oldest that is still there.
		oldest, _, err := l.read(ctx, subject, 1, 1)
		if err != nil {
			return Past{}, err
		}
		for len(entries) > 0 && (len(oldest) == 0 || entries[0].Offset < oldest[0].Offset) {
			gone, entries = entries[0].Offset, entries[1:]
		}
		if gone > 0 && len(oldest) > 0 {
			gone = oldest[0].Offset - 1
		}
	}
	if l.cfg.Replicas > 1 {
		if err := l.upToDate(ctx, subject, entries); err != nil {
			return Past{}, err
		}
	}
	after, err := l.info(ctx)
	if err != nil {
		return Past{}, err
	}
	if l.adopt(after) {
		l.begin(after)
		return Past{}, errors.New("bus: the log has changed while it was read")
	}
	p := Past{Epoch: l.Epoch(), End: before.State.LastSeq, Entries: entries, Whole: gone, Gone: gone}
	if len(entries) > keep { // others were before it
		p.Whole, p.Gone = entries[0].Offset, entries[0].Offset
		p.Entries = entries[len(entries)-keep:]
	} else if after.State.FirstSeq > 0 {
		p.Whole = max(p.Whole, after.State.FirstSeq-1)
	}
	for i := len(p.Entries) - 1; i >= 0; i-- {
		if len(p.Entries[i].Data) == 0 {
			p.Gone, p.Entries = p.Entries[i].Offset, p.Entries[i+1:]
			p.Whole = max(p.Whole, p.Gone)
			break
		}
	}
	if n := len(entries); n > 0 {
		p.End = max(p.End, entries[n-1].Offset)
	}
	return p, nil
}

// kept is how many entries of a channel are kept, as far as that is known.
func (l *Log) kept() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.keep
}

// upToDate returns an error if the leader has later entries: any of the servers that keep the log answers reads.
func (l *Log) upToDate(ctx context.Context, subject string, entries []Entry) error {
	request, err := json.Marshal(map[string]string{"last_by_subj": subject})
	if err != nil {
		return err
	}
	m, err := l.bus.nc.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+l.stream, request)
	if err != nil {
		return l.failed("reading", err)
	}
	var answer struct {
		Message struct {
			Seq uint64 `json:"seq"`
		} `json:"message"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return l.failed("reading", err)
	}
	if last := answer.Message.Seq; last > 0 && (len(entries) == 0 || entries[len(entries)-1].Offset < last) {
		return fmt.Errorf("bus: a replica of the log %s is behind", l.stream)
	}
	return nil
}

// readBytes is about how much is read at a time.
const readBytes = 4 << 20

// read reads at most n entries of a subject from an offset on, in so many parts: NATS answers with as many at once as it
// likes; before version 2.11 with one.
func (l *Log) read(ctx context.Context, subject string, from uint64, n int) (entries []Entry, parts int, err error) {
	inbox := l.bus.nc.NewInbox()
	sub, err := l.bus.nc.SubscribeSync(inbox)
	if err != nil {
		return nil, 0, l.failed("reading", err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	for len(entries) < n {
		parts++
		request := fmt.Appendf(nil, `{"seq":%d,"next_by_subj":%q,"batch":%d,"max_bytes":%d}`, from, subject, n-len(entries), readBytes)
		if err := l.bus.nc.PublishRequest("$JS.API.DIRECT.GET."+l.stream, inbox, request); err != nil {
			return nil, 0, l.failed("reading", err)
		}
		for {
			m, err := sub.NextMsgWithContext(ctx)
			if err != nil {
				return nil, 0, l.failed("reading", err)
			}
			switch status := m.Header.Get("Status"); {
			case status == "404":
				return entries, parts, nil
			case status == "204" && m.Header.Get("Nats-Num-Pending") == "0":
				return entries, parts, nil
			case status == "204": // there are more than it sends at a time
			case status != "":
				return nil, 0, l.failed("reading", fmt.Errorf("%s %s", status, m.Header.Get("Description")))
			default:
				e, err := l.entry(m, m.Header.Get("Nats-Subject"))
				if err != nil {
					return nil, 0, err
				}
				entries, from = append(entries, e), e.Offset+1
				if m.Header.Get("Nats-Num-Pending") != "" {
					continue
				}
			}
			break
		}
	}
	return entries, parts, nil
}

// entry reads an entry from what NATS sends of it.
func (l *Log) entry(m *nats.Msg, subject string) (e Entry, err error) {
	if e.Offset, err = strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64); err != nil {
		return e, l.failed("reading", err)
	}
	if stamp := m.Header.Get("Nats-Time-Stamp"); stamp != "" { // republished ones have none before version 2.10
		if e.Time, err = time.Parse(time.RFC3339Nano, stamp); err != nil {
			return e, l.failed("reading", err)
		}
	} else {
		e.Time = time.Now()
	}
	e.Channel, err = untoken(subject[strings.LastIndexByte(subject, '.')+1:])
	e.Data = m.Data
	return e, err
}
