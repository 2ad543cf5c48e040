package api

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gbtpool/gbtpool/gbt"
)

// FuzzDecodeBlock has submissions of large blocks mean what they mean to the decoder of all requests. Each ~ stands for
// a long string.
func FuzzDecodeBlock(f *testing.F) {
	for _, body := range []string{
		`{"method":"submitblock","params":["~"],"id":1}`,
		`{"id":"x","jsonrpc":"2.0","method":"submitblock","params":["~",{"workid":"w","coinbasesig":"ab"}]}`,
		`{"method":"submitblock","params":{"hexdata":"~","parameters":{"workid":"w"}}}`,
		`{"method":"submitblock","params":{"args":["~"]}}`,
		`{"method":"submitblock","params":["ab","~"]}`,
		`{"method":"submitblock","params":["ab",{"workid":"~"}],"id":"~"}`,
		`{"method":"submitblock","params":["~"],"params":["ab"]}`,
		`{"method":"submitblock","params":["ab"],"params":["~"]}`,
		`{"method":"submitblock","params":["~"]} `, `{"method":"submitblock","params":["~"]`, `{"method":"submitblock","params":["~"]}}`,
		`{"method":"~","params":["~"]}`, `{"~":1,"method":"submitblock","params":["~"]}`,
		`{"method":"submitblock","params":["~\n"]}`, `{"method":"submitblock","params":["~` + "\n" + `"]}`,
		`{"method":"submitblock","params":["~` + "\xff" + `"]}`, `{"method":"submitblock","params":["~\u0061"]}`,
		`{"method":"submit\u0062lock","params":["~"]}`, `{"method":"getblocktemplate","params":[{"mode":"proposal","data":"~"}]}`,
		`[{"method":"submitblock","params":["~"]}]`, `"~"`, `~`, `{"method":"submitblock","params":["~",1,2]}`,
		`{"method":"submitblock","params":["~",null],"id":null}`, `{"method":"submitblock" "params":["~"]}`,
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		if strings.Count(body, "~") > 8 {
			return
		}
		raw := []byte(strings.ReplaceAll(body, "~", strings.Repeat("0fAB", longText/4)))
		q, ok := decodeBlock(raw)
		if !ok {
			return
		}
		agree(t, raw, q)
	})
}

// agree wants a submission that was decoded the short way to be what the decoder of all requests makes of it.
func agree(t *testing.T, raw []byte, q request) {
	t.Helper()
	general, err := decodeGeneral(raw)
	if err != nil || !general.found || general.batch || general.call.err != nil {
		t.Fatalf("it is taken for a submission; the decoder has %v", err)
	}
	want := general.call
	if diff := cmp.Diff([]string{want.method, string(want.id)}, []string{q.method, string(q.id)}); diff != "" || q.v2 != want.v2 {
		t.Errorf("(-want +got)\n%s", diff)
	}
	submissionOf := func(q request) gbt.Submission {
		c := call{request: q}
		s, err := c.submission()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if diff := cmp.Diff(submissionOf(want), submissionOf(q), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestDecodeBlock takes the short way where it can be gone, and no other.
func TestDecodeBlock(t *testing.T) {
	long := strings.Repeat("0f", longText/2)
	for body, want := range map[string]bool{
		`{"method":"submitblock","params":["` + long + `",{"workid":"w"}],"id":1}`:       true,
		`{"method":"submitblock","params":{"hexdata":"` + long + `"},"id":1}`:            true,
		`{"method":"submitblock","params":["` + long[2:] + `"],"id":1}`:                  false,
		`{"method":"submitblock","params":["` + long + "\t" + `"],"id":1}`:               false,
		`{"method":"submitblock","params":["` + long + "\x1f0123456" + `"],"id":1}`:      false,
		`{"method":"submitblock","params":["` + long + `\u0030"],"id":1}`:                false,
		`{"method":"submitblock","params":["` + long + `é"],"id":1}`:                     false,
		`{"method":"submitblock","params":["` + long + "\x83" + `"],"id":1}`:             false,
		`{"method":"submitblock","params":["` + long + "\xff\xff\xff\xff" + `"],"id":1}`: false,
		`[{"method":"submitblock","params":["` + long + `"],"id":1}]`:                    false,
		`{"method":"submitblock","params":["00"],"id":"` + long + `"}`:                   false,
	} {
		q, ok := decodeBlock([]byte(body))
		if ok != want || ok && q.block != long {
			t.Errorf("%s...%s: %v, want %v", body[:60], body[len(body)-20:], ok, want)
		}
	}
}
