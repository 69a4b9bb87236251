package main

// word is a term of the report's, and what it means.
type word struct{ Term, Meaning string }

var words = []word{
	{"Last delivery", "from the moment at which a message was due until the last subscriber had it, the mean over the messages of a run. " +
		"For the floor, from its first write to its last read: it parses nothing, has no publisher, and writes on one core as long as " +
		"one process can hold the connections."},
	{"Connections/s", "from the first attempt until all were open. The floor's begin with as many bytes in each direction as a handshake has, " +
		"which nobody parses."},
	{"Latency", "of every delivery, or answer, from the moment at which its message was due. The plots have at each percentile the median over the rounds."},
	{"Server RSS", "resident memory of all the server's processes, from /proc, with the connections open and idle; shared pages count once " +
		"for each process. Per connection, that is less what the server had before the first."},
	{"Server CPU per delivery", "processor time of all the server's processes from the first message on, over the deliveries; medians. " +
		"User is what its programs took, kernel what the kernel did in their system calls; over loopback that is in part what the receiver's " +
		"end of a connection takes. The kernel tells them apart by sampling: where a run was short, roughly. For the floor, its writers'."},
	{"Generator's share of CPU", "what the load generator took of the processor time that it and the server used; for the floor, its readers."},
	{"Wrong", "messages missing, duplicate, out of order or corrupt, and connections that failed, over all rounds."},
	{"Saturated", "who had no processor time left while messages were under way; there is no such column where nobody was. Machine means that " +
		"server and generator used it up together and the server no less than the generator; generator, that the figures may be the generator's."},
	{"Centrifuge", "where it takes part, it speaks a protocol of its own: the same messages as strings in JSON, with the name of the channel, " +
		"and an answer to whoever sends one. A ratio over it compares what is different work for both ends."},
	{"Channels", "hubbub at /connection/websocket, in that same protocol: nothing is kept, as at centrifuge; where it says kept, each channel has the history " +
		"of its last 30 publications that it has by default, on disk but not synced for each, and a publication is acknowledged when it is in there."},
	{"Allocations per delivery", "of the worst benchmark in Go that counts deliveries."},
}
