package docs_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/address/v2"
)

// answer is what a call is answered.
type answer struct {
	status int
	header http.Header
	text   string
}

// call sends a miner's call.
func (s *stage) call(t *testing.T, user, body string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.addr+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth(user, "x")
	res, err := s.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // it was read
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(text)}
}

// banned sends what is no block in another account's name until that is banned, as docs/miners.md and docs/clients.md
// say, and looks whether the reader mines on.
func (s *stage) banned(t *testing.T) {
	const (
		submission = `{"method":"submitblock","params":["00"]}`
		template   = `{"method":"getblocktemplate","params":[{"rules":["segwit"]}]}`
	)
	other, err := address.NewAddressWitnessPubKeyHash(make([]byte, 20), chain())
	if err != nil {
		t.Fatal(err)
	}
	user, sent := other.EncodeAddress()+".rig1", 0
	await(t, "the ban", func() bool {
		sent++
		got := s.call(t, user, submission)
		if got.status != http.StatusOK {
			t.Fatalf("a submission is answered %+v", got)
		}
		banned := strings.Contains(got.text, `"result":"banned"`)
		if detail := got.header.Get("X-Reject-Detail"); banned && (!strings.Contains(detail, "is banned until") || !strings.Contains(detail, "what your program sends is no block")) {
			t.Errorf("X-Reject-Detail says %q", detail)
		}
		return banned
	})
	if sent <= 100 {
		t.Errorf("the ban came after %d submissions", sent)
	}
	if got := s.call(t, user, template); got.status != http.StatusForbidden || got.header.Get("Retry-After") == "" || !strings.Contains(got.text, "is banned until") {
		t.Errorf("who is banned is answered %+v", got)
	}
	if got := s.call(t, s.values["ADDRESS"]+".rig1", template); got.status != http.StatusOK {
		t.Errorf("another account at the same address is answered %+v", got)
	}
}
