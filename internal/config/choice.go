package config

import (
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

// Choice is what miners may choose, and how their programs are served.
type Choice struct {
	// Rules are the operator's wishes about transactions.
	Rules gbt.SetRules
	// Floor is the pay floor in basis points.
	Floor int64
	// Budget bounds what miners have checked.
	Budget gbt.Budget
	// Clients is the table of mining programs, the operator's rows first.
	Clients []gbt.Profile
	// Servers is the serverlist.
	Servers []gbt.Server
}

// setChoice converts the settings about what miners choose.
func (p *Pool) setChoice(c *Choice) []error {
	var faults []error
	fault := func(setting, format string, args ...any) {
		faults = append(faults, fmt.Errorf("%s: %w", setting, fmt.Errorf(format, args...)))
	}
	if p.PayFloor < 0 || p.PayFloor > 1 || math.IsNaN(p.PayFloor) {
		fault("pay_floor", "%g is not between 0 and 1", p.PayFloor)
	}
	if p.MinFeeRate < 0 || p.MinFeeRate > 1e6 || math.IsNaN(p.MinFeeRate) {
		fault("min_fee_rate", "%g is not between 0 and 1000000 satoshis per virtual byte", p.MinFeeRate)
	}
	// Where what was written becomes an integer, as all money is.
	c.Floor = int64(math.Round(p.PayFloor * 10000))
	c.Rules.MinFeeRate = int64(math.Round(p.MinFeeRate * 1000))
	c.Budget = gbt.Budget{
		Checks: p.ChecksPerMinute, Bytes: p.CheckBytesPerMinute, Newcomers: p.NewcomerChecksPerMinute, Parallel: p.ParallelChecks,
	}
	for setting, n := range map[string]int64{
		"checks_per_minute": int64(p.ChecksPerMinute), "newcomer_checks_per_minute": int64(p.NewcomerChecksPerMinute),
		"parallel_checks": int64(p.ParallelChecks),
	} {
		if n < 1 {
			fault(setting, "%d is too few: at least 1", n)
		}
	}
	if p.CheckBytesPerMinute < 4_000_000 {
		fault("check_bytes_per_minute", "%d is less than one block: at least 4000000", p.CheckBytesPerMinute)
	}
	if p.DeclaredMemory < 4_000_000 {
		fault("declared_memory", "%d is less than one block: at least 4000000", p.DeclaredMemory)
	}
	if p.WorkerMetrics < 0 {
		fault("worker_metrics", "must not be negative")
	}
	if u, err := url.Parse(p.LongPollURL); err != nil || p.LongPollURL != "" && u.Host == "" && !strings.HasPrefix(u.Path, "/") {
		fault("long_poll_url", "%q: want http://HOST:PORT/ or a path such as /lp", p.LongPollURL)
	}
	if slices.Contains(p.ForbiddenCoinbaseFlags, "") {
		fault("forbidden_coinbase_flags", "an empty text is in every coinbase")
	}
	var err error
	if c.Rules.Required, err = txids(p.RequiredTransactions); err != nil {
		fault("required_transactions", "%w", err)
	}
	if c.Rules.Excluded, err = txids(p.ExcludedTransactions); err != nil {
		fault("excluded_transactions", "%w", err)
	}
	for _, id := range c.Rules.Required {
		if slices.Contains(c.Rules.Excluded, id) {
			fault("required_transactions", "%s is excluded too", id)
		}
	}
	return append(faults, p.setPeers(c)...)
}

// txids reads transaction ids as everybody writes them.
func txids(texts []string) ([]chainhash.Hash, error) {
	var out []chainhash.Hash
	for _, text := range texts {
		id, err := chainhash.NewHashFromStr(text)
		if err != nil || len(text) != chainhash.MaxHashStringSize {
			return nil, fmt.Errorf("%q is no txid: want 64 hexadecimal digits", text)
		}
		out = append(out, *id)
	}
	return out, nil
}

// setPeers converts the tables of programs and servers.
func (p *Pool) setPeers(c *Choice) []error {
	var faults []error
	for _, row := range p.Clients {
		profile := gbt.Profile{
			Name: row.Name, Agent: row.Agent, Form: gbt.Form(row.Form), Commitment: gbt.Commitment(row.Commitment), SigopsBelow: row.SigopsBelow,
		}
		if row.Withhold != "" {
			profile.Withhold = strings.Split(row.Withhold, "+")
		}
		for _, name := range profile.Withhold {
			if !slices.Contains(withheld(), name) {
				faults = append(faults, fmt.Errorf("clients: %q: withhold: %q is none of %s", row.Agent, name, strings.Join(withheld(), ", ")))
			}
		}
		switch {
		case row.Agent == "":
			faults = append(faults, fmt.Errorf("clients: %q: agent is missing: what the User-Agent of the program begins with", row.Name))
		case !slices.Contains([]gbt.Form{"", gbt.FormWhole, gbt.FormStripped, gbt.FormWitnessFree}, profile.Form):
			faults = append(faults, fmt.Errorf("clients: %q: form %q is none of whole, stripped, witness-free", row.Agent, row.Form))
		case !slices.Contains([]gbt.Commitment{"", gbt.CommitmentIncluded, gbt.CommitmentOmitted}, profile.Commitment):
			faults = append(faults, fmt.Errorf("clients: %q: commitment %q is none of included, omitted", row.Agent, row.Commitment))
		case row.SigopsBelow < 0:
			faults = append(faults, fmt.Errorf("clients: %q: sigops_below must not be negative", row.Agent))
		}
		c.Clients = append(c.Clients, profile)
	}
	c.Clients = append(c.Clients, gbt.DefaultProfiles()...)
	for _, row := range p.Servers {
		c.Servers = append(c.Servers, gbt.Server{
			URI: row.URI, Priority: row.Priority, Weight: row.Weight, Sticky: row.Sticky, Avoid: row.Avoid, Update: row.Update,
		})
		if row.Weight < 0 || row.Sticky < 0 || row.Avoid < 0 {
			faults = append(faults, fmt.Errorf("servers: %q: weight, sticky and avoid must not be negative", row.URI))
		}
	}
	return faults
}

// withheld lists the mutations and abbreviations that only programs get that list them (BIP 23,
// Mutations and Submission Abbreviation).
func withheld() []string {
	return []string{
		"coinbase", "generation", "prevblock", "transactions", "transactions/add",
		"submit/hash", "submit/truncate", "share/coinbase", "share/merkle", "share/truncate",
	}
}
