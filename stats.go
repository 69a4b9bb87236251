package hubbub

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// ending says why a connection ended.
type ending uint8

const (
	endNone      ending = iota
	endHandshake        // it never opened
	endPeer             // the peer sent a close frame
	endServer           // Conn.Close
	endShutdown
	endSlow
	endProtocol
	endDead
	endEOF   // the peer left without a close frame
	endReset // reading or writing failed
	endPanic
	endFlood   // too many frames that carry nothing
	endRate    // more messages or bytes than allowed
	endMemory  // a big backlog when memory was short
	endTimeout // it took too long to close
	numEndings
)

var endingNames = [numEndings]string{
	endPeer: "peer", endServer: "server", endShutdown: "shutdown", endSlow: "slow_consumer",
	endProtocol: "protocol_error", endDead: "keepalive", endEOF: "eof", endReset: "reset", endPanic: "panic",
	endFlood: "flood", endRate: "rate_limit", endMemory: "memory",
}

// refusal says why a handshake was refused.
type refusal uint8

const (
	refusedMalformed refusal = iota
	refusedTooLarge
	refusedVersion
	refusedPath
	refusedOrigin
	refusedEndpoint
	refusedTimeout
	refusedGone
	refusedCrowded
	refusedPerIP
	refusedMemory
	refusedTLS
	refusedProxy
	numRefusals
)

var refusalNames = [numRefusals]string{
	refusedMalformed: "malformed", refusedTooLarge: "too_large", refusedVersion: "version", refusedPath: "path",
	refusedOrigin: "origin", refusedEndpoint: "endpoint", refusedTimeout: "timeout", refusedGone: "gone",
	refusedCrowded: "crowded", refusedPerIP: "per_ip", refusedMemory: "memory", refusedTLS: "tls", refusedProxy: "proxy_protocol",
}

// serverStats are the counters that no shard owns.
type serverStats struct {
	publishedText   atomic.Uint64
	publishedBinary atomic.Uint64
	busErrors       atomic.Uint64
	bytesOut        atomic.Uint64
	deliveries      atomic.Uint64
	backlog         atomic.Int64
	droppedOldest   atomic.Uint64
	droppedNewest   atomic.Uint64
	httpRejected    atomic.Uint64

	batch  prometheus.Histogram
	fanOut prometheus.Histogram
}

// published takes note of a message that this server publishes.
func (st *serverStats) published(t MessageType) {
	if t == Text {
		st.publishedText.Add(1)
	} else {
		st.publishedBinary.Add(1)
	}
}

// Flushed implements broadcast.Observer.
func (st *serverStats) Flushed(members, frames, written int) {
	st.deliveries.Add(uint64(members * frames))
	st.bytesOut.Add(uint64(written))
	st.batch.Observe(float64(frames))
}

// FannedOut implements broadcast.Observer.
func (st *serverStats) FannedOut(took time.Duration) { st.fanOut.Observe(took.Seconds()) }

func (st *serverStats) init() {
	st.batch = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "hubbub_batch_frames",
		Help:    "Messages merged into one write per subscriber.",
		Buckets: prometheus.ExponentialBuckets(1, 2, 10),
	})
	st.fanOut = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "hubbub_fanout_seconds",
		Help:    "Time from publishing a message to the write to its last subscriber in this process.",
		Buckets: prometheus.ExponentialBuckets(25e-6, 4, 10),
	})
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("hubbub_"+name, help, labels, nil)
}

var (
	descConns       = desc("connections", "Connections that are open, by path; handshakes in progress have none.", "path")
	descHTTP        = desc("http_connections", "Connections that net/http serves.")
	descTopics      = desc("topics", "Topics with at least one subscriber.")
	descHandshakes  = desc("handshakes_total", "Handshakes that were accepted.")
	descRefused     = desc("handshakes_refused_total", "Handshakes that were refused or never completed.", "reason")
	descMessagesIn  = desc("messages_received_total", "Messages that peers sent.", "type")
	descBytesIn     = desc("received_bytes_total", "Bytes read from WebSocket connections.")
	descBytesOut    = desc("sent_bytes_total", "Bytes written to WebSocket connections.")
	descPublished   = desc("messages_published_total", "Messages published to topics by this process.", "type")
	descBusErrors   = desc("bus_errors_total", "Messages that could not be handed to the bus.")
	descDeliveries  = desc("deliveries_total", "Messages handed to subscribers: written, or queued if they are slow.")
	descBacklog     = desc("backlog_bytes", "Bytes that wait for readers that don't keep up, shared messages counted for each.")
	descDropped     = desc("messages_dropped_total", "Messages dropped for a reader that doesn't keep up.", "policy")
	descDisconnects = desc("disconnects_total", "Connections that ended after they were open.", "reason")
	descKeptTopics  = desc("kept_topics", "Topics of which messages are kept for those who come.")
	descKeptBytes   = desc("kept_bytes", "Bytes that are kept of topics, with what it takes to keep them.")
	descKeptDropped = desc("kept_topics_dropped_total", "Topics whose messages were given up for want of room.")
	descHTTPLimit   = desc("http_rejected_total", "Ordinary HTTP connections closed because there were too many.")
)

// Describe implements prometheus.Collector.
func (s *Server) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(s, ch) }

// Collect implements prometheus.Collector: a Server can be registered with a
// prometheus.Registry.
func (s *Server) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	sum := func(of func(*shardStats) *atomic.Uint64) (n uint64) {
		for _, sh := range s.shards {
			n += of(&sh.stats).Load()
		}
		return n
	}
	for path, i := range s.paths {
		var n int64
		for _, sh := range s.shards {
			n += sh.open[i].Load()
		}
		gauge(descConns, float64(n), path)
	}
	gauge(descHTTP, float64(s.http.conns.Load()))
	gauge(descTopics, float64(s.hub.Topics()))
	count(descHandshakes, sum(func(st *shardStats) *atomic.Uint64 { return &st.handshakes }))
	for r, name := range refusalNames {
		count(descRefused, sum(func(st *shardStats) *atomic.Uint64 { return &st.refused[r] }), name)
	}
	for i, name := range []string{"text", "binary"} {
		count(descMessagesIn, sum(func(st *shardStats) *atomic.Uint64 { return &st.messagesIn[i] }), name)
	}
	count(descBytesIn, sum(func(st *shardStats) *atomic.Uint64 { return &st.bytesIn }))
	count(descBytesOut, s.stats.bytesOut.Load()+sum(func(st *shardStats) *atomic.Uint64 { return &st.bytesOut }))
	count(descPublished, s.stats.publishedText.Load(), "text")
	count(descPublished, s.stats.publishedBinary.Load(), "binary")
	count(descBusErrors, s.stats.busErrors.Load())
	count(descDeliveries, s.stats.deliveries.Load())
	gauge(descBacklog, float64(s.stats.backlog.Load()))
	count(descDropped, s.stats.droppedOldest.Load(), "oldest")
	count(descDropped, s.stats.droppedNewest.Load(), "newest")
	for e, name := range endingNames {
		if name != "" {
			count(descDisconnects, sum(func(st *shardStats) *atomic.Uint64 { return &st.ended[e] }), name)
		}
	}
	topics, bytes, dropped := s.kept.held()
	gauge(descKeptTopics, float64(topics))
	gauge(descKeptBytes, float64(bytes))
	count(descKeptDropped, dropped)
	count(descHTTPLimit, s.stats.httpRejected.Load())
	ch <- s.stats.batch
	ch <- s.stats.fanOut
}
