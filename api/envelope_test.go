package api

import (
	"bytes"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// exchangeText is one section of testdata/envelope.txt.
type exchangeText struct {
	name, request, response string
	status                  int
}

func envelopes(tb testing.TB) []exchangeText {
	tb.Helper()
	raw, err := os.ReadFile("testdata/envelope.txt")
	if err != nil {
		tb.Fatal(err)
	}
	var out []exchangeText
	for section := range strings.SplitSeq(string(raw), "\n\n") {
		if strings.HasPrefix(section, "#") {
			continue
		}
		name, rest, _ := strings.Cut(strings.TrimSuffix(section, "\n"), "\n-> ")
		request, rest, ok := strings.Cut(rest, "\n<- ")
		status, response, _ := strings.Cut(rest, " ")
		code, err := strconv.Atoi(status)
		if !ok || err != nil {
			tb.Fatalf("malformed section %q: %v", section, err)
		}
		out = append(out, exchangeText{name, request, response, code})
	}
	return out
}

func TestEnvelope(t *testing.T) {
	p := newPool(t).serve()
	for _, x := range envelopes(t) {
		t.Run(x.name, func(t *testing.T) {
			got := p.do(x.request)
			want := x.response
			if want != "" {
				want += "\n"
			}
			if got.status != x.status || got.body != want {
				t.Errorf("got %d %q\nwant %d %q", got.status, got.body, x.status, want)
			}
			if x.status != 204 && got.header.Get("Content-Type") != "application/json" {
				t.Errorf("Content-Type is %q", got.header.Get("Content-Type"))
			}
			if got.header.Get("X-Stratum") != "" {
				t.Error("X-Stratum sends miners to another protocol")
			}
		})
	}
}

// TestContentTypes: documentation of nodes shows several, and browsers' fetch sends text/plain.
func TestContentTypes(t *testing.T) {
	p := newPool(t).serve()
	for _, kind := range []string{"application/json", "text/plain;", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"} {
		if got := p.do(`{"method":"getblockcount","id":1}`, "Content-Type: "+kind); got.status != 200 {
			t.Errorf("%s: %d %s", kind, got.status, got.body)
		}
	}
}

func TestBatchSize(t *testing.T) {
	p := newPool(t).serve()
	call := `{"method":"getblockcount","id":1}`
	if got := p.do("[" + strings.Repeat(call+",", maxBatch-1) + call + "]"); got.status != 200 || strings.Count(got.body, "101") != maxBatch {
		t.Errorf("a batch at the limit: %d %.200s", got.status, got.body)
	}
	got := p.do("[" + strings.Repeat(call+",", maxBatch) + call + "]")
	if _, e := got.rpc(t); got.status != 400 || e == nil || e.Code != codeInvalidRequest {
		t.Errorf("a batch beyond the limit: %d %.200s", got.status, got.body)
	}
}

// FuzzDecodeMessage: whatever comes, what is taken from it is a part of it, replies are JSON, and
// decoding a call once more from its parts gives the same call.
func FuzzDecodeMessage(f *testing.F) {
	for _, x := range envelopes(f) {
		f.Add([]byte(x.request))
	}
	f.Add([]byte(`{"method":"submitblock","params":["00ff",{"workid":"é\n\ud83d\ude00"}],"id":[[]]}`))
	f.Add([]byte("{\"method\":\"\xff\"}"))
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		msg, err := decodeMessage(body)
		if !bytes.Equal(body, before) {
			t.Fatal("decoding changed the body")
		}
		if err == nil && !jsontext.Value(body).IsValid(jsontext.AllowDuplicateNames(true)) {
			t.Fatal("accepted what is not JSON")
		}
		if len(msg.calls) > maxBatch {
			t.Fatalf("%d calls", len(msg.calls))
		}
		calls := msg.calls
		if msg.found {
			calls = append(calls, msg.call)
		}
		for i := range calls {
			q := &calls[i]
			for _, reply := range []pieces{q.reply(pieces{null()}, nil), q.reply(nil, asRPCError(errParse()))} {
				if text := jsontext.Value(slices.Concat(reply...)); !text.IsValid(jsontext.AllowDuplicateNames(true)) {
					t.Fatalf("the reply is no JSON: %s", text)
				}
			}
			args, argsErr := q.arguments("hexdata", "parameters")
			if argsErr == nil && len(args) != 2 {
				t.Fatalf("%d arguments", len(args))
			}
			if err == nil && q.err == nil {
				again(t, q)
			}
			c := call{request: *q}
			if _, err := c.submission(); err == nil && q.err != nil {
				t.Fatal("a submission in a malformed call")
			}
		}
	})
}

// again decodes a call that was put together from the parts of q.
func again(t *testing.T, q *request) {
	t.Helper()
	version := `"1.0"`
	if q.v2 {
		version = `"2.0"`
	}
	name, err := jsontext.AppendQuote(nil, q.method)
	if err != nil {
		t.Fatal(err)
	}
	text := `{"jsonrpc":` + version + `,"method":` + string(name)
	if q.params != nil {
		text += `,"params":` + string(q.params)
	}
	if q.id != nil {
		text += `,"id":` + string(q.id)
	}
	got, err := decodeRequest(jsontext.Value(text + "}"))
	if err != nil || got.err != nil || got.method != q.method || got.v2 != q.v2 ||
		!bytes.Equal(got.params, q.params) || !bytes.Equal(got.id, q.id) {
		t.Fatalf("%+v became %+v: %v", q, got, err)
	}
}
