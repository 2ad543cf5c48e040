package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gbtpool/gbtpool/gbt/client"
)

// minePool serves one template and answers submissions with verdicts, in turn; the last stays.
func minePool(t *testing.T, verdicts ...string) string {
	t.Helper()
	var submitted atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Method string
			Params []json.RawMessage
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
			return
		}
		if in.Method == "submitblock" {
			n := min(int(submitted.Add(1)), len(verdicts))
			_, _ = fmt.Fprintf(w, `{"result":%s,"error":null,"id":1}`, verdicts[n-1])
			return
		}
		if strings.Contains(string(in.Params[0]), "longpollid") {
			<-r.Context().Done()
			return
		}
		_, _ = fmt.Fprint(w, `{"error":null,"id":1,"result":{"version":536870912,"height":500,"bits":"1d00ffff",
			"curtime":1700000000,"mintime":1600000000,"longpollid":"a","transactions":[],"mutable":["time","coinbase/append"],
			"previousblockhash":"0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206",
			"target":"00ffff0000000000000000000000000000000000000000000000000000000000",
			"coinbasetxn":{"data":"02000000010000000000000000000000000000000000000000000000000000000000000000ffffffff0302f401feffffff0100f2052a01000000015100000000"}}}`)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// TestMine reads what a miner prints until it has the shares that it was told to find.
func TestMine(t *testing.T) {
	s, buf := paper(false)
	c := mineCmd{URL: minePool(t, `"stale-work"`, `null`), User: "me", Threads: 1, HashRate: 2000, CoinbaseSig: "/me/", Shares: 1}
	if err := c.Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`^\d\d:\d\d:\d\d  height 500, 0 transactions, share difficulty 5\.96046e-08, block difficulty 1\n`,
		`(?m)^\d\d:\d\d:\d\d  refused  00[0-9a-f]{62} share: stale-work: the work is too old: fetch a new template$`,
		`(?m)^\d\d:\d\d:\d\d  accepted 00[0-9a-f]{62} share$`,
		`\naccepted \d+ shares? \(0 blocks\), refused 1 stale-work in \d+s, .* k?H/s on average\n$`,
	} {
		if !regexp.MustCompile(want).MatchString(buf.String()) {
			t.Errorf("there is no %q in\n%s", want, buf)
		}
	}
	if strings.Contains(buf.String(), "\x1b") {
		t.Errorf("something that is no terminal gets %q", buf)
	}
}

// viewer is a person who ends what writes as soon as a text is there.
type viewer struct {
	bytes.Buffer
	until string
	stop  context.CancelFunc
}

func (v *viewer) Write(text []byte) (int, error) {
	n, err := v.Buffer.Write(text)
	if strings.Contains(v.String(), v.until) {
		v.stop()
	}
	return n, err
}

// runUntil runs a miner until it prints a text, and returns all that it prints. To be ended so is
// no failure.
func runUntil(t *testing.T, c mineCmd, terminal bool, until string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	v := &viewer{until: until, stop: cancel}
	s := &screen{Writer: v, terminal: terminal, colour: terminal}
	if err := c.Run(ctx, s); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(v.String(), until) {
		t.Errorf("the miner never says %q but %q", until, v)
	}
	return v.String()
}

// TestMineTerminal looks at the status line, and at the summary in its place at the end.
func TestMineTerminal(t *testing.T) {
	c := mineCmd{URL: minePool(t, `null`), Threads: 1, HashRate: 20}
	out := runUntil(t, c, true, "H/s\x1b[0m  height 500  accepted ")
	if !strings.Contains(out, "\r\x1b[K\x1b[1m") || !regexp.MustCompile(`(\x1b\[K|\n)accepted .* on average\n$`).MatchString(out) {
		t.Errorf("a terminal gets %q", out)
	}
}

// TestMineTrouble has a pool that is not there: the miner says so and does not give up.
func TestMineTrouble(t *testing.T) {
	out := runUntil(t, mineCmd{URL: "http://127.0.0.1:1", Threads: 1}, false, "trouble  getblocktemplate: ")
	if !strings.HasSuffix(out, "accepted 0 shares (0 blocks), none refused in 0s, 0.00 H/s on average\n") {
		t.Errorf("the miner says %q", out)
	}
}

func TestScore(t *testing.T) {
	stats := client.Stats{Accepted: 2, Blocks: 1, Dropped: 3}
	if got, want := score(&stats), "accepted 2 shares (1 block), none refused, 3 not sent"; got != want {
		t.Errorf("the score is %q, want %q", got, want)
	}
}
