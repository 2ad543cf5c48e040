package redisserver_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/gbtpool/gbtpool/test/redisserver"
)

// failing is a test that notes how it ends.
type failing struct {
	testing.TB
	text string
}

// Fatalf ends the test.
func (f *failing) Fatalf(format string, args ...any) {
	f.text = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// Skipf, Skip and SkipNow are no way to end.
func (f *failing) Skipf(string, ...any) { f.SkipNow() }
func (f *failing) Skip(...any)          { f.SkipNow() }
func (f *failing) SkipNow()             { f.text = "left out"; runtime.Goexit() }

// TestMissingServerFails has tests fail on a machine without redis-server: what is left out looks as if all
// were well.
func TestMissingServerFails(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for name, start := range map[string]func(testing.TB){
		"one": func(tb testing.TB) {
			tb.Helper()
			redisserver.New(tb, redisserver.Config{})
		},
		"cluster": func(tb testing.TB) {
			tb.Helper()
			redisserver.NewCluster(tb, 3)
		},
		"sentinel": func(tb testing.TB) {
			tb.Helper()
			redisserver.NewSentinel(tb)
		},
	} {
		f := &failing{TB: t}
		done := make(chan struct{})
		go func() {
			defer close(done)
			start(f)
		}()
		<-done
		if !strings.Contains(f.text, "redis-server") {
			t.Errorf("%s: the test ended with %q", name, f.text)
		}
	}
}
