// Package interop tests that the server understands clients that other people
// wrote, and they it: the real server as a process, and gorilla/websocket,
// coder/websocket, centrifuge-go and, in node, the npm packages ws and
// centrifuge. It holds nothing but tests,
// and is a module of its own so that the clients stay out of the server's
// go.mod.
//
// Each test, but for those of channels, runs in four columns: plain, compressed (permessage-deflate), wss,
// and both.
//
// Run it with -count=1. What is tested lies outside this module, so the go tool
// doesn't notice when it changes, and would repeat an old result.
package interop
