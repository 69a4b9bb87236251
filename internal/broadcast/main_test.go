package broadcast

import (
	"fmt"
	"os"
	"testing"

	"hubbub/internal/leak"
)

// TestMain fails the run if a test has left a goroutine or a frame behind.
func TestMain(m *testing.M) {
	os.Exit(leak.Main(m, func() string {
		if n := LiveFrames(); n != 0 {
			return fmt.Sprintf("%d frames were not released", n)
		}
		return ""
	}))
}

func frame(s string) *Frame { return NewFrame(nil, []byte(s)) }

func mustPanic(t *testing.T, what string, fn func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s did not panic", what)
		}
	}()
	fn()
}
