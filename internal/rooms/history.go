package rooms

import (
	"cmp"
	"slices"
	"time"

	"github.com/centrifugal/protocol"
)

// log returns the log of a channel's namespace, nil if there is none.
func (r *Rooms) log(channel string) Log { return r.cfg.Logs[namespaceOf(channel)] }

// append publishes in a channel that has a log. done is called when that has taken it, with its offset.
func (r *Rooms) append(channel, key string, pub *protocol.Publication, done func(offset uint64, err *protocol.Error)) {
	data, err := pub.MarshalVT()
	if err != nil {
		r.complain("a publication could not be encoded", err)
		done(0, errInternal)
		return
	}
	r.log(channel).Append(channel, key, data, func(offset uint64, err error) {
		if err != nil {
			r.stats.unstored.Add(1)
			r.complain("a publication could not be stored", err)
			done(0, errNotStored)
			return
		}
		r.stats.published.Add(1)
		r.acknowledged(channel, offset)
		done(offset, nil)
	})
}

// maxHistory is how much of a history is sent at a time, in bytes: clients ask for the rest.
const maxHistory = 256 << 10

func (t *turn) history(id uint32, req *protocol.HistoryRequest) {
	c := t.client
	t.spent += costOfPast
	ns, err := c.rooms.namespace(req.Channel)
	log := c.rooms.log(req.Channel)
	switch {
	case err != nil:
	case log == nil || ns.History == "" || ns.History == Nobody:
		err = errNotAvailable
	case !ns.History.allows(c, c.in(req.Channel) != nil) || ns.Binary && c.format == formatJSON:
		err = errDenied
	}
	if err != nil {
		t.fail(id, err)
		return
	}
	want := spanOf(req)
	t.consult(own(req.Channel), log, want, func(t *turn, ch *channel, err error) func() {
		if err != nil {
			t.fail(id, problemOf(err))
			return nil
		}
		result, problem := want.of(ch.past, ns)
		if problem != nil {
			t.fail(id, problem)
			return nil
		}
		t.reply(&protocol.Reply{Id: id, History: result})
		return nil
	})
}

// span is which part of a history is asked for.
type span struct {
	limit   int // below 0 for all; at 0 only the channel's position is wanted
	reverse bool
	since   *protocol.StreamPosition // before it if reverse, after it otherwise; nil for the end
	patience
}

func spanOf(req *protocol.HistoryRequest) *span {
	s := &span{limit: int(req.Limit), reverse: req.Reverse}
	if req.Since != nil {
		s.since = &protocol.StreamPosition{Offset: req.Since.Offset, Epoch: own(req.Since.Epoch)}
	}
	return s
}

func (s *span) enough(*past) bool { return s.limit == 0 }

func (s *span) ahead(p *past) bool {
	return s.since != nil && !s.reverse && s.since.Epoch == p.epoch && s.since.Offset > p.top
}

// of returns that part, and where the channel is.
func (s *span) of(p *past, ns Namespace) (*protocol.HistoryResult, *protocol.Error) {
	if s.since != nil && s.since.Epoch != "" && s.since.Epoch != p.epoch {
		return nil, errUnrecoverable
	}
	result := &protocol.HistoryResult{Epoch: p.epoch, Offset: p.top}
	if s.limit != 0 {
		all, _ := p.since(0, "", ns.oldest(time.Now()))
		result.Publications = s.cut(all)
	}
	return result, nil
}

// cut returns the part of all publications, in the order that was asked for.
func (s *span) cut(all []*protocol.Publication) []*protocol.Publication {
	if s.since != nil {
		first, found := slices.BinarySearchFunc(all, s.since.Offset, func(pub *protocol.Publication, offset uint64) int {
			return cmp.Compare(pub.Offset, offset)
		})
		switch {
		case s.reverse:
			all = all[:first]
		case found:
			all = all[first+1:]
		default:
			all = all[first:]
		}
	}
	if s.reverse {
		all = slices.Clone(all)
		slices.Reverse(all)
	}
	if s.limit > 0 {
		all = all[:min(s.limit, len(all))]
	}
	bytes := 0
	for i, pub := range all {
		if bytes += pub.SizeVT(); bytes > maxHistory && i > 0 {
			return all[:i]
		}
	}
	return all
}
