package fieldclients

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// exampleConfig is what the request fixtures were made with.
func exampleConfig() Config {
	return Config{URL: "http://pool:9332", User: "bcrt1q880sld3m9txhuel5y4fageluwk3exdph73p7dp.rig1", Password: "x"}
}

// TestRequests compares every request with its fixture, byte for byte. The fixtures' sources are
// the programs' code, and for the order of the header what they were seen to send.
func TestRequests(t *testing.T) {
	const pollID = "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e22067"
	share := &work{txs: "0100ff", workID: "w-_1"}
	nameless := &work{txs: "0100ff"}
	requests := make(map[string]*message)
	for name, build := range map[string]func(Config) (*CPUMiner, error){"minerd": NewMinerd, "cpuminer-multi": NewMulti} {
		m, err := build(exampleConfig())
		if err != nil {
			t.Fatal(err)
		}
		for what, body := range map[string]string{
			"template": m.templateRequest(""), "longpoll": m.templateRequest(pollID), "submit": m.submitRequest(share),
			"submit-without-workid": m.submitRequest(nameless), "getwork": getworkRequest, "getmininginfo": infoRequest,
		} {
			requests[name+"-"+what] = m.request("/", body, 0)
		}
	}
	m, err := NewBFGMiner(exampleConfig())
	if err != nil {
		t.Fatal(err)
	}
	m.cfg.RequestDiff = 4
	for what, r := range map[string]*message{
		"template": m.request("/", m.templateRequest("", ""), false), "longpoll": m.request("/", m.templateRequest(pollID, ""), true),
		"request-diff": m.request("/", m.templateRequest("", m.requestTarget()), false),
		"submit":       m.request("/", m.submitRequest(share), false), "submit-without-workid": m.request("/", m.submitRequest(nameless), false),
	} {
		requests["bfgminer-"+what] = r
	}
	fixtures, err := filepath.Glob("testdata/requests/*.http")
	if err != nil || len(fixtures) < 15 {
		t.Fatalf("%d fixtures, %v", len(fixtures), err)
	}
	c := newCurl(&url.URL{Host: "pool:9332"}, exampleConfig().User, exampleConfig().Password)
	for _, path := range fixtures {
		name := strings.TrimSuffix(filepath.Base(path), ".http")
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		r := requests[name]
		if r == nil {
			t.Errorf("nobody sends %s", name)
			continue
		}
		if diff := cmp.Diff(string(want), c.head(r)+r.payload()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestRawPollID: the two cpuminers paste the long poll id into JSON as it is.
func TestRawPollID(t *testing.T) {
	m, err := NewMinerd(exampleConfig())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parse([]byte(m.templateRequest(`a"b`))); err == nil {
		t.Error("an id with a quote was escaped")
	}
	b, err := NewBFGMiner(exampleConfig())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parse([]byte(b.templateRequest(`a"b`, ""))); err != nil {
		t.Errorf("bfgminer does not escape: %v", err)
	}
}

// TestChunks: what libcurl is given through a callback goes out in chunks of its buffer's size.
func TestChunks(t *testing.T) {
	m := &message{chunked: true, body: strings.Repeat("x", chunkSize+10)}
	want := "fff4\r\n" + strings.Repeat("x", 0xfff4) + "\r\na\r\n" + strings.Repeat("x", 10) + "\r\n0\r\n\r\n"
	if m.payload() != want {
		t.Error("the chunks are others")
	}
}

// TestConfigs looks at what cannot be configured.
func TestConfigs(t *testing.T) {
	for _, u := range []string{"", "https://pool:1/", "http://pool/", "http://[::1"} {
		if _, err := NewMinerd(Config{URL: u}); err == nil {
			t.Errorf("minerd takes the URL %q", u)
		}
		if _, err := NewBFGMiner(Config{URL: u}); err == nil {
			t.Errorf("bfgminer takes the URL %q", u)
		}
	}
}
