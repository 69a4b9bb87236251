package tokens

import (
	"os"
	"testing"
	"time"

	"hubbub/internal/leak"
)

// patience bounds how long a test waits for what must come. Nothing is asserted
// about the time it takes.
const patience = 30 * time.Second

// TestMain fails the run if a test has left a goroutine or a descriptor behind.
func TestMain(m *testing.M) { os.Exit(leak.Main(m)) }
