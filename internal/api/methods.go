package api

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/centrifugal/protocol"

	"hubbub/internal/rooms"
)

// empty is the result of what has none.
type empty struct{}

// content is what is published: Data, or B64Data where it isn't JSON.
type content struct {
	Data        json.RawMessage   `json:"data"`
	B64Data     []byte            `json:"b64data"`
	Tags        map[string]string `json:"tags"`
	Key         string            `json:"idempotency_key"`
	SkipHistory bool              `json:"skip_history"`
}

func (c *content) message() rooms.Message {
	m := rooms.Message{Data: c.Data, Tags: c.Tags, Key: c.Key, SkipHistory: c.SkipHistory}
	if len(c.B64Data) > 0 {
		m.Data = c.B64Data
	}
	return m
}

type publishRequest struct {
	Channel string `json:"channel"`
	content
}

// position is where a publication is in its channel's history, if there is one.
type position struct {
	Offset uint64 `json:"offset,omitempty"`
	Epoch  string `json:"epoch,omitempty"`
}

func (h *handler) publish(ctx context.Context, req *publishRequest) (any, *protocol.Error) {
	at, err := h.rooms.Publish(ctx, req.Channel, req.message())
	return position{at.Offset, at.Epoch}, err
}

type broadcastRequest struct {
	Channels []string `json:"channels"`
	content
}

type broadcastResult struct {
	Responses []answer `json:"responses"` // in the order of the channels
}

func (h *handler) broadcast(ctx context.Context, req *broadcastRequest) (any, *protocol.Error) {
	responses := make([]answer, len(req.Channels))
	var wg sync.WaitGroup
	places := make(chan struct{}, 64) // for those that wait for a history
	for i, channel := range req.Channels {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			at, err := h.rooms.Publish(ctx, channel, req.message())
			if err != nil {
				responses[i].Error = &failure{err.Code, err.Message}
				return
			}
			responses[i].Result = position{at.Offset, at.Epoch}
		})
	}
	wg.Wait()
	return broadcastResult{responses}, nil
}

// target says which connections are meant.
type target struct {
	User   string `json:"user"`
	Client string `json:"client"`
}

func (t target) of() rooms.Target { return rooms.Target{User: t.User, Client: t.Client} }

type subscribeRequest struct {
	target
	Channel string          `json:"channel"`
	Info    json.RawMessage `json:"info"`
	Data    json.RawMessage `json:"data"`
}

func (h *handler) subscribe(_ context.Context, req *subscribeRequest) (any, *protocol.Error) {
	return empty{}, h.rooms.Subscribe(req.of(), req.Channel, req.Info, req.Data)
}

type unsubscribeRequest struct {
	target
	Channel string `json:"channel"`
}

func (h *handler) unsubscribe(_ context.Context, req *unsubscribeRequest) (any, *protocol.Error) {
	return empty{}, h.rooms.Unsubscribe(req.of(), req.Channel)
}

type disconnectRequest struct {
	target
	Whitelist  []string `json:"whitelist"` // clients that stay
	Disconnect struct {
		Code   uint16 `json:"code"`
		Reason string `json:"reason"`
	} `json:"disconnect"`
}

func (h *handler) disconnect(_ context.Context, req *disconnectRequest) (any, *protocol.Error) {
	to := req.of()
	to.Except = req.Whitelist
	return empty{}, h.rooms.Disconnect(to, req.Disconnect.Code, req.Disconnect.Reason)
}

type refreshRequest struct {
	target
	Expired  bool            `json:"expired"`
	ExpireAt int64           `json:"expire_at"` // Unix time in seconds; 0 for never
	Info     json.RawMessage `json:"info"`
}

func (h *handler) refresh(_ context.Context, req *refreshRequest) (any, *protocol.Error) {
	var at time.Time
	switch {
	case req.Expired:
		at = time.Unix(0, 0)
	case req.ExpireAt != 0:
		at = time.Unix(req.ExpireAt, 0)
	}
	return empty{}, h.rooms.Refresh(req.of(), at, req.Info)
}

type channelRequest struct {
	Channel string `json:"channel"`
}

// person is a client as others see it.
type person struct {
	Client   string       `json:"client"`
	User     string       `json:"user"`
	ConnInfo protocol.Raw `json:"conn_info,omitempty"`
	ChanInfo protocol.Raw `json:"chan_info,omitempty"`
}

func personOf(i *protocol.ClientInfo) *person {
	if i == nil {
		return nil
	}
	p := &person{Client: i.Client, User: i.User, ConnInfo: i.ConnInfo}
	if json.Valid(i.ChanInfo) { // it is anything where the namespace is binary
		p.ChanInfo = i.ChanInfo
	}
	return p
}

type presenceResult struct {
	Presence map[string]*person `json:"presence"` // by client
}

func (h *handler) presence(ctx context.Context, req *channelRequest) (any, *protocol.Error) {
	present, err := h.rooms.Presence(ctx, req.Channel)
	result := presenceResult{make(map[string]*person, len(present))}
	for client, info := range present {
		result.Presence[client] = personOf(info)
	}
	return result, err
}

type presenceStatsResult struct {
	NumClients uint32 `json:"num_clients"`
	NumUsers   uint32 `json:"num_users"`
}

func (h *handler) presenceStats(ctx context.Context, req *channelRequest) (any, *protocol.Error) {
	clients, users, err := h.rooms.PresenceStats(ctx, req.Channel)
	return presenceStatsResult{clients, users}, err
}

type historyRequest struct {
	Channel string    `json:"channel"`
	Limit   int32     `json:"limit"` // 0 for the position alone, below 0 for all
	Since   *position `json:"since"`
	Reverse bool      `json:"reverse"`
}

type historyResult struct {
	Publications []publication `json:"publications"`
	Epoch        string        `json:"epoch"`
	Offset       uint64        `json:"offset"`
}

type publication struct {
	Data    json.RawMessage   `json:"data,omitempty"`
	B64Data []byte            `json:"b64data,omitempty"` // where Data wouldn't be JSON
	Info    *person           `json:"info,omitempty"`
	Offset  uint64            `json:"offset"`
	Tags    map[string]string `json:"tags,omitempty"`
	Time    int64             `json:"time,omitempty"` // Unix time in milliseconds
}

func (h *handler) history(ctx context.Context, req *historyRequest) (any, *protocol.Error) {
	ask := &protocol.HistoryRequest{Limit: req.Limit, Reverse: req.Reverse}
	if s := req.Since; s != nil {
		ask.Since = &protocol.StreamPosition{Offset: s.Offset, Epoch: s.Epoch}
	}
	found, err := h.rooms.History(ctx, req.Channel, ask)
	if err != nil {
		return nil, err
	}
	result := historyResult{make([]publication, len(found.Publications)), found.Epoch, found.Offset}
	for i, p := range found.Publications {
		result.Publications[i] = publication{Info: personOf(p.Info), Offset: p.Offset, Tags: p.Tags, Time: p.Time}
		if json.Valid(p.Data) {
			result.Publications[i].Data = json.RawMessage(p.Data)
		} else {
			result.Publications[i].B64Data = p.Data
		}
	}
	return result, nil
}

func (h *handler) historyRemove(ctx context.Context, req *channelRequest) (any, *protocol.Error) {
	return empty{}, h.rooms.RemoveHistory(ctx, req.Channel)
}

type channelsRequest struct {
	Pattern string `json:"pattern"`
}

type channelsResult struct {
	Channels map[string]channelInfo `json:"channels"`
}

type channelInfo struct {
	NumClients int `json:"num_clients"`
}

func (h *handler) channels(ctx context.Context, req *channelsRequest) (any, *protocol.Error) {
	all, err := h.rooms.Channels(ctx, req.Pattern)
	result := channelsResult{make(map[string]channelInfo, len(all))}
	for name, n := range all {
		result.Channels[name] = channelInfo{n}
	}
	return result, err
}

type infoResult struct {
	Nodes []rooms.Info `json:"nodes"`
}

func (h *handler) info(ctx context.Context, _ *empty) (any, *protocol.Error) {
	all, err := h.rooms.Infos(ctx)
	return infoResult{all}, err
}
