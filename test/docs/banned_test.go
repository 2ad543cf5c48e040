package docs_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/address/v2"
)

// call sends a miner's call, and returns its answer with the body.
func (s *stage) call(t *testing.T, user, body string) (*http.Response, string) {
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
	return res, string(text)
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
		res, text := s.call(t, user, submission)
		if res.StatusCode != http.StatusOK {
			t.Fatalf("a submission is answered %s: %s", res.Status, text)
		}
		banned := strings.Contains(text, `"result":"banned"`)
		if detail := res.Header.Get("X-Reject-Detail"); banned && (!strings.Contains(detail, "is banned until") || !strings.Contains(detail, "what your program sends is no block")) {
			t.Errorf("X-Reject-Detail says %q", detail)
		}
		return banned
	})
	if sent <= 100 {
		t.Errorf("the ban came after %d submissions", sent)
	}
	res, text := s.call(t, user, template)
	if res.StatusCode != http.StatusForbidden || res.Header.Get("Retry-After") == "" || !strings.Contains(text, "is banned until") {
		t.Errorf("who is banned is answered %s, %v: %s", res.Status, res.Header, text)
	}
	if res, text := s.call(t, s.values["ADDRESS"]+".rig1", template); res.StatusCode != http.StatusOK {
		t.Errorf("another account at the same address is answered %s: %s", res.Status, text)
	}
}
