package api_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/centrifugal/protocol"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"github.com/golang-jwt/jwt/v5"

	"hubbub"
	"hubbub/internal/api"
	"hubbub/internal/bus"
	"hubbub/internal/leak"
	"hubbub/internal/rooms"
	"hubbub/internal/tokens"
)

// patience bounds every wait: it only turns a wait for something that never comes into a failure.
const patience = time.Minute

func TestMain(m *testing.M) { os.Exit(leak.Main(m)) }

const (
	key    = "a key"
	secret = "a secret"
)

// site is a server with the API.
type site struct {
	t    *testing.T
	addr string
}

var rules = rooms.Rules{
	"":  {Subscribe: rooms.Anyone, Publish: rooms.Anyone, Presence: rooms.Anyone},
	"h": {Subscribe: rooms.Anyone, History: rooms.Anyone, HistorySize: 3, Recovery: true},
	"d": {Subscribe: rooms.Anyone, HistorySize: 3, Delta: true},
	"b": {Subscribe: rooms.Anyone, Publish: rooms.Anyone, Presence: rooms.Anyone, SubscriberInfo: true, Binary: true, HistorySize: 3},
}

func serve(t *testing.T) site {
	t.Helper()
	silent := slog.New(slog.DiscardHandler)
	dir, err := bus.OpenDataDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dir.Close)
	e, err := bus.StartEmbedded(bus.EmbeddedConfig{Dir: dir, Logger: silent})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	b, err := bus.DialNATS(bus.NATSConfig{In: e, Prefix: "test", OnError: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	logs := make(map[string]rooms.Log)
	for name, ns := range rules {
		if ns.HistorySize > 0 {
			if logs[name], err = b.CreateLog(t.Context(), bus.LogConfig{Name: name, Keep: ns.HistorySize}, false); err != nil {
				t.Fatal(err)
			}
		}
	}
	verifier, err := tokens.New(t.Context(), tokens.Config{HMAC: []byte(secret)})
	if err != nil {
		t.Fatal(err)
	}
	r := rooms.New(rooms.Config{Rules: rules, Anonymous: true, Verifier: verifier, Logs: logs, Name: "one", Version: "v", Logger: silent})
	mux := http.NewServeMux()
	mux.Handle(api.Path, api.Handler(r, key))
	s, err := hubbub.New(hubbub.Config{Loops: 2, Endpoints: map[string]hubbub.Endpoint{"/ws": r.Endpoint()}, HTTP: mux, Logger: silent})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Attach(t.Context(), s, "/ws"); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		<-served
	})
	return site{t, ln.Addr().String()}
}

// request sends a request and returns status and body.
func (s site) request(verb, path, body string, header ...string) (int, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), verb, "http://"+s.addr+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(text))
}

var (
	uuid  = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`)
	stamp = regexp.MustCompile(`"time":\d+`)
	epoch = regexp.MustCompile(`"epoch":"[^"]+"`)
)

// call calls a method and checks its answer, but for identifiers, epochs and times.
func (s site) call(method, body, want string) {
	s.t.Helper()
	status, got := s.request(http.MethodPost, api.Path+method, body, "X-API-Key", key)
	if got = plain(got); status != http.StatusOK || got != want {
		s.t.Errorf("%s %s: %d\n%s\nwant\n%s", method, body, status, got, want)
	}
}

func plain(s string) string {
	return epoch.ReplaceAllString(stamp.ReplaceAllString(uuid.ReplaceAllString(s, "UUID"), `"time":T`), `"epoch":"E"`)
}

// client is a connection of a user.
type client struct {
	t    *testing.T
	conn net.Conn
	id   string
}

func (s site) connect(user string) *client {
	s.t.Helper()
	conn, _, _, err := ws.Dial(s.t.Context(), "ws://"+s.addr+"/ws")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	c := &client{t: s.t, conn: conn}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": user}).SignedString([]byte(secret))
	if err != nil {
		s.t.Fatal(err)
	}
	c.send(fmt.Sprintf(`{"id":1,"connect":{"token":%q}}`, token))
	var hello struct{ Connect struct{ Client string } }
	if err := json.Unmarshal([]byte(c.read()), &hello); err != nil || hello.Connect.Client == "" {
		s.t.Fatalf("%+v, %v", hello, err)
	}
	c.id = hello.Connect.Client
	return c
}

func (c *client) send(line string) {
	c.t.Helper()
	if err := wsutil.WriteClientText(c.conn, []byte(line)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) read() string {
	c.t.Helper()
	text, err := wsutil.ReadServerText(c.conn)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(text)
}

// expect reads a line.
func (c *client) expect(want string) {
	c.t.Helper()
	if got := plain(c.read()); got != want {
		c.t.Errorf("received\n%s\nwant\n%s", got, want)
	}
}

// ended reads the close frame.
func (c *client) ended() (ws.StatusCode, string) {
	c.t.Helper()
	_, err := wsutil.ReadServerText(c.conn)
	var closed wsutil.ClosedError
	if !errors.As(err, &closed) {
		c.t.Fatalf("%v, want a close frame", err)
	}
	return closed.Code, closed.Reason
}

// subscribe subscribes, and waits for the answer.
func (c *client) subscribe(channel string) {
	c.t.Helper()
	c.send(fmt.Sprintf(`{"id":2,"subscribe":{"channel":%q}}`, channel))
	if got := c.read(); strings.Contains(got, "error") {
		c.t.Fatal(got)
	}
}

// Who doesn't know the key gets nothing, and mistakes are told.
func TestRequests(t *testing.T) {
	s := serve(t)
	for _, test := range []struct {
		verb, path, body string
		header           []string
		want             int
		says             string
	}{
		{"POST", "/api/info", `{}`, nil, 401, "X-API-Key"},
		{"POST", "/api/info", `{}`, []string{"X-API-Key", "wrong"}, 401, "key"},
		{"POST", "/api/info", `{}`, []string{"Authorization", "Bearer " + key}, 401, "key"},
		{"POST", "/api/none", `{}`, nil, 401, "key"},
		{"POST", "/api/info", `{}`, []string{"Authorization", "apikey " + key}, 200, `"name":"one"`},
		{"POST", "/api/none", `{}`, []string{"X-API-Key", key}, 404, "openapi.yaml"},
		{"GET", "/api/info", "", []string{"X-API-Key", key}, 405, "POST"},
		{"POST", "/api/publish", `{"channel":1}`, []string{"X-API-Key", key}, 400, "channel"},
		{"POST", "/api/publish", ``, []string{"X-API-Key", key}, 400, "isn't what the method takes"},
		{"POST", "/api/publish", `{"channel":"` + strings.Repeat("x", 17<<20) + `"}`, []string{"X-API-Key", key}, 413, "too large"},
		{"GET", "/api/openapi.yaml", "", nil, 200, "openapi: 3"},
	} {
		status, body := s.request(test.verb, test.path, test.body, test.header...)
		if status != test.want || !strings.Contains(body, test.says) {
			t.Errorf("%s %s %q: %d %.200s, want %d with %q", test.verb, test.path, test.header, status, body, test.want, test.says)
		}
	}
}

func TestPublish(t *testing.T) {
	s := serve(t)
	a := s.connect("ann")
	a.subscribe("x")
	s.call("publish", `{"channel":"x","data":{"n": 1},"tags":{"k":"v"}}`, `{"result":{}}`)
	a.expect(`{"push":{"channel":"x","pub":{"data":{"n": 1},"tags":{"k":"v"}}}}`)
	for body, code := range map[string]int{
		`{"channel":"other:x","data":1}`: 102, `{"channel":"","data":1}`: 107, `{"channel":"x"}`: 107, `{"channel":"x","b64data":"/w=="}`: 107,
		`{"channel":"d:x","data":1,"skip_history":true}`: 107,
	} {
		if _, got := s.request("POST", "/api/publish", body, "X-API-Key", key); !strings.Contains(got, fmt.Sprintf(`{"error":{"code":%d,`, code)) {
			t.Errorf("%s: %s, want code %d", body, got, code)
		}
	}
	s.call("broadcast", `{"channels":["x","other:x","h:x"],"data":2}`,
		`{"result":{"responses":[{"result":{}},{"error":{"code":102,"message":"unknown channel"}},{"result":{"offset":2,"epoch":"E"}}]}}`)
	a.expect(`{"push":{"channel":"x","pub":{"data":2}}}`)
}

func TestHistory(t *testing.T) {
	s := serve(t)
	a := s.connect("ann")
	a.subscribe("h:x")
	s.call("publish", `{"channel":"h:x","data":1,"idempotency_key":"k"}`, `{"result":{"offset":2,"epoch":"E"}}`)
	s.call("publish", `{"channel":"h:x","data":2,"idempotency_key":"k"}`, `{"result":{"offset":2,"epoch":"E"}}`)
	s.call("publish", `{"channel":"h:x","data":3,"skip_history":true}`, `{"result":{}}`)
	s.call("publish", `{"channel":"h:x","data":4}`, `{"result":{"offset":3,"epoch":"E"}}`)
	// What isn't kept takes another way, and may come earlier or later than the others.
	got := plain(a.read() + "\n" + a.read() + "\n" + a.read())
	for _, want := range []string{`{"push":{"channel":"h:x","pub":{"data":1,"offset":2}}}`, `{"push":{"channel":"h:x","pub":{"data":3}}}`, `{"push":{"channel":"h:x","pub":{"data":4,"offset":3}}}`} {
		if !strings.Contains(got, want) {
			t.Errorf("received\n%s\nwant\n%s", got, want)
		}
	}
	s.call("history", `{"channel":"h:x"}`, `{"result":{"publications":[],"epoch":"E","offset":3}}`)
	s.call("history", `{"channel":"h:x","limit":-1}`, `{"result":{"publications":[{"data":1,"offset":2,"time":T},{"data":4,"offset":3,"time":T}],"epoch":"E","offset":3}}`)
	s.call("history", `{"channel":"h:x","limit":1,"reverse":true}`, `{"result":{"publications":[{"data":4,"offset":3,"time":T}],"epoch":"E","offset":3}}`)
	s.call("history", `{"channel":"h:x","limit":1,"since":{"offset":2,"epoch":"other"}}`, `{"error":{"code":112,"message":"unrecoverable position"}}`)
	s.call("history_remove", `{"channel":"h:x"}`, `{"result":{}}`)
	s.call("history", `{"channel":"h:x","limit":-1}`, `{"result":{"publications":[],"epoch":"E","offset":4}}`)
	s.call("history", `{"channel":"x","limit":-1}`, `{"error":{"code":108,"message":"not available"}}`)
	s.call("publish", `{"channel":"b:x","b64data":"/w=="}`, `{"result":{"offset":2,"epoch":"E"}}`)
	s.call("history", `{"channel":"b:x","limit":-1}`, `{"result":{"publications":[{"b64data":"/w==","offset":2,"time":T}],"epoch":"E","offset":2}}`)
}

func TestWhoIsThere(t *testing.T) {
	s := serve(t)
	a, b := s.connect("ann"), s.connect("bob")
	a.subscribe("x")
	b.subscribe("x")
	b.send(`{"id":3,"subscribe":{"channel":"room-1"}}`)
	b.read()
	s.call("presence_stats", `{"channel":"x"}`, `{"result":{"num_clients":2,"num_users":2}}`)
	s.call("presence", `{"channel":"room-1"}`, `{"result":{"presence":{"UUID":{"client":"UUID","user":"bob"}}}}`)
	s.call("presence", `{"channel":"h:x"}`, `{"error":{"code":108,"message":"not available"}}`)
	s.call("channels", `{}`, `{"result":{"channels":{"room-1":{"num_clients":1},"x":{"num_clients":2}}}}`)
	s.call("channels", `{"pattern":"room-*"}`, `{"result":{"channels":{"room-1":{"num_clients":1}}}}`)
	s.call("channels", `{"pattern":"[" }`, `{"error":{"code":107,"message":"bad request"}}`)
	_, got := s.request("POST", "/api/info", `{}`, "X-API-Key", key)
	var info struct{ Result struct{ Nodes []rooms.Info } }
	if err := json.Unmarshal([]byte(got), &info); err != nil || len(info.Result.Nodes) != 1 {
		t.Fatalf("%s, %v", got, err)
	}
	if n := info.Result.Nodes[0]; n.Name != "one" || n.Version != "v" || n.UID == "" || n.NumClients != 2 || n.NumUsers != 2 || n.NumSubs != 3 || n.NumChannels != 2 {
		t.Errorf("%+v", n)
	}
}

// What a client of a binary namespace says of itself needn't be JSON; the API leaves it out.
func TestInfoThatIsNoJSON(t *testing.T) {
	s := serve(t)
	conn, _, _, err := ws.Dial(t.Context(), "ws://"+s.addr+"/ws?format=protobuf")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, c := range []*protocol.Command{
		{Id: 1, Connect: &protocol.ConnectRequest{}},
		{Id: 2, Subscribe: &protocol.SubscribeRequest{Channel: "b:x", Data: []byte("\xff")}},
		{Id: 3, Publish: &protocol.PublishRequest{Channel: "b:x", Data: []byte("\xff")}},
	} {
		text, err := c.MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		if err := wsutil.WriteClientBinary(conn, append(binary.AppendUvarint(nil, uint64(len(text))), text...)); err != nil {
			t.Fatal(err)
		}
		if _, err := wsutil.ReadServerBinary(conn); err != nil {
			t.Fatal(err)
		}
	}
	s.call("presence", `{"channel":"b:x"}`, `{"result":{"presence":{"UUID":{"client":"UUID","user":""}}}}`)
	s.call("history", `{"channel":"b:x","limit":-1}`, `{"result":{"publications":[{"b64data":"/w==","info":{"client":"UUID","user":""},"offset":2,"time":T}],"epoch":"E","offset":2}}`)
}

// Orders reach the connections that are meant, and no other.
func TestOrders(t *testing.T) {
	s := serve(t)
	a, a2, b := s.connect("ann"), s.connect("ann"), s.connect("bob")
	still := func(c *client) {
		t.Helper()
		c.send(`{"id":99,"ping":{}}`)
		c.expect(`{"id":99,"ping":{}}`)
	}
	s.call("subscribe", `{"user":"ann","channel":"h:x","info":{"role":"r"},"data":{"d":1}}`, `{"result":{}}`)
	for _, c := range []*client{a, a2} {
		c.expect(`{"push":{"channel":"h:x","subscribe":{"recoverable":true,"epoch":"E","offset":1,"positioned":true,"data":{"d":1}}}}`)
	}
	s.call("subscribe", `{"user":"ann","client":"`+a.id+`","channel":"y","info":{"role":"r"}}`, `{"result":{}}`)
	a.expect(`{"push":{"channel":"y","subscribe":{}}}`)
	s.call("presence", `{"channel":"y"}`, `{"result":{"presence":{"UUID":{"client":"UUID","user":"ann","chan_info":{"role":"r"}}}}}`)
	still(a2)
	still(b)
	s.call("publish", `{"channel":"h:x","data":1}`, `{"result":{"offset":2,"epoch":"E"}}`)
	for _, c := range []*client{a, a2} {
		c.expect(`{"push":{"channel":"h:x","pub":{"data":1,"offset":2}}}`)
	}
	s.call("unsubscribe", `{"user":"ann","channel":"y"}`, `{"result":{}}`)
	a.expect(`{"push":{"channel":"y","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}}`)
	still(a2)

	s.call("refresh", fmt.Sprintf(`{"user":"bob","expire_at":%d,"info":{"n":1}}`, time.Now().Add(time.Hour).Unix()), `{"result":{}}`)
	if got := b.read(); !strings.Contains(got, `{"push":{"refresh":{"expires":true,"ttl":3`) {
		t.Errorf("received %s, want that it expires in an hour", got)
	}
	s.call("refresh", `{"user":"bob","expired":true}`, `{"result":{}}`)
	if code, _ := b.ended(); code != 3005 {
		t.Errorf("disconnected with %d, want 3005", code)
	}
	s.call("disconnect", `{"user":"ann","whitelist":["`+a2.id+`"],"disconnect":{"code":4000,"reason":"go"}}`, `{"result":{}}`)
	if code, reason := a.ended(); code != 4000 || reason != "go" {
		t.Errorf("disconnected with %d %s", code, reason)
	}
	still(a2)
	s.call("disconnect", `{"user":"ann"}`, `{"result":{}}`)
	if code, _ := a2.ended(); code != 3503 {
		t.Errorf("disconnected with %d, want 3503", code)
	}
	for _, disconnect := range []string{`{"code":1000}`, `{"code":4000,"reason":"` + strings.Repeat("x", 124) + `"}`} {
		s.call("disconnect", `{"user":"ann","disconnect":`+disconnect+`}`, `{"error":{"code":107,"message":"bad request"}}`)
	}
	s.call("subscribe", `{"user":"ann","channel":"other:x"}`, `{"error":{"code":102,"message":"unknown channel"}}`)
}
