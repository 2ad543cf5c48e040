package api

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gbtpool/gbtpool/gbt"
)

// proposal is the body of a proposal.
func proposal(data string) string {
	return `{"method":"getblocktemplate","params":[{"mode":"proposal","data":"` + data + `"}],"id":1}`
}

// ruling makes a server that rules on every proposal alike.
func ruling(r gbt.Ruling) func(*Config) {
	return func(c *Config) {
		c.Proposer = proposerFunc(func(context.Context, gbt.Submission) gbt.Ruling { return r })
	}
}

// TestRulings: each ruling is HTTP 200 with a result as BIP 23 has it, says more in a header and in
// the log if there is more to say, and counts under a closed set of outcomes.
func TestRulings(t *testing.T) {
	const txid = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	for _, tt := range []struct {
		name, result, outcome string
		ruling                gbt.Ruling
	}{
		{"as issued", `null`, "accepted", gbt.Ruling{}},
		{"declared", `{"workid":"w-1"}`, "declared", gbt.Ruling{WorkID: "w-1"}},
		{"another coinbase", "", "delta", gbt.Ruling{WorkID: "w-1", Coinbase: []byte{1, 2}, Detail: "the outputs have to be others"}},
		{"of BIP 22", `"bad-txns"`, "bad-txns", gbt.Ruling{Reason: gbt.BadTxns, Detail: "transaction 2, " + txid}},
		{"of Bitcoin Core", `"bad-txns-inputs-missingorspent"`, "bad-txns-inputs-missingorspent",
			gbt.Ruling{Reason: "bad-txns-inputs-missingorspent", Detail: "a full node refuses the transactions"}},
		{"of Bitcoin Core, with its details", `"block-script-verify-flag-failed (Script failed an OP_EQUALVERIFY operation)"`,
			"block-script-verify-flag-failed", gbt.Ruling{Reason: "block-script-verify-flag-failed (Script failed an OP_EQUALVERIFY operation)"}},
		{"of nobody", `"bad-moon"`, "other", gbt.Ruling{Reason: "bad-moon"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPool(t, ruling(tt.ruling)).serve()
			got := p.do(proposal("00ff"))
			result, e := got.rpc(t)
			if got.status != 200 || e != nil {
				t.Fatalf("got %d %s", got.status, got.body)
			}
			if tt.result == "" {
				want, err := tt.ruling.Result()
				if err != nil {
					t.Fatal(err)
				}
				tt.result = string(want)
			}
			if string(result) != tt.result {
				t.Errorf("got %s, want %s", result, tt.result)
			}
			if h := got.header.Get("X-Reject-Detail"); h != tt.ruling.Detail {
				t.Errorf("X-Reject-Detail is %q", h)
			}
			if n := count(t, p.metrics.proposals.WithLabelValues(tt.outcome)); n != 1 {
				t.Errorf("%s counts %g", tt.outcome, n)
			}
			for _, part := range []string{
				"account=" + address, "worker=rig1", "user_agent=test/1", "outcome=" + tt.outcome, tt.ruling.Detail, string(tt.ruling.Reason),
			} {
				if !strings.Contains(p.log.String(), part) {
					t.Errorf("the log lacks %q:\n%s", part, p.log)
				}
			}
			refused := strings.Contains(p.log.String(), `level=INFO msg="proposal refused"`)
			if refused != (tt.ruling.Reason != "") {
				t.Errorf("logged as refused: %v\n%s", refused, p.log)
			}
		})
	}
}

// TestProposal: what a miner proposes arrives where it is ruled on, and nowhere else.
func TestProposal(t *testing.T) {
	asked := make(chan gbt.Submission, 1)
	p := newPool(t, func(c *Config) {
		c.Proposer = proposerFunc(func(_ context.Context, s gbt.Submission) gbt.Ruling {
			asked <- s
			return gbt.Ruling{}
		})
	}).serve()
	account, _, err := gbt.ParseUser(user, p.cfg.Chain)
	if err != nil {
		t.Fatal(err)
	}
	large := strings.Repeat("0f", 4_000_000)
	for _, tt := range []struct{ name, params, data, workID string }{
		{"alone", `[{"mode":"proposal","data":"00ff"}]`, "00ff", ""},
		{"workid", `[{"data":"00ff","workid":"a-_","mode":"proposal"}]`, "00ff", "a-_"},
		{"null", `[{"data":"00ff","workid":null,"mode":"proposal"}]`, "00ff", ""},
		{"by name", `{"template_request":{"mode":"proposal","data":"00ff"}}`, "00ff", ""},
		{"with what is for templates", `[{"mode":"proposal","data":"00ff","rules":["segwit"],"capabilities":["proposal"],"longpollid":"x","nonces":0}]`, "00ff", ""},
		{"empty", `[{"mode":"proposal","data":""}]`, "", ""},
		{"the largest block", `[{"mode":"proposal","data":"` + large + `"}]`, large, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := p.do(`{"method":"getblocktemplate","params":`+tt.params+`,"id":1}`, basic(user, "d=nonsense"))
			if got.status != 200 || got.body != `{"result":null,"error":null,"id":1}`+"\n" {
				t.Fatalf("got %d %s", got.status, got.body)
			}
			s := <-asked
			want := gbt.Submission{Account: account, Worker: "rig1", Data: tt.data, WorkID: tt.workID, UserAgent: "test/1"}
			if diff := cmp.Diff(want, s, cmpopts.IgnoreFields(gbt.Submission{}, "Received")); diff != "" || time.Since(s.Received) > patience {
				t.Errorf("received at %s, %.500s", s.Received, diff)
			}
		})
	}
	if n := len(p.desk.requests); n != 0 {
		t.Errorf("%d templates were issued", n)
	}
}

func TestBadProposals(t *testing.T) {
	p := newPool(t, func(c *Config) {
		c.Proposer = proposerFunc(func(context.Context, gbt.Submission) gbt.Ruling {
			t.Error("the proposer is asked")
			return gbt.Ruling{}
		})
	}).serve()
	for _, tt := range []struct {
		request, message string
		code             int
	}{
		{`{"mode":"proposal"}`, "Missing data String key for proposal", codeType},
		{`{"mode":"proposal","data":null}`, "Missing data String key for proposal", codeType},
		{`{"mode":"proposal","data":["00"]}`, "Missing data String key for proposal", codeType},
		{`{"mode":"proposal","data":"00","workid":1}`, "workid: JSON value of type number is not of expected type string", codeMisc},
		{`{"mode":"Proposal","data":"00"}`, "Invalid mode", codeParameter},
	} {
		got := p.do(`{"method":"getblocktemplate","params":[` + tt.request + `],"id":0}`)
		if _, e := got.rpc(t); got.status != 500 || e == nil || e.Code != tt.code || e.Message != tt.message {
			t.Errorf("%s: got %d %s", tt.request, got.status, got.body)
		}
	}
}

// TestProposalOfUnknownUser: it is refused as a submission is, but nobody looks at it.
func TestProposalOfUnknownUser(t *testing.T) {
	p := newPool(t, func(c *Config) {
		c.Proposer = proposerFunc(func(context.Context, gbt.Submission) gbt.Ruling {
			t.Error("the proposer is asked")
			return gbt.Ruling{}
		})
	}).serve()
	got := p.do(proposal("00"), basic("satoshi", "x"))
	if got.status != 200 || got.body != `{"result":"unknown-user","error":null,"id":1}`+"\n" {
		t.Errorf("got %d %s", got.status, got.body)
	}
	if h := got.header.Get("X-Reject-Detail"); !strings.Contains(h, `"satoshi" is not an address on regtest`) || strings.Contains(h, "code") {
		t.Errorf("X-Reject-Detail is %q", h)
	}
	if n := count(t, p.metrics.proposals.WithLabelValues("unknown-user")); n != 1 {
		t.Errorf("counts %g", n)
	}
}

// TestProposalErrors: what asking again cures is HTTP 503, with the time to wait if that is known.
func TestProposalErrors(t *testing.T) {
	for _, tt := range []struct {
		name                string
		err                 error
		code                int
		retry, outcome, log string
	}{
		{"unavailable", gbt.ErrUnavailable, -10, "", "unavailable", "level=WARN"},
		{"budget", gbt.ErrBudget, -1, "", "budget", "level=INFO"},
		{"budget, with the time", &gbt.BudgetError{What: "6 checks a minute", Wait: 9500 * time.Millisecond}, -1, "10", "budget", "level=INFO"},
		{"timeout", fmt.Errorf("%w: %w", gbt.ErrUnavailable, context.DeadlineExceeded), -10, "", "unavailable", "level=WARN"},
		{"shutdown", gbt.ErrClosed, -9, "", "unavailable", "level=WARN"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPool(t, ruling(gbt.Ruling{Err: tt.err})).serve()
			got := p.do(proposal("00"))
			if _, e := got.rpc(t); got.status != 503 || e == nil || e.Code != tt.code {
				t.Errorf("got %d %s", got.status, got.body)
			}
			if h := got.header.Get("Retry-After"); h != tt.retry {
				t.Errorf("Retry-After is %q", h)
			}
			if n := count(t, p.metrics.proposals.WithLabelValues(tt.outcome)); n != 1 {
				t.Errorf("%s counts %g", tt.outcome, n)
			}
			if !strings.Contains(p.log.String(), tt.log) {
				t.Errorf("the log lacks %q:\n%s", tt.log, p.log)
			}
		})
	}
}

// TestRetryAfterOfSubmission: submissions of sets that need a check have the same budget.
func TestRetryAfterOfSubmission(t *testing.T) {
	p := newPool(t, func(c *Config) {
		c.Intake = intakeFunc(func(context.Context, gbt.Submission) gbt.Verdict {
			return gbt.Verdict{Err: &gbt.BudgetError{What: "6 checks a minute", Wait: time.Millisecond}}
		})
	}).serve()
	const body = `{"method":"submitblock","params":["00"],"id":1}`
	got := p.do(body)
	if _, e := got.rpc(t); got.status != 503 || e == nil || !strings.Contains(e.Message, "6 checks a minute") || got.header.Get("Retry-After") != "1" {
		t.Errorf("got %d %s, Retry-After %q", got.status, got.body, got.header.Get("Retry-After"))
	}
	if text := p.log.String(); !strings.Contains(text, `level=INFO msg="submission put off" account=`+address) || strings.Contains(text, "level=WARN") {
		t.Errorf("the log has:\n%s", text)
	}
	if got := p.do("[" + body + "]"); got.status != 200 || got.header.Get("Retry-After") != "" {
		t.Errorf("in a batch: got %d, Retry-After %q", got.status, got.header.Get("Retry-After"))
	}
}

// TestProposalsInBatch: each has its result, and none has a header, which would be of them all.
func TestProposalsInBatch(t *testing.T) {
	p := newPool(t, ruling(gbt.Ruling{Reason: gbt.BadTxns, Detail: "why"}), func(c *Config) {
		c.Intake = intakeFunc(func(context.Context, gbt.Submission) gbt.Verdict {
			return gbt.Verdict{Reason: gbt.StaleWork, Detail: "why"}
		})
	}).serve()
	got := p.do(`[` + proposal("00") + `,{"method":"submitblock","params":["00"],"id":2}]`)
	const want = `[{"result":"bad-txns","error":null,"id":1},{"result":"stale-work","error":null,"id":2}]` + "\n"
	if got.status != 200 || got.body != want || got.header.Get("X-Reject-Detail") != "" {
		t.Errorf("got %d %s, X-Reject-Detail %q", got.status, got.body, got.header.Get("X-Reject-Detail"))
	}
}

// TestProposerHangsUp: nobody goes on with a proposal whose miner is gone.
func TestProposerHangsUp(t *testing.T) {
	gone := make(chan error, 1)
	inBubble(t, func(p *pool) {
		t := p.t
		c := p.dial()
		send(t, c, post(proposal("00")))
		time.Sleep(time.Second)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("the proposal goes on: %v", err)
		}
		synctest.Wait()
		if n := count(t, p.metrics.proposals.WithLabelValues("aborted")); n != 1 {
			t.Errorf("%g count as aborted", n)
		}
		if strings.Contains(p.log.String(), "level=WARN") {
			t.Errorf("noise in the log:\n%s", p.log)
		}
	}, waiting(gone))
}

// waiting makes a server whose proposals wait until they are cut off.
func waiting(ended chan<- error) func(*Config) {
	return func(c *Config) {
		c.Proposer = proposerFunc(func(ctx context.Context, _ gbt.Submission) gbt.Ruling {
			<-ctx.Done()
			ended <- ctx.Err()
			return gbt.Ruling{Err: fmt.Errorf("%w: %w", gbt.ErrUnavailable, ctx.Err())}
		})
	}
}

// TestProposalTakesTooLong: it is answered in time all the same.
func TestProposalTakesTooLong(t *testing.T) {
	ended := make(chan error, 1)
	inBubble(t, func(p *pool) {
		start := time.Now()
		got := exchange(p.t, p.dial(), post(proposal("00")))
		if _, e := got.rpc(p.t); got.status != 503 || e == nil || e.Code != codeInitialDownload {
			p.t.Errorf("got %d %s", got.status, got.body)
		}
		if took := time.Since(start); took != 5*time.Second || !errors.Is(<-ended, context.DeadlineExceeded) {
			p.t.Errorf("it took %s", took)
		}
	}, waiting(ended), func(c *Config) { c.Limits.Submit = 5 * time.Second })
}

// TestProposalsLeaveRoom: proposals that wait for a node leave memory for submissions.
func TestProposalsLeaveRoom(t *testing.T) {
	ended := make(chan error, 2)
	inBubble(t, func(p *pool) {
		t := p.t
		data := strings.Repeat("0", 90<<10)
		waiters := make([]*heard, 2)
		for i := range waiters {
			c := p.dial()
			waiters[i] = listen(c)
			send(t, c, post(proposal(data)))
		}
		synctest.Wait()
		got := exchange(t, p.dial(), post(proposal(data)))
		if _, e := got.rpc(t); got.status != 503 || e == nil || e.Code != codeOutOfMemory || e.Message != "too many proposals at a time: try again" {
			t.Errorf("one too many: got %d %s", got.status, got.body)
		}
		got = exchange(t, p.dial(), post(`{"method":"submitblock","id":1,"params":["`+data+`"]}`))
		if got.status != 200 {
			t.Errorf("a submission: got %d %s", got.status, got.body)
		}
		time.Sleep(p.cfg.Limits.Submit)
		for _, h := range waiters {
			if got := h.answered(t); got.status != 503 {
				t.Errorf("got %d %s", got.status, got.body)
			}
		}
		if n := p.proposals.used.Load(); n != 0 {
			t.Errorf("%d bytes are not given back", n)
		}
	}, waiting(ended), func(c *Config) { c.Limits.Body, c.Limits.BodyMemory = 100<<10, 400<<10 })
}
