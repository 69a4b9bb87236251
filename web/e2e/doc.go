// Package e2e tests the chat page as people meet it: the real server as a
// process, the real page in headless Chromium. It holds nothing but tests, and
// is a module of its own so that the browser's driver stays out of the
// server's go.mod.
//
// Run it with -count=1. What is tested lies outside this module, so the go tool
// doesn't notice when it changes, and would repeat an old result.
package e2e
