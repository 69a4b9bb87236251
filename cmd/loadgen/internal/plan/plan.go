// Package plan describes a run completely and as a value: how many
// connections, from which addresses, on which topics, who publishes what and
// when. Every process of the load generator works from the same Plan and so
// agrees with the others without asking them.
package plan

import (
	"encoding/base64"
	"encoding/binary"
	"net/netip"
	"time"

	"hubbub/cmd/loadgen/internal/pacer"
)

// Mode is what the connections do once they are up.
type Mode string

// The modes.
const (
	Fanout Mode = "fanout" // publishers send, everybody on the topic receives
	Echo   Mode = "echo"   // each connection gets back what it sends
	Idle   Mode = "idle"   // nobody sends
	Storm  Mode = "storm"  // nobody sends; connections that are lost come back
)

// Sends reports whether messages are sent.
func (m Mode) Sends() bool { return m == Fanout || m == Echo }

// Plan is a run. It is never changed once the run has begun.
type Plan struct {
	Run  uint64 `json:"run"` // random; tells this run's messages from others
	Mode Mode   `json:"mode"`

	Protocol Protocol `json:"protocol"`
	Prefix   string   `json:"prefix"`  // of topics' names
	Recover  int      `json:"recover"` // messages in each topic before there are connections, which each of them gets as it subscribes

	Addr   netip.AddrPort `json:"addr"`
	Host   string         `json:"host"`   // Host header
	Target string         `json:"target"` // path and query, without the topic
	TLS    *TLS           `json:"tls"`    // nil: not encrypted

	Conns      int     `json:"conns"`
	Ramp       float64 `json:"ramp"` // connections per second in total; 0: as fast as it goes
	Sources    Sources `json:"sources"`
	Publishers int     `json:"publishers"`
	Topics     int     `json:"topics"`
	Slow       float64 `json:"slow"`  // share of the connections that stop reading once they are open
	Churn      float64 `json:"churn"` // further connections per second in total that come and go

	Rate     float64       `json:"rate"`   // messages per second in total, in the open model
	Window   int           `json:"window"` // messages in flight per sender in the closed model; 0: open
	Size     int           `json:"size"`   // bytes of payload
	Duration time.Duration `json:"duration"`
	Settle   time.Duration `json:"settle"`
	Timeout  time.Duration `json:"timeout"`
}

// Share is the part of a Plan's connections that one process holds: those
// numbered from First on.
type Share struct {
	First int `json:"first"`
	Count int `json:"count"`
	Loops int `json:"loops"` // event loops to spread them over
	Index int `json:"index"` // of this share, from 0
	Of    int `json:"of"`    // how many shares there are
}

// Split divides the connections into as many shares of nearly equal size.
func (p *Plan) Split(processes, loops int) []Share {
	shares := make([]Share, processes)
	for i := range shares {
		from, to := i*p.Conns/processes, (i+1)*p.Conns/processes
		shares[i] = Share{First: from, Count: to - from, Loops: max(1, min(loops, to-from)), Index: i, Of: processes}
	}
	return shares
}

// deliveryAtLeast is the processor time that a delivery takes at the very least.
const deliveryAtLeast = 2 * time.Microsecond

// Grain returns how late a delivery may be noticed without its mattering: a hundredth
// of the shortest time that a fan-out to all members of a topic can take.
func (p *Plan) Grain() time.Duration {
	return time.Duration(p.Conns/p.Topics) * deliveryAtLeast / 100
}

// Open reports whether messages leave by schedule, whether or not those before
// them have arrived.
func (p *Plan) Open() bool { return p.Window == 0 }

// Messages is the schedule of the open model.
func (p *Plan) Messages() pacer.Pacer {
	return pacer.Pacer{Rate: p.Rate, Total: pacer.Count(p.Rate, p.Duration)}
}

// Topic returns the number of the topic that a connection subscribes to.
func (p *Plan) Topic(conn int) int { return conn % p.Topics }

// Key is the 16 bytes behind Sec-WebSocket-Key, the same for the whole run: a
// load generator needs no protection from caches.
func (p *Plan) Key() (key [16]byte) {
	binary.BigEndian.PutUint64(key[:], p.Run)
	binary.BigEndian.PutUint64(key[8:], ^p.Run)
	return key
}

// RunName is the run's number as it appears in reports.
func (p *Plan) RunName() string {
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, p.Run))
}

// Publisher returns the publisher that sits on a connection, and reports
// whether there is one.
//
// Publisher i writes to topic i mod Topics. The publishers of a topic are
// spread evenly over its connections, and so over loops and processes.
func (p *Plan) Publisher(conn int) (int, bool) {
	switch p.Mode {
	case Echo:
		return conn, true
	case Idle, Storm:
		return 0, false
	}
	topic, place := conn%p.Topics, conn/p.Topics
	pubs, members := p.TopicPublishers(topic), p.Members(topic)
	if pubs == 0 {
		return 0, false
	}
	// The j-th publisher sits on place j*members/pubs: the smallest j that
	// doesn't come before this place.
	j := (place*pubs + members - 1) / members
	if j >= pubs || j*members/pubs != place {
		return 0, false
	}
	return topic + j*p.Topics, true
}

// Members returns how many connections subscribe to a topic.
func (p *Plan) Members(topic int) int { return (p.Conns - topic + p.Topics - 1) / p.Topics }

// TopicPublishers returns how many publishers write to a topic.
func (p *Plan) TopicPublishers(topic int) int {
	return max(0, (p.Publishers-topic+p.Topics-1)/p.Topics)
}

// Streams is the number of senders a connection may hear from: the streams to
// keep account of per connection.
func (p *Plan) Streams() int {
	switch p.Mode {
	case Echo:
		return 1
	case Idle, Storm:
		return 0
	}
	return p.TopicPublishers(0)
}

// Stream places a message among its connection's streams, by its publisher and
// topic as it names them. It reports whether the connection should get it.
func (p *Plan) Stream(conn, publisher, topic int) (int, bool) {
	if p.Mode == Echo {
		return 0, publisher == conn
	}
	if publisher >= p.Publishers || topic != publisher%p.Topics || topic != p.Topic(conn) {
		return 0, false
	}
	return publisher / p.Topics, true
}

// Message numbers a publisher's message among all messages of the run.
func (p *Plan) Message(publisher int, seq uint32) int {
	return int(seq)*p.Publishers + publisher
}
