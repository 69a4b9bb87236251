package rooms

import (
	"context"
	"maps"
	"math"
	"slices"

	"github.com/centrifugal/protocol"
)

// present calls each with every member that a channel has in this process, and returns how many that are.
// Of more than most it calls for none.
func (r *Rooms) present(name string, most int, each func(*subscription)) int {
	sh := r.shardOf(name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	ch := sh.channels[name]
	if ch == nil {
		return 0
	}
	if len(ch.members) <= most {
		for _, s := range ch.members {
			each(s)
		}
	}
	return len(ch.members)
}

// list returns who of this process is in a channel, by client, and how many they are: if that is more than
// MaxPresence, the list is empty.
func (r *Rooms) list(name string) (map[string]*protocol.ClientInfo, int) {
	all := make(map[string]*protocol.ClientInfo)
	n := r.present(name, r.cfg.MaxPresence, func(s *subscription) {
		info := s.info()
		all[info.Client] = info
	})
	return all, n
}

// presence answers who is in a channel, in all processes.
func (r *Rooms) presence(ctx context.Context, id uint32, channel string) *protocol.Reply {
	tooMany := &protocol.Reply{Id: id, Error: errLimit}
	if r.cfg.Peers == nil {
		all, n := r.list(channel)
		if n > r.cfg.MaxPresence {
			return tooMany
		}
		return &protocol.Reply{Id: id, Presence: &protocol.PresenceResult{Presence: all}}
	}
	answers, err := r.cfg.Peers.Ask(ctx, namePresence, []byte(channel))
	if err != nil {
		return r.unanswered(id, err)
	}
	all := make(map[string]*protocol.ClientInfo)
	for _, a := range answers {
		var p protocol.PresenceResult
		if len(a) == 0 {
			return tooMany
		}
		if err := p.UnmarshalVT(a[1:]); err != nil {
			return r.unanswered(id, err)
		}
		maps.Copy(all, p.Presence)
	}
	if len(all) > r.cfg.MaxPresence {
		return tooMany
	}
	return &protocol.Reply{Id: id, Presence: &protocol.PresenceResult{Presence: all}}
}

// answerPresence answers another process: with a zero and the list, or with nothing if that is too long.
func (r *Rooms) answerPresence(channel []byte) []byte {
	all, n := r.list(string(channel))
	if n > r.cfg.MaxPresence {
		return nil
	}
	list, err := (&protocol.PresenceResult{Presence: all}).MarshalVT()
	if err != nil {
		r.complain("who is in a channel could not be told", err)
		return nil
	}
	return append([]byte{0}, list...)
}

// crowd counts those who are in a channel.
type crowd struct {
	Clients int      `json:"clients"`
	Users   []string `json:"users"` // by name, where there are no more than maxUsers
	More    int      `json:"more"`  // otherwise; who is in several processes counts several times then
}

// maxUsers is how many users a process tells the others by name.
const maxUsers = 10_000

func (r *Rooms) count(name string) (c crowd) {
	users := make(map[string]bool)
	c.Clients = r.present(name, math.MaxInt, func(s *subscription) { users[s.client.user()] = true })
	if len(users) > maxUsers {
		c.More = len(users)
		return c
	}
	c.Users = slices.Collect(maps.Keys(users))
	return c
}

// presenceStats answers how many are in a channel, in all processes.
func (r *Rooms) presenceStats(ctx context.Context, id uint32, channel string) *protocol.Reply {
	var crowds []crowd
	if err := askAll(ctx, r, nameStats, []byte(channel), r.answerStats, func(c crowd) { crowds = append(crowds, c) }); err != nil {
		return &protocol.Reply{Id: id, Error: err}
	}
	var clients, more int
	users := make(map[string]bool)
	for _, c := range crowds {
		clients += c.Clients
		more += c.More
		for _, u := range c.Users {
			users[u] = true
		}
	}
	return &protocol.Reply{Id: id, PresenceStats: &protocol.PresenceStatsResult{NumClients: uint32(clients), NumUsers: uint32(len(users) + more)}}
}

// answerStats answers another process.
func (r *Rooms) answerStats(channel []byte) []byte { return encoded(r.count(string(channel))) }

// unanswered answers a question that not all processes have answered.
func (r *Rooms) unanswered(id uint32, err error) *protocol.Reply {
	r.complain("who is in a channel could not be asked everywhere", err)
	return &protocol.Reply{Id: id, Error: errInternal}
}
