// Package wire speaks the WebSocket protocol (RFC 6455) as functions over
// bytes: opening handshake, frames, messages, close codes, for both ends of a
// connection. It knows no sockets and never waits: what has arrived goes in,
// what it means comes out, and a Decoder resumes where the bytes stopped.
//
// The types, in the order in which to read them:
//
//   - Head: a request's head, parsed strictly, without copying (head.go)
//   - Upgrader: the server's side of the handshake (upgrade.go)
//   - ClientHandshake: the client's side (client.go)
//   - Decoder: frames into messages (decoder.go), with UTF-8 checked as the
//     bytes arrive (utf8.go)
//   - AppendFrame and its kin: messages into frames (frame.go)
//   - ProtocolError and the close codes (close.go)
//
// Masking, header checks and the handshake rest on github.com/gobwas/ws.
package wire
