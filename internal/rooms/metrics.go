package rooms

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// stats are what Rooms count.
type stats struct {
	published, unstored    atomic.Uint64
	recovered, unrecovered atomic.Uint64
	reads, cut             atomic.Uint64
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("hubbub_"+name, help, labels, nil)
}

var (
	descChannels      = desc("channels", "Channels that somebody in this process is subscribed to.")
	descSubscriptions = desc("channel_subscriptions", "Subscriptions to channels.")
	descPublished     = desc("channel_publications_total", "Publications that this process has taken, and stored where there is a history.")
	descUnstored      = desc("channel_publications_unstored_total", "Publications that were refused because the history could not be written.")
	descRecoveries    = desc("channel_recoveries_total", "Subscriptions of clients that came back, by whether they got all that they had missed.", "recovered")
	descReads         = desc("channel_history_reads_total", "Reads of a channel's history from the store; the others are answered from memory.")
	descCut           = desc("channel_subscriptions_cut_total", "Subscriptions that were to be made again, because this process had missed something.")
)

// Describe implements prometheus.Collector.
func (r *Rooms) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(r, ch) }

// Collect implements prometheus.Collector.
func (r *Rooms) Collect(ch chan<- prometheus.Metric) {
	channels, subscriptions := 0, 0
	for i := range r.shards {
		sh := &r.shards[i]
		sh.mu.Lock()
		for _, c := range sh.channels {
			if n := len(c.members); n > 0 {
				channels++
				subscriptions += n
			}
		}
		sh.mu.Unlock()
	}
	ch <- prometheus.MustNewConstMetric(descChannels, prometheus.GaugeValue, float64(channels))
	ch <- prometheus.MustNewConstMetric(descSubscriptions, prometheus.GaugeValue, float64(subscriptions))
	count := func(d *prometheus.Desc, n *atomic.Uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n.Load()), labels...)
	}
	count(descPublished, &r.stats.published)
	count(descUnstored, &r.stats.unstored)
	count(descRecoveries, &r.stats.recovered, "yes")
	count(descRecoveries, &r.stats.unrecovered, "no")
	count(descReads, &r.stats.reads)
	count(descCut, &r.stats.cut)
}
