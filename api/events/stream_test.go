package events

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gbtpool/gbtpool/shares"
)

func TestStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := new(eventLog)
		l.tell(shares.EventBlock, "", `{"old":1}`)
		g := newGateway(t, l)
		synctest.Wait()
		c := g.open(request{})
		for name, want := range map[string]string{
			"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no",
		} {
			if got := c.res.Header.Get(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		synctest.Wait()
		retry, err := strconv.Atoi(c.retry)
		if err != nil || retry < 1500 || retry > 4500 {
			t.Errorf("retry is %q, want one and a half to four and a half seconds in milliseconds", c.retry)
		}
		if c.lastID() == "" {
			t.Error("there is no id to come back with before the first event")
		}
		id := l.tell(shares.EventTemplate, "", "{\"height\":1,\n \"number\":2}")
		turn()
		want := message{id: id, kind: "template", data: `{"height":1, "number":2}`}
		if got := <-c.events; got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if got := c.got(); got != nil {
			t.Errorf("got %q besides", got)
		}
	})
}

// TestHeartbeat has a client that hears of blocks alone: it lives, and comes back from where the pool is.
func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := new(eventLog)
		g := newGateway(t, l)
		synctest.Wait()
		c := g.open(request{query: "?kinds=block"})
		synctest.Wait()
		begun := c.beats()
		var last string
		for range 60 {
			last = l.tell(shares.EventStats, "", `{}`)
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if got := c.beats() - begun; got != 4 && got != 3 {
			t.Errorf("%d heartbeats in a minute, want one every 15 s", got)
		}
		time.Sleep(15 * time.Second)
		if got := c.close(); got != last {
			t.Errorf("the last event ID is %s, want %s", got, last)
		}
		l.trim(0)
		again := g.open(request{query: "?kinds=block", last: last})
		if got := again.got(); got != nil {
			t.Errorf("got %q, want nothing: no block came", got)
		}
	})
}

func TestQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, new(eventLog))
		for _, tt := range []struct {
			name   string
			r      request
			status int
		}{
			{"all", request{}, http.StatusOK},
			{"some", request{query: "?kinds=block,payout"}, http.StatusOK},
			{"some, exploded", request{query: "?kinds=block&kinds=payout"}, http.StatusOK},
			{"no kind", request{query: "?kinds=hello"}, http.StatusBadRequest},
			{"none at all", request{query: "?kinds="}, http.StatusBadRequest},
			{"too many", request{query: "?kinds=block,block,block,block,block,block,block,block,block"}, http.StatusBadRequest},
			{"no id", request{last: "yesterday"}, http.StatusBadRequest},
			{"half an id", request{last: "1-"}, http.StatusBadRequest},
			{"a large id", request{last: "9223372036854775808-0"}, http.StatusBadRequest},
			{"an old id", request{last: "0-0"}, http.StatusOK},
		} {
			tt.r.client = tt.name
			c := g.dial(tt.r)
			if c.res.StatusCode != tt.status {
				t.Errorf("%s: answered %s, want %d", tt.name, c.res.Status, tt.status)
			}
			_ = c.conn.Close()
		}
		synctest.Wait()
	})
}

// TestSlow has one client that does not read among others that do.
func TestSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := new(eventLog)
		g := newGateway(t, l, func(l *Limits) { l.Queue = 8 })
		synctest.Wait()
		quick := g.open(request{})
		slow := g.dial(request{})
		first := make([]byte, 64)
		n, err := slow.res.Body.Read(first) // and no more
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		var want []string
		for n := range 20 {
			want = append(want, fmt.Sprintf(`{"n":%d}`, n))
			start := time.Now()
			l.tell(shares.EventStats, "", want[n])
			turn()
			if got := quick.got(); !cmp.Equal(got, want[n:]) {
				t.Fatalf("the quick client got %q, want %q", got, want[n:])
			}
			if took := time.Since(start); took > DefaultLimits().Poll {
				t.Fatalf("the quick client waited %s", took)
			}
		}
		time.Sleep(DefaultLimits().Write)
		synctest.Wait()
		if got := count(t, g.metrics.ended.WithLabelValues("slow")); got != 1 {
			t.Errorf("%v streams were cut, want 1", got)
		}
		if _, err := io.ReadAll(slow.res.Body); err == nil {
			t.Errorf("the slow client's stream went on after %q", first[:n])
		}
		_ = slow.conn.Close()
		if got := count(t, g.metrics.streams); got != 1 {
			t.Errorf("%v streams are open, want 1", got)
		}
	})
}

func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, new(eventLog), func(l *Limits) { l.Streams, l.PerClient = 3, 2 })
		synctest.Wait()
		refused := func(client string, status int) {
			t.Helper()
			c := g.dial(request{client: client})
			defer func() { _ = c.conn.Close() }()
			if after := c.res.Header.Get("Retry-After"); c.res.StatusCode != status || after != "3" {
				t.Errorf("answered %s, to come back after %q, want %d and 3", c.res.Status, after, status)
			}
		}
		one := g.open(request{client: "a"})
		g.open(request{client: "a"})
		refused("a", http.StatusTooManyRequests)
		g.open(request{client: "b"})
		refused("b", http.StatusServiceUnavailable)
		one.close()
		synctest.Wait()
		g.open(request{client: "a"})
		refused("c", http.StatusServiceUnavailable)
	})
}

// TestStop ends streams as they are: in order, so that no client takes it for an error.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := new(eventLog)
		g := newGateway(t, l)
		synctest.Wait()
		c := g.open(request{})
		time.Sleep(14 * time.Second) // longer than a client may take to read
		start := time.Now()
		if err := g.stop(); err != nil {
			t.Error(err)
		}
		if err := c.end(); err != nil {
			t.Errorf("the stream was cut: %v", err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("the stop took %s", took)
		}
		if err := g.enter(new(stream)); !errors.Is(err, errStopped) {
			t.Errorf("a stream begins after the end: %v", err)
		}
		if got := count(t, g.metrics.ended.WithLabelValues("stop")); got != 1 {
			t.Errorf("%v streams were stopped, want 1", got)
		}
	})
}

func TestAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, new(eventLog))
		start := time.Now()
		if err := g.open(request{}).end(); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took < 27*time.Minute || took > 30*time.Minute {
			t.Errorf("the stream lasted %s, want 27 to 30 minutes", took)
		}
	})
}

// TestUnsound leaves out what cannot be sent, and goes on.
func TestUnsound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := new(eventLog)
		g := newGateway(t, l)
		synctest.Wait()
		c := g.open(request{account: "alice"})
		l.tell("block\ndata: {}", "", `{"n":1}`)
		l.tell(kindGap, "", `{"n":2}`)
		l.tell("", "", `{"n":3}`)
		l.tell(shares.EventShare, "", `{"n":4}`)
		turn()
		l.tell(shares.EventBlock, "", `{"n":5}`)
		turn()
		if got, want := c.got(), []string{`{"n":5}`}; !cmp.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestNew(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("a Hub of nothing")
	}
}

func TestNetwork(t *testing.T) {
	for from, want := range map[string]string{
		"192.0.2.1:80":                 "192.0.2.1",
		"[::ffff:192.0.2.1]:80":        "192.0.2.1",
		"[2001:db8:1:2:3:4:5:6]:80":    "2001:db8:1:2::/64",
		"[2001:db8:1:2:3::1%eth0]:443": "2001:db8:1:2::/64",
		"@":                            "@",
	} {
		if got := network(&http.Request{RemoteAddr: from}); got != want {
			t.Errorf("%s counts as %s, want %s", from, got, want)
		}
	}
}
