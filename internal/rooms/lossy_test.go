package rooms_test

import (
	"fmt"
	"strings"
	"testing"

	"hubbub/internal/rooms"
)

// Who doesn't read goes without what is published where that may be, and is disconnected where it may not.
func TestLossy(t *testing.T) {
	lossy := open
	lossy.Lossy = true
	addr := serve(t, rooms.Config{Anonymous: true, Rules: rooms.Rules{"lossy": lossy, "open": open}})
	w := connected(t, addr)
	data := `"` + strings.Repeat("x", 60_000) + `"`
	const sent = 300 // 18 MB, more than the kernel and the backlog take
	for _, test := range []struct {
		channel string
		stays   bool
	}{{"lossy:x", true}, {"open:x", false}} {
		p := connected(t, addr)
		p.send(fmt.Sprintf(`{"id":2,"subscribe":{"channel":%q}}`, test.channel))
		p.expect(`{"id":2,"subscribe":{}}`)
		for i := range sent {
			w.send(fmt.Sprintf(`{"id":%d,"publish":{"channel":%q,"data":%s}}`, i+2, test.channel, data))
			w.expect(fmt.Sprintf(`{"id":%d,"publish":{}}`, i+2))
		}
		p.send(`{"id":3,"ping":{}}`) // who is being disconnected doesn't get an answer any more
		got := 0
		var err error
		for message := ""; err == nil && !strings.Contains(message, `"id":3`); got++ {
			message, err = p.read()
		}
		if stays := err == nil; stays != test.stays {
			t.Errorf("%s: after %d messages %v, want that it stays: %v", test.channel, got, err, test.stays)
		}
		if got >= sent {
			t.Errorf("%s: the reader got all %d messages, so this test tests nothing", test.channel, got)
		}
	}
}
