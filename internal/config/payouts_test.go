package config

import (
	"strings"
	"testing"
	"time"

	"github.com/gbtpool/gbtpool/payouts"
)

// TestPayoutDefaults holds what a pool does that says nothing of money: it credits by PPLNS and pays nobody
// until there is a wallet, and then payees bear the fees, so that no money of the operator's is needed.
func TestPayoutDefaults(t *testing.T) {
	p := good(t)
	s, err := p.Validate()
	if err != nil {
		t.Fatal(err)
	}
	got := s.Payouts
	if got.Terms != (payouts.Terms{Scheme: payouts.PPLNS, Multiple: 8}) || got.Policy.Bearer != payouts.BearerPayees || p.Wallet != "none" || p.CoinbasePayments {
		t.Errorf("the defaults are %+v with wallet %s", got, p.Wallet)
	}
	if got.Schedule.Every != 24*time.Hour || p.Maturity != 101 {
		t.Errorf("payouts are made %+v, blocks credited %d deep", got.Schedule, p.Maturity)
	}
}

func TestPayoutTimes(t *testing.T) {
	p := good(t)
	p.PayoutTimes = []string{"06:00"}
	s, err := p.Validate()
	if err != nil || s.Payouts.Schedule.Every != 0 || len(s.Payouts.Schedule.Times) != 1 {
		t.Errorf("%+v, %v: want times to go before the interval", s.Payouts.Schedule, err)
	}
}

func TestPayoutFaults(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*Pool)
		want   string
	}{
		"whole fee":          {func(p *Pool) { p.PoolFee = 10001 }, "pool_fee"},
		"bonus under pps":    {func(p *Pool) { p.RewardScheme, p.FinderBonus = "pps", 10 }, "finder_bonus"},
		"short window":       {func(p *Pool) { p.WindowMultiple = 1 }, "window_multiple"},
		"immature":           {func(p *Pool) { p.Maturity = 99 }, "maturity"},
		"coinbase under pps": {func(p *Pool) { p.RewardScheme, p.CoinbasePayments = "pps", true }, "coinbase_payments"},
		"no outputs":         {func(p *Pool) { p.CoinbaseOutputs = 0 }, "coinbase_outputs"},
		"no weight":          {func(p *Pool) { p.CoinbaseWeight = 1999 }, "coinbase_weight"},
		"former address":     {func(p *Pool) { p.FormerPayoutAddrs = []string{"x"} }, "former_payout_addresses"},
		"negative threshold": {func(p *Pool) { p.PayoutThreshold = -1 }, "payout_threshold"},
		"negative interval":  {func(p *Pool) { p.PayoutInterval = -1 }, "payout_interval"},
		"no time":            {func(p *Pool) { p.PayoutTimes = []string{"noon"} }, "payout_times"},
		"frantic worker":     {func(p *Pool) { p.PayoutLook = time.Millisecond }, "payout_look"},
		"unconfirmed":        {func(p *Pool) { p.PayoutConfirmations = 0 }, "payout_confirmations"},
		"ceiling below":      {func(p *Pool) { p.FeeCeiling = 10 }, "fee_ceiling"},
		"node without url":   {func(p *Pool) { p.Wallet, p.WalletUser = "node", "u" }, "wallet_url"},
		"node without user":  {func(p *Pool) { p.Wallet, p.WalletURL = "node", "http://127.0.0.1:1/wallet/pool" }, "wallet_user"},
		"password in url": {func(p *Pool) {
			p.Wallet, p.WalletURL, p.WalletUser = "node", "http://u:secret@127.0.0.1:1/wallet/pool", "u"
		}, "wallet_password_file"},
		"key without file": {func(p *Pool) { p.Wallet = "key" }, "wallet_key_file"},
		"no password file": {func(p *Pool) { p.WalletPasswordFile = "/nowhere/at/all" }, "wallet_password_file"},
	} {
		p := good(t)
		tt.change(&p)
		_, err := p.Validate()
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v does not mention %q", name, err, tt.want)
			continue
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error gives a password away", name)
		}
	}
}
