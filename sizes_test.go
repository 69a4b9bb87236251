package hubbub

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"hubbub/internal/broadcast"
	"hubbub/internal/wire"
)

// sizes writes what a connection is made of as the tables of bench/NOTES.md.
func sizes() string {
	var b strings.Builder
	b.WriteString("| field of `Conn` | offset | bytes |\n|---|---|---|\n")
	conn := reflect.TypeFor[Conn]()
	for i := range conn.NumField() {
		f := conn.Field(i)
		fmt.Fprintf(&b, "| `%s` | %d | %d |\n", f.Name, f.Offset, f.Type.Size())
	}
	fmt.Fprintf(&b, "| all | | %d |\n\n", conn.Size())
	b.WriteString("| held only at times | bytes | while |\n|---|---|---|\n")
	for _, part := range []struct {
		of    reflect.Type
		while string
	}{
		{reflect.TypeFor[phase](), "it opens or closes"},
		{reflect.TypeFor[wire.Decoder](), "a message or header is cut off, and its buffer"},
		{reflect.TypeFor[broadcast.Backlog](), "output waits, and what it refers to"},
		{reflect.TypeFor[extras](), "it has TLS, a proxy, a rate limit, or more than one topic"},
		{reflect.TypeFor[secure](), "it has TLS, and crypto/tls's own"},
	} {
		fmt.Fprintf(&b, "| `%s` | %d | %s |\n", part.of.Name(), part.of.Size(), part.while)
	}
	return b.String()
}

func TestSizesAreThoseOfTheNotes(t *testing.T) {
	const file = "bench/NOTES.md"
	notes, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if want := sizes(); !strings.Contains(string(notes), want) {
		t.Errorf("%s doesn't have these tables:\n%s", file, want)
	}
}
