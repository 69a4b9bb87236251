// Package rooms serves the Centrifuge client protocol on a hubbub Server: channels
// that clients subscribe to and publish in, with who is there, in JSON and in
// Protobuf, for the clients that exist for it in many languages.
//
// The protocol's messages are those of github.com/centrifugal/protocol; its
// specification is at https://centrifugal.dev/docs/transports/client_protocol, the
// codes are at https://centrifugal.dev/docs/server/codes.
//
// A channel is a topic of the server's for each format, so that a publication is
// encoded once for each and then shared like any message. Rooms of several processes
// are joined by Peers: every process gets every push, and each knows its own members.
//
// Rooms (rooms.go) knows the channels, client (client.go) is a connection's session, commands.go has
// what clients can ask for: connect.go, subscribe.go with joining.go, history.go, presence.go; held.go is what
// has to wait meanwhile. past.go is what is known of a channel's publications, delta.go their differences.
// backend.go and orders.go are what backends can do. rules.go says who may what, format.go has the two encodings.
package rooms
