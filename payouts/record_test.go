package payouts

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/google/go-cmp/cmp"
)

func TestRecordRoundTrip(t *testing.T) {
	r := &Record{
		Seq: 7, Previous: Digest{1, 31: 2}, Key: "credit:ab", Kind: KindCredit, Time: time.UnixMilli(1_780_000_000_001).UTC(), By: "gw1",
		Legs: []Leg{{Rewards, -5_000_000_000}, {Miner("alice"), 4_999_999_999}, {Fee, 1}},
		Sets: []Set{{TableBlocks, "ab", `{"state":"credited"}`}, {TablePool, PoolPaused, ""}},
	}
	text, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRecordCheck(t *testing.T) {
	sound := Record{Seq: 1, Key: "k", Kind: KindBook}
	for name, legs := range map[string][]Leg{
		"unbalanced": {{Rewards, -2}, {Fee, 1}}, "twice": {{Fee, 1}, {Fee, -1}}, "nameless": {{"", 1}, {Fee, -1}},
		"nothing": {{Fee, 0}}, "too much": {{Rewards, -MaxMoney - 1}, {Fee, MaxMoney + 1}},
	} {
		r := sound
		r.Legs = legs
		if err := r.Check(); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: %v, want ErrRecord", name, err)
		}
	}
	if err := sound.Check(); err != nil {
		t.Error(err)
	}
}

// TestHashesAreText keeps hashes in records what everybody calls them.
func TestHashesAreText(t *testing.T) {
	text, err := json.Marshal(Plan{Since: chainhash.Hash{1}})
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if want := (chainhash.Hash{1}).String(); got["since"] != want {
		t.Errorf("since is %v, want %s", got["since"], want)
	}
}

// TestRecordSpelling keeps the text that hashes are of as it is.
func TestRecordSpelling(t *testing.T) {
	r := &Record{
		Seq: 7, Key: "k<\"\u2028é", Kind: KindCredit, Time: time.UnixMilli(5).UTC(), By: "gw1",
		Legs: []Leg{{Rewards, -5}, {Miner("alice"), 5}}, Sets: []Set{{TableBlocks, "ab", `{"a":1}`}, {TablePool, PoolPaused, ""}},
	}
	got, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"seq":7,"previous":"0000000000000000000000000000000000000000000000000000000000000000","key":"k\u003c\"\u2028é","kind":"credit","time":5,"by":"gw1",` +
		`"legs":[["rewards",-5],["miner:alice",5]],"sets":[{"t":"blocks","f":"ab","v":"{\"a\":1}"},{"t":"pool","f":"paused"}]}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if _, err := Decode(got); err != nil {
		t.Error(err)
	}
}
