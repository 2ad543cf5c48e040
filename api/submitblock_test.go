package api

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gbtpool/gbtpool/gbt"
)

// TestReasons walks every reason of BIP 22, some of Bitcoin Core's and acceptance: each is HTTP
// 200 with the reason as the result, and counted under a closed set of labels.
func TestReasons(t *testing.T) {
	tests := []struct {
		reason gbt.Reason
		label  string
	}{
		{"", "accepted"},
		{gbt.BadCbFlag, "bad-cb-flag"}, {gbt.BadCbLength, "bad-cb-length"}, {gbt.BadCbPrefix, "bad-cb-prefix"},
		{gbt.BadDiffbits, "bad-diffbits"}, {gbt.BadPrevblk, "bad-prevblk"}, {gbt.BadTxnmrklroot, "bad-txnmrklroot"},
		{gbt.BadTxns, "bad-txns"}, {gbt.BadVersion, "bad-version"}, {gbt.Duplicate, "duplicate"},
		{gbt.HighHash, "high-hash"}, {gbt.Rejected, "rejected"}, {gbt.StalePrevblk, "stale-prevblk"},
		{gbt.StaleWork, "stale-work"}, {gbt.TimeInvalid, "time-invalid"}, {gbt.TimeTooNew, "time-too-new"},
		{gbt.TimeTooOld, "time-too-old"}, {gbt.UnknownUser, "unknown-user"}, {gbt.UnknownWork, "unknown-work"},
		{"bad-txns-inputs-missingorspent", "bad-txns-inputs-missingorspent"}, {"bad-cb-amount", "bad-cb-amount"},
		{"bad-version(0x00000001)", "bad-version"}, {"rejected: in words of its own", "rejected"},
		{"mandatory-script-verify-flag-failed (Signature must be zero)", "mandatory-script-verify-flag-failed"},
		{"bad-txns-of-a-new-kind", "other"}, {`odd "reason"`, "other"}, {" ", "other"},
	}
	for _, tt := range tests {
		t.Run(string(tt.reason), func(t *testing.T) {
			p := newPool(t, func(c *Config) {
				c.Intake = intakeFunc(func(context.Context, gbt.Submission) gbt.Verdict { return gbt.Verdict{Reason: tt.reason} })
			}).serve()
			for _, version := range []string{"1.0", "2.0"} {
				got := p.do(`{"jsonrpc":"` + version + `","method":"submitblock","params":["00"],"id":0}`)
				want := "null"
				if tt.reason != "" {
					want = strconv.Quote(string(tt.reason))
				}
				if result, e := got.rpc(t); got.status != 200 || e != nil || string(result) != want {
					t.Errorf("got %d %s", got.status, got.body)
				}
			}
			if n := count(t, p.metrics.submissions.WithLabelValues(tt.label)); n != 2 {
				t.Errorf("%s counts %g, want 2", tt.label, n)
			}
		})
	}
}

// TestGarbage: whatever is wrong with a submission, it has a result and no error.
func TestGarbage(t *testing.T) {
	asked := make(chan gbt.Submission, 100)
	p := newPool(t, func(c *Config) {
		c.Intake = intakeFunc(func(_ context.Context, s gbt.Submission) gbt.Verdict {
			asked <- s
			return gbt.Verdict{Reason: gbt.Rejected, Detail: "too short"}
		})
		c.Limits.Body = 100_000
	}).serve()
	large := strings.Repeat("0", 100_000)
	for name, body := range map[string]string{
		"no params":              `{"method":"submitblock","id":5}`,
		"null params":            `{"method":"submitblock","params":null,"id":5}`,
		"params of another type": `{"method":"submitblock","params":5,"id":5}`,
		"empty params":           `{"method":"submitblock","params":[],"id":5}`,
		"null":                   `{"method":"submitblock","params":[null],"id":5}`,
		"number":                 `{"method":"submitblock","params":[5],"id":5}`,
		"object":                 `{"method":"submitblock","params":[{}],"id":5}`,
		"too many":               `{"method":"submitblock","params":["00",{},5],"id":5}`,
		"unknown name":           `{"method":"submitblock","params":{"block":"00"},"id":5}`,
		"not hexadecimal":        `{"method":"submitblock","params":["zz"],"id":5}`,
		"odd":                    `{"method":"submitblock","params":["000"],"id":5}`,
		"empty":                  `{"method":"submitblock","params":[""],"id":5}`,
		"unknown version":        `{"jsonrpc":"3.0","method":"submitblock","params":["00"],"id":5}`,
		"cut short":              `{"id":5,"method":"submitblock","params":["00`,
		"not JSON after all":     `{"id":5,"method":"submitblock","params":["00"] x}`,
		"not UTF-8":              "{\"id\":5,\"method\":\"submitblock\",\"params\":[\"\xff\"]}",
		"too large":              `{"id":5,"method":"submitblock","params":["` + large + `"]}`,
		"too large, method last": `{"id":5,"params":["` + large + `"],"method":"submitblock"}`,
		"much too large":         `{"id":5,"method":"submitblock","params":["` + large + large + large + `"]}`,
	} {
		t.Run(name, func(t *testing.T) {
			got := p.do(body)
			if want := `{"result":"rejected","error":null,"id":5}` + "\n"; got.status != 200 || got.body != want {
				t.Errorf("got %d %q", got.status, got.body)
			}
		})
	}
	if n := len(asked); n != 3 {
		t.Errorf("the intake was asked %d times, want only for the three that are strings", n)
	}
	if got := count(t, p.metrics.submissions.WithLabelValues("rejected")); got != 19 {
		t.Errorf("%g rejected submissions counted, want 19", got)
	}
	// What is too large and says that it is something else is no submission.
	got := p.do(`{"id":5,"method":"getblocktemplate","params":["` + large + `"]}`)
	if _, e := got.rpc(t); got.status != 413 || e == nil || e.Code != codeInvalidRequest {
		t.Errorf("too large for any other method: got %d %s", got.status, got.body)
	}
}

// TestTooLargeIsHeard: a client that is still sending is heard out before it is answered.
func TestTooLargeIsHeard(t *testing.T) {
	inBubble(t, func(p *pool) {
		got := exchange(p.t, p.dial(), post(`{"id":5,"method":"submitblock","params":["`+strings.Repeat("0", 480_000)+`"]}`))
		if want := `{"result":"rejected","error":null,"id":5}` + "\n"; got.status != 200 || got.body != want {
			p.t.Errorf("got %d %q", got.status, got.body)
		}
	}, func(c *Config) { c.Limits.Body = 100_000 })
}

// TestSubmission: what miners send arrives at the intake.
func TestSubmission(t *testing.T) {
	asked := make(chan gbt.Submission, 1)
	p := newPool(t, func(c *Config) {
		c.Intake = intakeFunc(func(_ context.Context, s gbt.Submission) gbt.Verdict {
			asked <- s
			return gbt.Verdict{}
		})
	}).serve()
	account, _, err := gbt.ParseUser(user, p.cfg.Chain)
	if err != nil {
		t.Fatal(err)
	}
	large := strings.Repeat("0f", 4_000_000)
	for _, tt := range []struct {
		name, params string
		want         gbt.Submission
	}{
		{"alone", `["00ff"]`, gbt.Submission{Data: "00ff"}},
		{"workid", `["00ff",{"workid":"a-_"}]`, gbt.Submission{Data: "00ff", WorkID: "a-_"}},
		{"no workid", `["00ff",{}]`, gbt.Submission{Data: "00ff"}},
		{"null", `["00ff",null]`, gbt.Submission{Data: "00ff"}},
		{"nulls", `["00ff",{"workid":null,"coinbasesig":null,"coinbaseadd":null}]`, gbt.Submission{Data: "00ff"}},
		{"dummy of Bitcoin Core", `["00ff","dummy"]`, gbt.Submission{Data: "00ff"}},
		{"of other types", `["00ff",{"workid":5,"coinbasesig":["x"],"coinbaseadd":{}}]`, gbt.Submission{Data: "00ff"}},
		{"by name", `{"hexdata":"00ff","parameters":{"workid":"w"}}`, gbt.Submission{Data: "00ff", WorkID: "w"}},
		{"truncated", `["00ff",{"workid":"w","coinbasesig":"03aa"}]`, gbt.Submission{Data: "00ff", WorkID: "w", CoinbaseSig: "03aa"}},
		{"truncated, appended", `["00ff",{"coinbaseadd":"ff","x":[1],"workid":"w"}]`, gbt.Submission{Data: "00ff", WorkID: "w", CoinbaseAdd: "ff"}},
		{"twice", `["00ff",{"workid":"first","workid":"second"}]`, gbt.Submission{Data: "00ff", WorkID: "first"}},
		{"escaped", `["\u0030\u0030",{"workid":"\u0077"}]`, gbt.Submission{Data: "00", WorkID: "w"}},
		{"the largest block", `["` + large + `"]`, gbt.Submission{Data: large}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := time.Now()
			got := p.do(`{"method":"submitblock","params":` + tt.params + `,"id":1}`)
			if got.status != 200 || got.body != `{"result":null,"error":null,"id":1}`+"\n" {
				t.Fatalf("got %d %s", got.status, got.body)
			}
			s := <-asked
			if s.Received.Before(before) || s.Received.After(time.Now()) {
				t.Errorf("received at %s", s.Received)
			}
			tt.want.Account, tt.want.Worker, tt.want.UserAgent = account, "rig1", "test/1"
			if diff := cmp.Diff(tt.want, s, cmpopts.IgnoreFields(gbt.Submission{}, "Received")); diff != "" {
				t.Errorf("%.500s", diff)
			}
		})
	}
}

// TestUnknownUser: a block is a block whoever sends it, but it earns nobody anything.
func TestUnknownUser(t *testing.T) {
	asked := make(chan gbt.Submission, 1)
	p := newPool(t, func(c *Config) {
		c.Intake = intakeFunc(func(_ context.Context, s gbt.Submission) gbt.Verdict {
			asked <- s
			return gbt.Verdict{Err: gbt.ErrUnavailable}
		})
	}).serve()
	got := p.do(`{"method":"submitblock","params":["00"],"id":1}`, basic("satoshi", "x"))
	if got.status != 200 || got.body != `{"result":"unknown-user","error":null,"id":1}`+"\n" {
		t.Errorf("got %d %s", got.status, got.body)
	}
	if s := <-asked; s.Account != (gbt.Account{}) || s.Data != "00" {
		t.Errorf("the intake was asked about %+v", s)
	}
}

// TestPasswordOfSubmission: what is wrong with the password matters to new work alone.
func TestPasswordOfSubmission(t *testing.T) {
	p := newPool(t).serve()
	if got := p.do(`{"method":"submitblock","params":["00"],"id":1}`, basic(user, "d=1k")); got.status != 200 {
		t.Errorf("got %d %s", got.status, got.body)
	}
}

// TestMinerHangsUp: the submission goes its way when its miner is gone.
func TestMinerHangsUp(t *testing.T) {
	gone := make(chan error, 1)
	inBubble(t, func(p *pool) {
		t := p.t
		c := p.dial()
		send(t, c, post(`{"method":"submitblock","params":["00"],"id":1}`))
		time.Sleep(time.Second)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if err := <-gone; err != nil {
			t.Errorf("the submission was cut off: %v", err)
		}
		if n := count(t, p.metrics.submissions.WithLabelValues("accepted")); n != 1 {
			t.Errorf("%g accepted", n)
		}
	}, func(c *Config) {
		c.Intake = intakeFunc(func(ctx context.Context, _ gbt.Submission) gbt.Verdict {
			time.Sleep(5 * time.Second)
			gone <- ctx.Err()
			return gbt.Verdict{}
		})
	})
}

func TestBlocks(t *testing.T) {
	for _, tt := range []struct {
		name    string
		verdict gbt.Verdict
		label   string
	}{
		{"accepted", gbt.Verdict{Block: true}, "accepted"},
		{"accepted without credit", gbt.Verdict{Block: true, Reason: gbt.StaleWork}, "accepted"},
		{"refused by the nodes", gbt.Verdict{Block: true, Reason: gbt.BadTxns, BlockReason: gbt.BadTxns}, "refused"},
		{"no node reached", gbt.Verdict{Block: true, BlockErr: errors.New("all nodes are down")}, "failed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.verdict.Hash = chainhash.Hash{1}
			p := newPool(t, func(c *Config) {
				c.Intake = intakeFunc(func(context.Context, gbt.Submission) gbt.Verdict { return tt.verdict })
			}).serve()
			p.do(`{"method":"submitblock","params":["00"],"id":1}`)
			if n := count(t, p.metrics.blocks.WithLabelValues(tt.label)); n != 1 {
				t.Errorf("%s counts %g", tt.label, n)
			}
			for _, part := range []string{"level=INFO msg=block", "account=" + address, "worker=rig1", "user_agent=test/1", tt.verdict.Hash.String()} {
				if !strings.Contains(p.log.String(), part) {
					t.Errorf("the log lacks %q:\n%s", part, p.log)
				}
			}
		})
	}
}

// TestLogOfShares: rejections are for the operator, accepted shares for who looks for them, and
// passwords for nobody.
func TestLogOfShares(t *testing.T) {
	verdict := gbt.Verdict{}
	p := newPool(t, func(c *Config) {
		c.Intake = intakeFunc(func(context.Context, gbt.Submission) gbt.Verdict { return verdict })
	}).serve()
	const body = `{"method":"submitblock","params":["00"],"id":1}`
	p.do(body, basic(user, "secret"))
	if !strings.Contains(p.log.String(), `level=DEBUG msg="share accepted" account=`+address+" worker=rig1") {
		t.Errorf("no line for the accepted share:\n%s", p.log)
	}
	verdict = gbt.Verdict{Reason: gbt.HighHash, Detail: "why"}
	p.do(body, basic(user, "secret"))
	if !strings.Contains(p.log.String(), `level=INFO msg="submission rejected" account=`+address) ||
		!strings.Contains(p.log.String(), "reason=high-hash detail=why") {
		t.Errorf("no line for the rejection:\n%s", p.log)
	}
	if strings.Contains(p.log.String(), "secret") {
		t.Error("the log has the password")
	}
}
