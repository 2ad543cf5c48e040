package api

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gbtpool/gbtpool/gbt"
)

// TestErrors: what a retry cures is HTTP 503 with a JSON-RPC error of a non-zero code, in every
// version of JSON-RPC and for both methods, and nothing else is.
func TestErrors(t *testing.T) {
	for _, tt := range []struct {
		name         string
		err          error
		status, code int
		message      string
	}{
		{"unavailable", gbt.ErrUnavailable, 503, -10, "no block template available"},
		{"unavailable, with the reason", fmt.Errorf("%w: all nodes are lost", gbt.ErrUnavailable), 503, -10, "no block template available: all nodes are lost"},
		{"budget", gbt.ErrBudget, 503, -1, "the budget for checking blocks of one's own is spent: try again in a minute"},
		{"budget, with the time", fmt.Errorf("set: %w", &gbt.BudgetError{What: "6 checks a minute", Wait: 2500 * time.Millisecond}), 503, -1,
			"the budget for checking blocks of one's own is spent: 6 checks a minute, try again in 3s"},
		{"closed", gbt.ErrClosed, 503, -9, "Shutting down"},
		{"stopping", errDraining, 503, -9, "Shutting down"},
		{"out of time", context.DeadlineExceeded, 503, -10, "the pool did not get an answer in time; try again"},
		{"unknown", errors.New("with details for the log"), 500, -32603, "Internal error"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPool(t, func(c *Config) {
				c.Intake = intakeFunc(func(context.Context, gbt.Submission) gbt.Verdict { return gbt.Verdict{Err: tt.err} })
				c.BestChain = fixedChain{err: tt.err}
			}).serve()
			check := func(method string) {
				t.Helper()
				for _, version := range []string{"1.0", "2.0"} {
					got := p.do(`{"jsonrpc":"` + version + `","method":"` + method + `","params":[],"id":0}`)
					if method == methodSubmitBlock {
						got = p.do(`{"jsonrpc":"` + version + `","method":"` + method + `","params":["00"],"id":0}`)
					}
					if _, e := got.rpc(t); got.status != tt.status || e == nil || e.Code != tt.code || e.Message != tt.message {
						t.Errorf("%s %s: got %d %s", method, version, got.status, got.body)
					}
				}
			}
			check(methodSubmitBlock)
			check("getmininginfo")
			check("getblockcount")
			p.desk.fail(tt.err, nil)
			check(methodGetBlockTemplate)
			p.desk.fail(nil, tt.err)
			check(methodGetBlockTemplate)
			if logged := strings.Contains(p.log.String(), "level=ERROR"); logged != (tt.status == 500) {
				t.Errorf("logged as an error: %v\n%s", logged, p.log)
			}
			label := "unavailable"
			if errors.Is(tt.err, gbt.ErrBudget) {
				label = "budget"
			}
			if n := count(t, p.metrics.submissions.WithLabelValues(label)); n != 2 {
				t.Errorf("%g submissions count as %s, want 2", n, label)
			}
		})
	}
}

func TestPanic(t *testing.T) {
	p := newPool(t, func(c *Config) {
		c.Intake = intakeFunc(func(context.Context, gbt.Submission) gbt.Verdict { panic("oops") })
	}).serve()
	got := p.do(`{"method":"submitblock","params":["00"],"id":4}`)
	if want := `{"result":null,"error":{"code":-32603,"message":"Internal error"},"id":4}` + "\n"; got.status != 500 || got.body != want {
		t.Errorf("got %d %s", got.status, got.body)
	}
	if !strings.Contains(p.log.String(), "level=ERROR msg=panic method=submitblock value=oops stack=") {
		t.Errorf("the panic is not in the log:\n%s", p.log)
	}
	if got := p.do(`{"method":"getblockcount","id":1}`); got.status != 200 {
		t.Errorf("the server does not go on: %d", got.status)
	}
}

// TestErrorText: an error's text is JSON whatever a client put into it.
func TestErrorText(t *testing.T) {
	p := newPool(t).serve()
	got := p.do(`{"method":"getblockcount","params":{"\u0000\"\\\ud83d\ude00<":1},"id":0}`)
	if _, e := got.rpc(t); e == nil || e.Message != "Unknown named parameter \x00\"\\\U0001f600<" {
		t.Errorf("got %s", got.body)
	}
	got = p.do(`{"method":"getblockcount","id":0}`, basic("\xff\x00\"", "x"))
	if _, e := got.rpc(t); got.status != 401 || e == nil || e.Code != codeAddress {
		t.Errorf("got %s", got.body)
	}
}
