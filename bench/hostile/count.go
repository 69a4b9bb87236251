package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// counts is what came of it, printed as one line of JSON in the end.
type counts struct {
	Kind   string `json:"kind"`
	Conns  int    `json:"conns"`  // asked for
	Up     int    `json:"up"`     // in the end
	Opened int    `json:"opened"` // one that comes back counts again
	// Ended is how many the server ended: by close code ("1008"), by the status of its answer ("http
	// 431"), without a word ("eof"), or with a reset.
	Ended    map[string]int `json:"ended"`
	Reset    int            `json:"reset"` // by us
	Errors   map[string]int `json:"errors"`
	Frames   int64          `json:"frames"`         // sent, or of slow-handshake bytes; those of connections that ended are in it
	Skipped  int64          `json:"skipped_turns"`  // nobody was there for them, or the socket was full
	Received int64          `json:"received_bytes"` // and looked at
}

func newCounts(kind string, conns int) counts {
	return counts{Kind: kind, Conns: conns, Ended: map[string]int{}, Errors: map[string]int{}}
}

// fail counts an error, without addresses, which would make each a different one.
func (c *counts) fail(step string, err error) {
	var errno unix.Errno
	if errors.As(err, &errno) {
		err = errno
	}
	c.Errors[step+": "+err.Error()]++
}

func (c *counts) print(w io.Writer) error {
	line, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encoding the counts: %w", err)
	}
	_, err = fmt.Fprintf(w, "%s\n", line)
	return err
}

// status returns what an answer other than 101 is counted under, or nothing if p isn't one.
func status(p []byte) string {
	rest, ok := bytes.CutPrefix(p, []byte("HTTP/1.1 "))
	if !ok || len(rest) < 3 || string(rest[:3]) == "101" {
		return ""
	}
	return "http " + string(rest[:3])
}
