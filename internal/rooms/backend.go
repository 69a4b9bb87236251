package rooms

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/centrifugal/protocol"
	"github.com/gobwas/glob"
)

// What backends can do: they may do everything, in all channels that have rules. Errors are those that clients know.

// Message is what a backend publishes.
type Message struct {
	Data        []byte            // JSON, or anything where the namespace is binary
	Tags        map[string]string // for the clients' use
	Key         string            // of two with the same in a channel with history, within five minutes, only one is published; "" for none
	SkipHistory bool              // it is sent to subscribers alone
}

// Publish publishes in a channel. The position is zero where there is no history.
func (r *Rooms) Publish(ctx context.Context, channel string, m Message) (protocol.StreamPosition, *protocol.Error) {
	ns, err := r.namespace(channel)
	switch {
	case err != nil:
		return protocol.StreamPosition{}, err
	case len(m.Data) == 0 || !ns.Binary && !(json.Valid(m.Data) && utf8.Valid(m.Data)):
		return protocol.StreamPosition{}, errBadRequest
	case m.SkipHistory && ns.Delta: // the next one would be a difference to something that not all have
		return protocol.StreamPosition{}, errBadRequest
	}
	pub := &protocol.Publication{Data: m.Data, Tags: m.Tags}
	if r.log(channel) == nil || m.SkipHistory {
		return protocol.StreamPosition{}, r.publish(channel, pub)
	}
	type outcome struct {
		offset uint64
		err    *protocol.Error
	}
	taken := make(chan outcome, 1)
	r.append(channel, m.Key, pub, func(offset uint64, err *protocol.Error) { taken <- outcome{offset, err} })
	select {
	case o := <-taken:
		return protocol.StreamPosition{Offset: o.offset, Epoch: r.log(channel).Epoch()}, o.err
	case <-ctx.Done():
		return protocol.StreamPosition{}, errInternal
	}
}

// Presence returns who is in a channel, by client.
func (r *Rooms) Presence(ctx context.Context, channel string) (map[string]*protocol.ClientInfo, *protocol.Error) {
	if err := r.hasPresence(channel); err != nil {
		return nil, err
	}
	reply := r.presence(ctx, 0, channel)
	if reply.Error != nil {
		return nil, reply.Error
	}
	return reply.Presence.Presence, nil
}

// PresenceStats returns how many are in a channel.
func (r *Rooms) PresenceStats(ctx context.Context, channel string) (clients, users uint32, err *protocol.Error) {
	if err := r.hasPresence(channel); err != nil {
		return 0, 0, err
	}
	reply := r.presenceStats(ctx, 0, channel)
	if reply.Error != nil {
		return 0, 0, reply.Error
	}
	return reply.PresenceStats.NumClients, reply.PresenceStats.NumUsers, nil
}

func (r *Rooms) hasPresence(channel string) *protocol.Error {
	ns, err := r.namespace(channel)
	if err == nil && (ns.Presence == "" || ns.Presence == Nobody) {
		return errNotAvailable
	}
	return err
}

// History returns publications of a channel, in the way that clients ask for them.
func (r *Rooms) History(ctx context.Context, name string, req *protocol.HistoryRequest) (*protocol.HistoryResult, *protocol.Error) {
	ns, problem := r.namespace(name)
	log := r.log(name)
	switch {
	case problem != nil:
		return nil, problem
	case log == nil:
		return nil, errNotAvailable
	}
	want := spanOf(req)
	type outcome struct {
		result *protocol.HistoryResult
		err    *protocol.Error
	}
	found := make(chan outcome, 1)
	r.consult(name, log, want, func(g func()) { g() }, func(ch *channel, err error) func() {
		if err != nil {
			found <- outcome{err: problemOf(err)}
			return nil
		}
		result, problem := want.of(ch.past, ns)
		if result != nil { // it is looked at without the lock
			result.Publications = slices.Clone(result.Publications)
		}
		found <- outcome{result, problem}
		return nil
	})
	select {
	case o := <-found:
		return o.result, o.err
	case <-ctx.Done():
		return nil, errInternal
	}
}

// RemoveHistory removes what was published in a channel so far.
func (r *Rooms) RemoveHistory(ctx context.Context, channel string) *protocol.Error {
	_, problem := r.namespace(channel)
	log := r.log(channel)
	switch {
	case problem != nil:
		return problem
	case log == nil:
		return errNotAvailable
	}
	last, err := log.Remove(ctx, channel)
	if err != nil {
		r.complain("a channel's history could not be removed", err)
		return errInternal
	}
	r.acknowledged(channel, last)
	return nil
}

// Channels returns the channels that somebody is subscribed to, and whose names fit a pattern (with * and ?, "" for all), with the
// number of subscribers.
func (r *Rooms) Channels(ctx context.Context, pattern string) (map[string]int, *protocol.Error) {
	if pattern != "" {
		if _, err := glob.Compile(pattern); err != nil {
			return nil, errBadRequest
		}
	}
	all := make(map[string]int)
	err := askAll(ctx, r, nameChannels, []byte(pattern), r.answerChannels, func(some map[string]int) {
		for name, n := range some {
			all[name] += n
		}
	})
	return all, err
}

func (r *Rooms) answerChannels(pattern []byte) []byte {
	fits := func(string) bool { return true }
	if len(pattern) > 0 {
		g, err := glob.Compile(string(pattern))
		if err != nil {
			return nil
		}
		fits = g.Match
	}
	found := make(map[string]int)
	for i := range r.shards {
		sh := &r.shards[i]
		sh.mu.Lock()
		for name, ch := range sh.channels {
			if len(ch.members) > 0 && fits(name) {
				found[name] = len(ch.members)
			}
		}
		sh.mu.Unlock()
	}
	return encoded(found)
}

// Info is what a process says of itself.
type Info struct {
	UID         string `json:"uid"`
	Name        string `json:"name"`
	Version     string `json:"version"`
	NumClients  int    `json:"num_clients"`
	NumUsers    int    `json:"num_users"`
	NumSubs     int    `json:"num_subs"`
	NumChannels int    `json:"num_channels"`
	Uptime      int    `json:"uptime"` // seconds
}

// Infos returns what all processes say of themselves.
func (r *Rooms) Infos(ctx context.Context) (all []Info, err *protocol.Error) {
	err = askAll(ctx, r, nameInfo, nil, r.answerInfo, func(one Info) { all = append(all, one) })
	return all, err
}

func (r *Rooms) answerInfo([]byte) []byte {
	info := Info{UID: r.uid, Name: r.cfg.Name, Version: r.cfg.Version, Uptime: int(time.Since(r.began).Seconds())}
	var mu sync.Mutex
	users := make(map[string]bool)
	r.each(func(c *client) {
		mu.Lock()
		defer mu.Unlock()
		info.NumClients++
		users[c.user()] = true
	})
	info.NumUsers = len(users)
	for i := range r.shards {
		sh := &r.shards[i]
		sh.mu.Lock()
		for _, ch := range sh.channels {
			if n := len(ch.members); n > 0 {
				info.NumChannels++
				info.NumSubs += n
			}
		}
		sh.mu.Unlock()
	}
	return encoded(info)
}

// askAll asks all processes, this one included, and calls each with their answers.
func askAll[T any](ctx context.Context, r *Rooms, name string, question []byte, answer func([]byte) []byte, each func(T)) *protocol.Error {
	var answers [][]byte
	if r.cfg.Peers == nil {
		answers = append(answers, answer(question))
	} else {
		var err error
		if answers, err = r.cfg.Peers.Ask(ctx, name, question); err != nil {
			r.complain("not all processes have answered", err)
			return errInternal
		}
	}
	for _, a := range answers {
		var v T
		if err := json.Unmarshal(a, &v); err != nil {
			r.complain("a process has answered what can't be read", err)
			return errInternal
		}
		each(v)
	}
	return nil
}

func encoded(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // numbers, strings and bytes
	}
	return text
}
