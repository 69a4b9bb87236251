package hubbub_test

import (
	"context"
	"fmt"
	"net"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"hubbub"
)

// A room in which everyone hears everyone.
func Example() {
	srv, err := hubbub.New(hubbub.Config{Endpoints: map[string]hubbub.Endpoint{
		"/room": {
			OnOpen: func(c *hubbub.Conn, r *hubbub.Request) error {
				if r.Query().Get("name") == "" {
					return hubbub.Refuse(400, "who are you?")
				}
				c.SetSession(r.Query().Get("name"))
				c.Subscribe("room")
				return nil
			},
			OnText: func(c *hubbub.Conn, text []byte) {
				c.Publish("room", hubbub.Text, fmt.Appendf(nil, "%v: %s", c.Session(), text))
			},
		},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	go srv.Serve(ln)
	defer srv.Shutdown(context.Background())

	conn, _, _, err := ws.Dial(context.Background(), "ws://"+ln.Addr().String()+"/room?name=Ann")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	wsutil.WriteClientText(conn, []byte("hello"))
	msg, err := wsutil.ReadServerText(conn)
	fmt.Println(string(msg), err)
	// Output: Ann: hello <nil>
}
