package payouts

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestPolicyCheck(t *testing.T) {
	sound := Policy{Threshold: 1, FeeCeiling: 5000, Bearer: BearerPool}
	if err := sound.Check(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(p *Policy){
		"negative threshold": func(p *Policy) { p.Threshold = -1 },
		"endless threshold":  func(p *Policy) { p.Threshold = MaxMoney + 1 },
		"no ceiling":         func(p *Policy) { p.FeeCeiling = 0 },
		"below the floor":    func(p *Policy) { p.FeeFloor, p.FeeCeiling = 10, 9 },
		"negative floor":     func(p *Policy) { p.FeeFloor = -1 },
		"endless ceiling":    func(p *Policy) { p.FeeCeiling = MaxFeeRate + 1 },
		"low fallback":       func(p *Policy) { p.FeeFallback = 999 },
		"high fallback":      func(p *Policy) { p.FeeFallback = 5001 },
		"nobody bears":       func(p *Policy) { p.Bearer = "" },
		"negative outputs":   func(p *Policy) { p.MaxOutputs = -1 },
		"many outputs":       func(p *Policy) { p.MaxOutputs = 4998 },
		"heavy":              func(p *Policy) { p.MaxWeight = 400_001 },
		"light":              func(p *Policy) { p.MaxWeight = 100 },
		"approval":           func(p *Policy) { p.ApproveAbove = -1 },
	} {
		p := sound
		change(&p)
		if err := p.Check(); !errors.Is(err, ErrPolicy) {
			t.Errorf("%s: %v, want ErrPolicy", name, err)
		}
	}
}

func TestPolicyFeeRate(t *testing.T) {
	p := Policy{FeeFloor: 2000, FeeCeiling: 50_000, Bearer: BearerPool}
	fallback := p
	fallback.FeeFallback = 7000
	none := fmt.Errorf("node a: %w", ErrNoEstimate)
	tests := []struct {
		name     string
		policy   Policy
		estimate int64
		err      error
		rate     int64
		wait     error
		says     string
	}{
		{"as estimated", p, 3000, nil, 3000, nil, ""},
		{"at the floor", p, 2000, nil, 2000, nil, ""},
		{"below the floor", p, 1, nil, 2000, nil, ""},
		{"at the ceiling", p, 50_000, nil, 50_000, nil, ""},
		{"above the ceiling", p, 50_001, nil, 0, ErrFeeTooHigh, "50001 sat per 1000 vB are needed, the ceiling is 50000"},
		{"above the ceiling, with a fallback", fallback, 50_001, nil, 0, ErrFeeTooHigh, "50001"},
		{"no estimate", p, 0, none, 0, ErrNoEstimate, "node a"},
		{"nothing at all", p, 0, nil, 0, ErrNoEstimate, "0 sat"},
		{"a negative one", p, -5, nil, 0, ErrNoEstimate, "-5 sat"},
		{"no estimate, with a fallback", fallback, 0, none, 7000, nil, ""},
		{"nodes are away", fallback, 0, context.DeadlineExceeded, 0, context.DeadlineExceeded, "wait"},
	}
	for _, test := range tests {
		rate, wait := test.policy.FeeRate(test.estimate, test.err)
		if rate != test.rate || !errors.Is(wait, test.wait) || wait != nil && !strings.Contains(wait.Error(), test.says) {
			t.Errorf("%s: %d, %v, want %d, %v", test.name, rate, wait, test.rate, test.wait)
		}
	}
}
