package broadcast

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails the run if a test has left a goroutine or a frame behind.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			println("goroutines are left:", err.Error())
			code = 1
		}
		if n := LiveFrames(); n != 0 {
			println("frames were not released:", n)
			code = 1
		}
	}
	os.Exit(code)
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
