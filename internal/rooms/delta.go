package rooms

import (
	"unicode/utf8"

	"github.com/centrifugal/protocol"
	fdelta "github.com/shadowspore/fossil-delta"
)

// asDeltas returns publications as subscribers get them who want deltas: each is the difference to the one before, the
// first is whole.
func asDeltas(f format, all []*protocol.Publication) []*protocol.Publication {
	out := make([]*protocol.Publication, len(all))
	var before *protocol.Publication
	for i, pub := range all {
		out[i] = asDelta(f, before, pub)
		before = pub
	}
	return out
}

// asDelta returns a publication as the difference to the one before, if there is one and that is shorter. In JSON, who wants
// deltas gets all data as strings.
func asDelta(f format, before, pub *protocol.Publication) *protocol.Publication {
	d := &protocol.Publication{Data: pub.Data, Info: pub.Info, Offset: pub.Offset, Tags: pub.Tags}
	if before != nil {
		difference := fdelta.Create(before.Data, pub.Data)
		// One may end in the middle of a character, which a string can't.
		if len(difference) < len(pub.Data) && (f == formatProtobuf || utf8.Valid(difference)) {
			d.Data, d.Delta = difference, true
		}
	}
	if f == formatJSON {
		d.Data = quoted(d.Data)
	}
	return d
}

// deliverDelta sends a publication, which is the last of its channel now, to those who want deltas. The lock of the channel's
// shard is held.
func (r *Rooms) deliverDelta(ch *channel, pub *protocol.Publication) {
	p := ch.past
	before := p.last
	p.last = pub
	for f := range formats {
		if r.server.SubscribersHere(f.topic(ch.name, deltas)) > 0 { // making a difference takes a while
			r.send(f, deltas, &protocol.Push{Channel: ch.name, Pub: asDelta(f, before, pub)})
		}
	}
	// Those who haven't had any publication get this one whole, and the next as a difference to it.
	var whole [formats][]byte
	for _, s := range p.fresh {
		if s.slot == gone || s.state != settledSub {
			continue
		}
		f := s.client.format
		if whole[f] == nil {
			push := &protocol.Push{Channel: ch.name, Pub: asDelta(f, nil, pub)}
			var err error
			if whole[f], err = f.append(nil, &protocol.Reply{Push: push}); err != nil {
				r.complain("a channel's message could not be encoded", err)
				return
			}
		}
		s.client.conn.SubscribeWith(f.topic(ch.name, deltas), f.message(), whole[f])
	}
	p.fresh = nil
}

// await has s wait for its first publication; the channel has so many members.
func (p *past) await(s *subscription, members int) {
	if len(p.fresh) > 2*members { // most have left
		still := p.fresh[:0]
		for _, o := range p.fresh {
			if o.slot != gone {
				still = append(still, o)
			}
		}
		clear(p.fresh[len(still):])
		p.fresh = still
	}
	p.fresh = append(p.fresh, s)
}
