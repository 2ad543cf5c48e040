package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gbtpool/gbtpool/gbt"
)

// TestMain has the test's program be a limit program, too, as the command is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == limitCommand {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestSmoke runs every case with small numbers. All answers are checked, and all ratios there.
func TestSmoke(t *testing.T) {
	dir := t.TempDir()
	doc := filepath.Join(dir, "doc.md")
	if err := os.WriteFile(doc, []byte("before\n"+tableBegin+"\nfigures of old\n"+tableEnd+"\nafter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o, err := parseOptions([]string{"-smoke", "-out", doc, "-json", filepath.Join(dir, "bench.json")})
	if err != nil {
		t.Fatal(err)
	}
	var out, progress bytes.Buffer
	if err := run(t.Context(), o, &out, &progress); err != nil {
		t.Fatalf("%v\n%s", err, progress.String())
	}
	t.Log("\n" + progress.String() + out.String())
	raw, err := os.ReadFile(filepath.Join(dir, "bench.json"))
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Rows []row }
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases() {
		if !slices.ContainsFunc(got.Rows, func(r row) bool { return r.Case == c.name }) {
			t.Errorf("%s has measured nothing", c.name)
		}
	}
	checkRows(t, got.Rows)
	text, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"before\n", "| template | identity, 16 connections | ", "A smoke test", "\nafter\n"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the document has no %q:\n%s", want, text)
		}
	}
	if strings.Contains(string(text), "figures of old") {
		t.Error("the document has the table from before")
	}
}

// checkRows looks whether every row has what it says it has. How fast anything was is not looked at.
func checkRows(t *testing.T, rows []row) {
	t.Helper()
	seen := make(map[string]bool)
	for _, r := range rows {
		// Who compares two results finds a row by its name.
		name := r.Case + ", " + r.What
		if seen[name] {
			t.Errorf("two rows are called %s", name)
		}
		seen[name] = true
		if len(r.Ours) != 1 {
			t.Errorf("%s, %s: %d rounds, want 1", r.Case, r.What, len(r.Ours))
		}
		if r.LimitIs != "" && len(r.Limit) != 1 || r.PeerIs != "" && len(r.Peer) != 1 {
			t.Errorf("%s, %s: the limit has %d rounds and the peer %d, want 1", r.Case, r.What, len(r.Limit), len(r.Peer))
		}
		if _, ok := r.ratio(r.Limit); r.Unit == "/s" && r.LimitIs != "" && !ok {
			t.Errorf("%s, %s: no ratio of %v to %v", r.Case, r.What, r.Ours, r.Limit)
		}
		if r.Unit == "/s" && r.Ours[0] <= 0 {
			t.Errorf("%s, %s: nothing in a second", r.Case, r.What)
		}
		if strings.Contains(r.What, "refused") && r.Ours[0] != 0 {
			t.Errorf("%s, %s: %v", r.Case, r.What, r.Ours)
		}
	}
}

// TestRow shows what a row makes of its rounds.
func TestRow(t *testing.T) {
	r := row{
		Case: "a", What: "b", Unit: "/s", Ours: []float64{10, 30, 20}, Limit: []float64{10, 60, 10}, Peer: []float64{0, 3, 1},
		Bars: []bar{atLeast(1, ratioToLimit), atMost(0.9, ratioToLimit), atLeast(11, ratioToPeer), atMost(20, itself), atLeast(21, itself)},
	}
	want := []string{
		"a", "b", "20 /s", "10 /s", "1", "1 /s", "20",
		"≥ 1 of the limit, ≤ 0.9 of the limit, ≥ 11 of the peer, ≤ 20 /s, ≥ 21 /s", "yes, no, yes, yes, no",
	}
	if d := cmp.Diff(want, r.cells()); d != "" {
		t.Error(d)
	}
	// What was not measured meets nothing.
	empty := row{Bars: []bar{atMost(1, itself), atMost(1, ratioToLimit)}}
	if empty.met(empty.Bars[0]) || empty.met(empty.Bars[1]) {
		t.Error("a bar is met by nothing")
	}
}

// TestRead reads answers in each form that servers give them.
func TestRead(t *testing.T) {
	long := strings.Repeat("x", 5000)
	for name, tc := range map[string]struct {
		wire       string
		length     int
		head, tail string
		encoding   string
	}{
		"length":       {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 3, "abc", "abc", ""},
		"nothing":      {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0, "", "", ""},
		"encoded":      {"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\na", 1, "a", "a", "gzip"},
		"long":         {"HTTP/1.1 200 OK\r\nContent-Length: 5006\r\n\r\nabc" + long + "def", 5006, "abc" + long[:edge-3], long[:edge-3] + "def", ""},
		"chunks":       {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", 3, "abc", "abc", ""},
		"long chunks":  {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1388\r\n" + long + "\r\n3\r\ndef\r\n0\r\n\r\n", 5003, long[:edge], long[:edge-3] + "def", ""},
		"until closed": {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc", 3, "abc", "abc", ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := readFrom(t, tc.wire)
			got := fmt.Sprintf("%d %d %q %q %q", a.status, a.length, a.head(), a.tail(), a.encoding)
			if want := fmt.Sprintf("200 %d %q %q %q", tc.length, tc.head, tc.tail, tc.encoding); got != want {
				t.Errorf("read %s, want %s", got, want)
			}
			if a.first.IsZero() != (tc.length == 0) {
				t.Errorf("the first byte came %s", a.first)
			}
		})
	}
}

// readFrom reads an answer from a real connection, twice if it stays open: the second begins where the first ends.
func readFrom(t *testing.T, wire string) *answer {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	times := 2
	if strings.Contains(wire, "close") {
		times = 1
	}
	go func() {
		server, err := listener.Accept()
		if err != nil {
			return
		}
		defer func() { _ = server.Close() }()
		_, _ = server.Write([]byte(strings.Repeat(wire, times)))
	}()
	c, err := dial(t.Context(), listener.Addr().String(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	var a answer
	for range times {
		if err := c.read(&a); err != nil {
			t.Fatal(err)
		}
	}
	return &a
}

// TestReadRefuses shows that what is no answer is an error.
func TestReadRefuses(t *testing.T) {
	for name, wire := range map[string]string{
		"nothing":         "",
		"no status":       "HTTP/1.1\r\n\r\n",
		"cut off":         "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
		"cut off by much": "HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\nab",
		"bad chunk":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			server, in := net.Pipe()
			go func() {
				_, _ = server.Write([]byte(wire))
				_ = server.Close()
			}()
			c := &conn{in, bufio.NewReader(in)}
			if err := c.read(new(answer)); err == nil {
				t.Error("no error")
			}
		})
	}
}

// TestChecks shows that an answer which is not the wanted one is found out.
func TestChecks(t *testing.T) {
	body := `{"result":{` + strings.Repeat("x", 1000) + `},"error":null,"id":1}`
	sent := captured{body: []byte(body)}
	answerOf := func(status int, encoding, body string) *answer {
		a := &answer{status: status, length: len(body), encoding: encoding}
		a.beginLen = copy(a.begin[:], body)
		a.push([]byte(body[max(0, len(body)-edge):]))
		return a
	}
	if err := sent.check(answerOf(200, "", body)); err != nil {
		t.Error(err)
	}
	for name, bad := range map[string]*answer{
		"status":    answerOf(503, "", body),
		"encoding":  answerOf(200, "gzip", body),
		"length":    answerOf(200, "", body[:500]),
		"beginning": answerOf(200, "", "x"+body[1:]),
		"end":       answerOf(200, "", body[:len(body)-1]+"x"),
	} {
		if sent.check(bad) == nil {
			t.Errorf("another %s is taken", name)
		}
	}
	n := news{captured: sent}
	if err := n.check(answerOf(200, "", `{"result":{}}`)); err != nil || n.short.Load() != 1 {
		t.Errorf("a template without transactions: %v, %d counted", err, n.short.Load())
	}
	if checkAccepted(answerOf(200, "", accepted)) != nil || checkAccepted(answerOf(200, "", `{"result":"high-hash","error":null,"id":1}`)) == nil {
		t.Error("a share's verdict is not read")
	}
}

// TestHistogram counts times.
func TestHistogram(t *testing.T) {
	h := new(histogram)
	if got := h.within(0.99); got != 0 {
		t.Errorf("of nothing it is %g", got)
	}
	for i := range 100 {
		h.add(time.Duration(i) * time.Millisecond)
	}
	h.add(time.Hour)
	if got := h.within(0.5); got < 50 || got > 51 {
		t.Errorf("half is within %g ms", got)
	}
	if got := h.within(1); got != milliseconds(20000*histogramStep) {
		t.Errorf("all is within %g ms", got)
	}
}

// TestOptions reads the command line.
func TestOptions(t *testing.T) {
	o, err := parseOptions([]string{"-smoke", "-count", "7", "-run", "^share$", "-soak", "1h"})
	if err != nil {
		t.Fatal(err)
	}
	if o.count != 1 || o.polls != 50 || o.soak != 2*time.Second || o.cases.String() != "^share$" {
		t.Errorf("%+v", o)
	}
	for _, bad := range [][]string{{"-count", "0"}, {"-run", "("}, {"x"}, {"-soak", "0s"}, {"-nothing"}} {
		if err := command(t.Context(), bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	o.cases = regexp.MustCompile("^none$")
	o.out = filepath.Join(t.TempDir(), "missing.md")
	if err := publish(context.Background(), o, &build{}, nil, new(bytes.Buffer)); err == nil {
		t.Error("a file without markers is taken")
	}
	if err := run(t.Context(), o, new(bytes.Buffer), new(bytes.Buffer)); err == nil {
		t.Error("it is measured what cannot be written")
	}
	o.out, o.json = "", filepath.Join(t.TempDir(), "new", "bench.json")
	if err := ready(o); err != nil {
		t.Errorf("a folder that is not there yet: %v", err)
	}
}

// TestProcessorTime shows that work takes processor time.
func TestProcessorTime(t *testing.T) {
	before, err := processorTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	m := miner{network: gbt.Target{}, solves: true}
	for range 3_000_000 {
		if m.network.MetBy([32]byte{0: 1}) {
			t.Fatal("a hash is below 0")
		}
	}
	after, err := processorTime(os.Getpid(), os.Getpid())
	if err != nil || after < 2*before || after == 0 {
		t.Errorf("%s before and twice %s after: %v", before, after/2, err)
	}
	if _, err := processorTime(-1); err == nil {
		t.Error("no process at all took time")
	}
}

// TestWrap breaks lines where they are too long, and in a list below its text.
func TestWrap(t *testing.T) {
	for text, want := range map[string]string{
		"":                  "",
		"one two three":     "one two\nthree",
		"- one two three":   "- one\n  two\n  three",
		"seventeen letters": "seventeen\nletters",
	} {
		if got := wrap(text, 7); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

// TestReplaceSection keeps what is around the markers.
func TestReplaceSection(t *testing.T) {
	path := filepath.Join(t.TempDir(), "doc.md")
	for _, bad := range []string{"", tableBegin, tableEnd + tableBegin} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := replaceSection(path, "x"); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
