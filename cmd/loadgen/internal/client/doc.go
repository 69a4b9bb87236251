// Package client holds one process's share of a run's connections on event
// loops: it opens them, publishes on schedule, and takes account of every
// message that arrives.
//
// A connection costs no goroutine and no buffer, about 120 bytes with what the
// poller keeps of it; receiving allocates nothing and makes one system call
// per readable socket. Encrypted, a connection takes about 14 KB for crypto/tls.
//
//   - Fleet: the share as a whole, and the phases of its life (fleet.go)
//   - lane: one event loop and everything on it (lane.go)
//   - conn: one connection: connecting (dial.go), receiving (receive.go)
//   - protocol: what connections speak inside their messages (protocol.go)
//   - errand: what a connection is opened for: to be one of the run's (opening.go),
//     to come back (storm.go), or to pass (churn.go)
//   - publisher: a connection that sends (publish.go); one that doesn't read (stall.go)
//   - secure: TLS between a lane and its sockets (secure.go)
//   - Progress, Result: what comes out (result.go)
package client
