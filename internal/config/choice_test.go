package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

const (
	nodesAndAddress = "chain: main\npayout_address: bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4\nnodes: [\"http://127.0.0.1:8332\"]\n"
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
		args []string
	}{
		"file": {file: file},
		"flags": {file: nodesAndAddress, args: []string{
			"--pay-floor=0.85", "--min-fee-rate=1.5", "--checks-per-minute=7", "--check-bytes-per-minute=5000000",
			"--newcomer-checks-per-minute=9", "--parallel-checks=3", "--required-transactions=" + oneID,
			"--clients=name=old,agent=oldminer/,form=witness-free,commitment=included,withhold=submit/truncate+prevblock,sigops_below=5",
			"--servers=uri=http://b,priority=2,weight=3,sticky=4,avoid=5,update=false",
		}},
	} {
		p, err := parse(t, source.file, nil, source.args...)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		s, err := p.Validate()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, s.Choice); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if !p.MinerTransactions || p.AllowGeneration {
			t.Errorf("%s: miners choose %t, add outputs %t", name, p.MinerTransactions, p.AllowGeneration)
		}
	}
	p, err := parse(t, nodesAndAddress+"miner_transactions: false\nallow_generation: true\n", nil)
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
		`servers: ["uri=http://x,weight=-1"]`:     "weight",
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
