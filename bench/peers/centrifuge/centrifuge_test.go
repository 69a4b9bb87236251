package main

import (
	"testing"

	"hubbub/bench/peers/internal/peer"
	"hubbub/bench/peers/internal/peertest"
)

func TestCentrifuge(t *testing.T) {
	peertest.RunRooms(t, func() peer.Serve { return serve })
}
