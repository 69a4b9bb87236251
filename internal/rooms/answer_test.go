package rooms_test

import (
	"encoding/json"
	"fmt"
	"strings"
)

// answer is what the tests look at in a line from the server.
type answer struct {
	ID      int
	Error   *struct{ Code int }
	Connect *struct {
		Client  string
		Expires bool
		TTL     uint32
		Subs    map[string]subscribed
	}
	Refresh    *refreshed
	SubRefresh *refreshed `json:"sub_refresh"`
	Subscribe  *subscribed
	History    *struct {
		Epoch        string
		Offset       uint64
		Publications []pub
	}
	Publish *struct{}
	Push    *struct {
		Channel     string
		Pub         *pub
		Unsubscribe *struct{ Code int }
	}
}

type refreshed struct{ TTL uint32 }

type subscribed struct {
	Epoch                              string
	Offset                             uint64
	Recoverable, Positioned, Recovered bool
	Recovering                         bool `json:"was_recovering"`
	Expires, Delta                     bool
	Publications                       []pub
}

type pub struct {
	Data   json.RawMessage
	Offset uint64
	Delta  bool
}

// lines reads what comes, line by line.
type lines struct {
	*peer
	waiting []string
	pushed  []answer // before answers that were waited for
}

func (l *lines) next() answer {
	l.t.Helper()
	if len(l.waiting) == 0 {
		message, err := l.read()
		if err != nil {
			l.t.Fatal(err)
		}
		l.waiting = strings.Split(message, "\n")
	}
	var a answer
	if err := json.Unmarshal([]byte(l.waiting[0]), &a); err != nil {
		l.t.Fatalf("%q: %v", l.waiting[0], err)
	}
	l.waiting = l.waiting[1:]
	return a
}

// reply reads up to the answer to a command; what was pushed before that is returned too.
func (l *lines) reply(id int) (reply answer, pushed []pub) {
	l.t.Helper()
	for {
		a := l.next()
		if a.ID == id {
			return a, pushed
		}
		if a.Push != nil && a.Push.Pub != nil {
			pushed = append(pushed, *a.Push.Pub)
		}
	}
}

// ask sends a command and returns its answer.
func (l *lines) ask(id int, command string) answer {
	l.t.Helper()
	l.send(fmt.Sprintf(`{"id":%d,%s}`, id, command))
	for {
		a := l.next()
		if a.ID == id {
			return a
		}
		l.pushed = append(l.pushed, a)
	}
}

// publish publishes and returns when that is acknowledged.
func (l *lines) publish(id int, channel, data string) {
	l.t.Helper()
	if a := l.ask(id, fmt.Sprintf(`"publish":{"channel":%q,"data":%s}`, channel, data)); a.Error != nil {
		l.t.Fatalf("publishing %s: error %d", data, a.Error.Code)
	}
}

func text(all []pub) string {
	var b strings.Builder
	for _, p := range all {
		fmt.Fprintf(&b, "%s ", p.Data)
	}
	return b.String()
}
