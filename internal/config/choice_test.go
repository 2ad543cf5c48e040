package config

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

const (
	nodesAndAddress = "chain: main\npayout_address: bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4\nnodes: [\"http://127.0.0.1:8332\"]\nredis: redis://127.0.0.1:6379/0\n"
	oneID           = "00000000000000000000000000000000000000000000000000000000000000aa"
)

// TestChoice reads every setting about what miners choose, from the file and from flags.
func TestChoice(t *testing.T) {
	file := nodesAndAddress + `
pay_floor: 0.85
min_fee_rate: 1.5
checks_per_minute: 7
check_bytes_per_minute: 5000000
newcomer_checks_per_minute: 9
parallel_checks: 3
required_transactions: ["` + oneID + `"]
clients:
  - {name: old, agent: oldminer/, form: witness-free, commitment: included, withhold: submit/truncate+prevblock, sigops_below: 5}
servers:
  - {uri: "http://b", priority: 2, weight: 3, sticky: 4, avoid: 5, update: false}
`
	no := false
	id := chainhash.Hash{0: 0xaa}
	want := Choice{
		Rules: gbt.SetRules{Required: []chainhash.Hash{id}, MinFeeRate: 1500}, Floor: 8500,
		Budget: gbt.Budget{Checks: 7, Bytes: 5000000, Newcomers: 9, Parallel: 3},
		Clients: append([]gbt.Profile{{
			Name: "old", Agent: "oldminer/", Form: gbt.FormWitnessFree, Commitment: gbt.CommitmentIncluded,
			Withhold: []string{"submit/truncate", "prevblock"}, SigopsBelow: 5,
		}}, gbt.DefaultProfiles()...),
		Servers: []gbt.Server{{URI: "http://b", Priority: 2, Weight: 3, Sticky: 4, Avoid: 5, Update: &no}},
	}
	for name, source := range map[string]struct {
		file string
		env  map[string]string
		args []string
	}{
		"file": {file: file},
		"flags": {file: nodesAndAddress, args: []string{
			"--pay-floor=0.85", "--min-fee-rate=1.5", "--checks-per-minute=7", "--check-bytes-per-minute=5000000",
			"--newcomer-checks-per-minute=9", "--parallel-checks=3", "--required-transactions=" + oneID,
			"--clients=name=old,agent=oldminer/,form=witness-free,commitment=included,withhold=submit/truncate+prevblock,sigops_below=5",
			"--servers=uri=http://b,priority=2,weight=3,sticky=4,avoid=5,update=false",
		}},
		"variables": {file: nodesAndAddress, env: map[string]string{
			"GBTPOOL_PAY_FLOOR": "0.85", "GBTPOOL_MIN_FEE_RATE": "1.5", "GBTPOOL_CHECKS_PER_MINUTE": "7",
			"GBTPOOL_CHECK_BYTES_PER_MINUTE": "5000000", "GBTPOOL_NEWCOMER_CHECKS_PER_MINUTE": "9", "GBTPOOL_PARALLEL_CHECKS": "3",
			"GBTPOOL_REQUIRED_TRANSACTIONS": oneID,
			"GBTPOOL_CLIENTS":               "name=old,agent=oldminer/,form=witness-free,commitment=included,withhold=submit/truncate+prevblock,sigops_below=5",
			"GBTPOOL_SERVERS":               "uri=http://b,priority=2,weight=3,sticky=4,avoid=5,update=false",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := parse(t, source.file, source.env, source.args...)
			if err != nil {
				t.Fatal(err)
			}
			s, err := p.Validate()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, s.Choice); diff != "" {
				t.Error(diff)
			}
			if !p.MinerTransactions || p.AllowGeneration {
				t.Errorf("miners choose %t, add outputs %t", p.MinerTransactions, p.AllowGeneration)
			}
		})
	}
	p, err := parse(t, nodesAndAddress+"long_poll_url: http://b:9332/lp\nexcluded_transactions: ["+oneID+"]\nforbidden_coinbase_flags: [/P2SH/, NYA]\n", nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := p.Validate()
	if err != nil || !slices.Equal(s.Choice.Rules.Excluded, []chainhash.Hash{id}) {
		t.Errorf("%v: excluded are %s", err, s.Choice.Rules.Excluded)
	}
	if p.LongPollURL != "http://b:9332/lp" || !slices.Equal(p.ForbiddenCoinbaseFlags, []string{"/P2SH/", "NYA"}) {
		t.Errorf("long polls go to %q, forbidden are %q", p.LongPollURL, p.ForbiddenCoinbaseFlags)
	}
	p, err = parse(t, nodesAndAddress+"miner_transactions: false\nallow_generation: true\n", nil)
	if err != nil || p.MinerTransactions || !p.AllowGeneration {
		t.Errorf("%v: miners choose %t, add outputs %t", err, p.MinerTransactions, p.AllowGeneration)
	}
}

// TestChoiceFaults names the setting to change.
func TestChoiceFaults(t *testing.T) {
	for lines, want := range map[string]string{
		"pay_floor: 1.1":                          "pay_floor",
		"pay_floor: -1":                           "pay_floor",
		"min_fee_rate: -1":                        "min_fee_rate",
		"checks_per_minute: 0":                    "checks_per_minute",
		"newcomer_checks_per_minute: 0":           "newcomer_checks_per_minute",
		"parallel_checks: 0":                      "parallel_checks",
		"check_bytes_per_minute: 100":             "check_bytes_per_minute",
		"declared_memory: 100":                    "declared_memory",
		"worker_metrics: -1":                      "worker_metrics",
		"work_expires: 10h":                       "work_expires",
		`forbidden_coinbase_flags: [""]`:          "forbidden_coinbase_flags",
		"required_transactions: [xyz]":            "required_transactions",
		"excluded_transactions: [aa]":             "excluded_transactions",
		`clients: ["name=x"]`:                     "agent is missing",
		`clients: ["agent=x,form=round"]`:         "form",
		`clients: ["agent=x,commitment=nowhere"]`: "commitment",
		`clients: ["agent=x,sigops_below=-1"]`:    "sigops_below",
		`clients: ["agent=x,withhold=submit"]`:    "submit/truncate",
		`servers: ["uri=http://x,weight=-1"]`:     "weight",
		`servers: ["uri=http://x,sticky=-1"]`:     "sticky",
		"long_poll_url: lp":                       "long_poll_url",
		"long_poll_url: http://[":                 "long_poll_url",
		"required_transactions: [\"" + oneID + "\"]\nexcluded_transactions: [\"" + oneID + "\"]": "excluded too",
	} {
		p, err := parse(t, nodesAndAddress+lines+"\n", nil)
		if err == nil {
			_, err = p.Validate()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", lines, err, want)
		}
	}
	for lines, want := range map[string]string{
		`clients: ["agent"]`:                  "key=value",
		`clients: ["agent=x,colour=red"]`:     "colour",
		`clients: ["agent=x,sigops_below=y"]`: "sigops_below",
		`servers: [{uri: x, colour: red}]`:    "colour",
	} {
		if _, err := parse(t, nodesAndAddress+lines+"\n", nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", lines, err, want)
		}
	}
}

// TestDefaultRows wants an operator to be able to write the built-in rows.
func TestDefaultRows(t *testing.T) {
	for _, row := range gbt.DefaultProfiles() {
		for _, name := range row.Withhold {
			if !slices.Contains(withheld(), name) {
				t.Errorf("%s: %s cannot be withheld by an operator's row", row.Name, name)
			}
		}
	}
}
