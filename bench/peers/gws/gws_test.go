package main

import (
	"testing"

	"hubbub/bench/peers/internal/peer"
	"hubbub/bench/peers/internal/peertest"
)

func TestGws(t *testing.T) {
	peertest.Run(t, func() peer.Serve { return peer.HTTP(handler()) }, false)
}
