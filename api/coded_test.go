package api

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/gbt/splice"
)

// plainRequest asks for a template.
const plainRequest = `{"method":"getblocktemplate","params":[{"rules":["segwit"]}],"id":7}`

// compressed waits until the template in force is there in each coding.
func (p *pool) compressed() *pool {
	p.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		w, err := p.desk.Issuer.Issue(gbt.Account{}, gbt.TemplateRequest{Rules: []string{"segwit"}})
		if err != nil {
			p.t.Fatal(err)
		}
		if w.Packed(splice.Zstd) != nil && w.Packed(splice.Gzip) != nil {
			return p
		}
		if time.Now().After(deadline) {
			p.t.Fatal("the template is not compressed")
		}
	}
}

// checkWork holds an answer to being one with work.
func checkWork(t *testing.T, got answer) {
	t.Helper()
	result, e := got.rpc(t)
	var work struct {
		Height       int
		WorkID       string
		Transactions []json.RawMessage
	}
	if err := json.Unmarshal(result, &work); err != nil || e != nil {
		t.Fatalf("%v, %v in %s", err, e, got.body)
	}
	if got.status != 200 || work.Height == 0 || work.WorkID == "" || !strings.HasSuffix(got.body, "}\n") {
		t.Errorf("%d %+v in %s", got.status, work, got.body)
	}
}

// TestCoded serves templates, and nothing else, in the coding that the client likes best.
func TestCoded(t *testing.T) {
	p := newPool(t).serve().compressed()
	for _, c := range []struct{ accept, want string }{
		{"", ""},
		{"identity", ""},
		{"br, deflate", ""},
		{"gzip", "gzip"},
		{"zstd", "zstd"},
		{"deflate, gzip, br, zstd", "zstd"},
		{"gzip, zstd;q=0.5", "gzip"},
		{"gzip;q=0", ""},
	} {
		var header []string
		if c.accept != "" {
			header = []string{"Accept-Encoding: " + c.accept}
		}
		label := c.want
		if label == "" {
			label = labelIdentity
		}
		before := count(t, p.metrics.answers.WithLabelValues(label))
		got := p.do(plainRequest, header...)
		checkWork(t, got)
		if coding := got.header.Get("Content-Encoding"); coding != c.want || got.header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("%q: %q, varies by %q", c.accept, coding, got.header.Get("Vary"))
		}
		if after := count(t, p.metrics.answers.WithLabelValues(label)); after != before+1 {
			t.Errorf("%q: %v %s answers were counted", c.accept, after-before, label)
		}
		if length, err := strconv.Atoi(got.header.Get("Content-Length")); err != nil || c.want == "" && length != len(got.body) || c.want != "" && length >= len(got.body) {
			t.Errorf("%q: Content-Length is %d for %d bytes", c.accept, length, len(got.body))
		}
		for name, other := range map[string]string{
			"another method": `{"method":"getmininginfo","id":1}`,
			"an error":       `{"method":"getblocktemplate","params":[7],"id":1}`,
			"a batch":        "[" + plainRequest + "," + plainRequest + "]",
		} {
			if got := p.do(other, header...); got.header.Get("Content-Encoding") != "" || got.header.Get("Vary") != "" {
				t.Errorf("%s: coded: %v", name, got.header)
			}
		}
	}
	v2 := p.do(`{"jsonrpc":"2.0",`+plainRequest[1:], "Accept-Encoding: zstd")
	checkWork(t, v2)
	if !strings.HasPrefix(v2.body, `{"jsonrpc":"2.0","result":{`) || !strings.HasSuffix(v2.body, `,"id":7}`+"\n") {
		t.Errorf("%s", v2.body)
	}
}

// TestCodedNot serves a template that is not compressed as it is.
func TestCodedNot(t *testing.T) {
	p := newPoolFeeding(t, gbt.FeedConfig{Coinbaser: gbt.PayTo{0x51}}).serve()
	got := p.do(plainRequest, "Accept-Encoding: gzip, zstd")
	checkWork(t, got)
	if got.header.Get("Content-Encoding") != "" || got.header.Get("Vary") == "" {
		t.Errorf("%v", got.header)
	}
}

// TestCodedLongPoll codes the answer to a long poll, unless it has begun without.
func TestCodedLongPoll(t *testing.T) {
	inBubble(t, func(p *pool) {
		synctest.Wait() // until the template is compressed
		c := p.dial()
		in := bufio.NewReader(c)
		send(t, c, post(poll("old"), "Accept-Encoding: gzip"))
		got := readAnswer(t, in)
		checkWork(t, got)
		if got.header.Get("Content-Encoding") != "gzip" {
			t.Errorf("%v", got.header)
		}
		send(t, c, post(poll(p.pollID()), "Accept-Encoding: gzip"))
		time.Sleep(45 * time.Second) // it has begun
		p.desk.fail(nil, gbt.ErrUnavailable)
		p.publish(2)
		synctest.Wait() // until that is compressed too
		p.desk.fail(nil, nil)
		got = readAnswer(t, in)
		checkWork(t, got)
		if got.header.Get("Content-Encoding") != "" || !strings.HasPrefix(got.body, " ") {
			t.Errorf("%v %q", got.header, got.body)
		}
		_ = c.Close()
	}, func(c *Config) { c.KeepAlive = 30 * time.Second })
}

// TestCodedCurl has curl, and so libcurl, ask and decode as the miners that are built on it.
func TestCodedCurl(t *testing.T) {
	p := newPool(t).serve().compressed()
	for _, coding := range []string{"", "gzip", "zstd"} {
		args := []string{"-sS", "-D", "-", "--compressed", "-u", user + ":x", "-d", plainRequest, "http://" + p.address}
		if coding != "" {
			args = append([]string{"-H", "Accept-Encoding: " + coding}, args...)
		}
		out, err := exec.CommandContext(t.Context(), "curl", args...).Output()
		if err != nil {
			t.Fatalf("the test needs curl: %v", err)
		}
		head, body, _ := bytes.Cut(out, []byte("\r\n\r\n"))
		checkWork(t, answer{status: 200, body: string(body)})
		if coding == "" {
			coding = "zstd"
		}
		if !strings.Contains(string(head), "Content-Encoding: "+coding) {
			t.Errorf("%s", head)
		}
	}
}
