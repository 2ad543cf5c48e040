package config

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/payouts"
)

// Payouts is how blocks are divided and accounts are paid. Its tags are read by kong. Amounts are in
// satoshis, parts in basis points.
type Payouts struct {
	RewardScheme string `default:"pplns" enum:"pplns,prop,pps,fpps,solo" help:"How blocks are divided: ${enum}; see docs/schemes.md."`
	PoolFee      int64  `default:"0" help:"The pool's part of each block, in basis points: 100 is one per cent."`
	FinderBonus  int64  `default:"0" help:"What of the rest goes to the finder of a block first, in basis points."`
	Maturity     int32  `default:"101" help:"How many blocks deep a block is when it is credited."`

	CoinbasePayments  bool     `help:"Pay accounts in the coinbase of each block, by their parts of the window."`
	CoinbaseMinimum   int64    `default:"10000" help:"Least that a coinbase pays to one account, in satoshis; what is less is credited."`
	CoinbaseOutputs   int      `default:"500" help:"Most outputs of a coinbase."`
	CoinbaseWeight    int64    `default:"8000" help:"Weight units that the nodes leave for the coinbase: blockreservedweight of Bitcoin Core."`
	FormerPayoutAddrs []string `name:"former-payout-addresses" placeholder:"ADDRESS" help:"Payout addresses that blocks paid earlier, while some of those are not credited yet."`

	Wallet             string `default:"none" enum:"none,node,key,offline" help:"What signs settlements: none, the wallet of a node, a key file, or an offline signer (PSBT)."`
	WalletURL          string `name:"wallet-url" placeholder:"URL" help:"The node's wallet: http://HOST:PORT/wallet/NAME."`
	WalletUser         string `placeholder:"USER" help:"User name there."`
	WalletPasswordFile string `placeholder:"FILE" type:"path" help:"File with the password."`
	WalletCookieFile   string `placeholder:"FILE" type:"path" help:"The node's own .cookie, instead of a user and password."`
	WalletKeyFile      string `placeholder:"FILE" type:"path" help:"Key file, mode 0600, with a private key in WIF or 64 hexadecimal digits: payout_address is its address."`
	WalletKeyForm      string `default:"p2wpkh" enum:"p2wpkh,p2tr" help:"Form of the key's address: ${enum}."`

	PayoutLook          time.Duration `default:"5s" help:"How often the worker looks at blocks, settlements and who is due."`
	PayoutThreshold     int64         `default:"1000000" help:"What an account has to have to be paid, in satoshis, unless it has a threshold of its own."`
	PayoutInterval      time.Duration `default:"24h" help:"How often accounts are paid; 0 for times of the day, or only on demand."`
	PayoutTimes         []string      `placeholder:"HH:MM" help:"Times of the day when accounts are paid (UTC), instead of the interval."`
	PayoutConfirmations int32         `default:"6" help:"How many blocks deep a payment is final."`
	PayoutApproveAbove  int64         `default:"0" help:"What a settlement may pay without an operator's approval, in satoshis; 0 never asks."`
	PayoutOutputs       int           `default:"2000" help:"Most payees of one settlement."`
	FeeBearer           string        `default:"payees" enum:"pool,payees" help:"Who bears transaction fees: ${enum}."`
	FeeFloor            int64         `default:"1000" help:"Lowest fee rate of settlements, in satoshis per 1000 virtual bytes."`
	FeeCeiling          int64         `default:"100000" help:"Highest fee rate: above it settlements wait."`
	FeeFallback         int64         `default:"0" help:"Fee rate while no node can estimate one; 0 waits."`
	FeeBlocks           int           `default:"6" help:"Within how many blocks settlements should confirm."`
	FeeBumpAfter        int32         `default:"6" help:"After how many blocks without a confirmation a higher fee is tried (BIP 125); 0 never."`
}

// leastLook and mostLook bound how often a worker looks: it holds a lease of a minute.
const leastLook, mostLook = 100 * time.Millisecond, 20 * time.Second

// mostBlocks is how many blocks anybody waits at most.
const mostBlocks = 100_000

// leastCoinbase is the least weight that a coinbase with some outputs fits.
const leastCoinbase = gbt.CoinbaseBase + 1000

// PayoutSettings is what Payouts configures, checked and converted.
type PayoutSettings struct {
	Terms    payouts.Terms
	Policy   payouts.Policy
	Schedule payouts.Schedule
	// Former are the scripts of former payout addresses.
	Former [][]byte
	// WalletPassword is what wallet_password_file holds.
	WalletPassword string
	// Mirror is the folder of the journal's mirror.
	Mirror string
}

// setPayouts checks how blocks are divided and accounts are paid.
func (p *Pool) setPayouts(s *PayoutSettings, chain *chaincfg.Params) []error {
	var faults []error
	fault := func(setting, format string, args ...any) {
		faults = append(faults, fmt.Errorf("%s: %w", setting, fmt.Errorf(format, args...)))
	}
	s.Mirror = filepath.Join(p.DataDir, "journal")
	s.Terms = payouts.Terms{Scheme: payouts.Scheme(p.RewardScheme), Multiple: p.WindowMultiple, Fee: p.PoolFee, Bonus: p.FinderBonus}
	if err := s.Terms.Check(); err != nil {
		fault("reward_scheme, window_multiple, pool_fee, finder_bonus", "%w", err)
	}
	s.Policy = payouts.Policy{
		Threshold: p.PayoutThreshold, FeeFloor: p.FeeFloor, FeeCeiling: p.FeeCeiling, FeeFallback: p.FeeFallback,
		Bearer: payouts.Bearer(p.FeeBearer), MaxOutputs: p.PayoutOutputs, ApproveAbove: p.PayoutApproveAbove,
	}
	if err := s.Policy.Check(); err != nil {
		fault("payout_threshold, fee_floor, fee_ceiling, fee_fallback", "%w", err)
	}
	faults = append(faults, p.setSchedule(s)...)
	if least := int32(chain.CoinbaseMaturity); p.Maturity < least {
		fault("maturity", "%d blocks, but a coinbase can be spent only %d deep", p.Maturity, least)
	}
	if p.PayoutLook < leastLook || p.PayoutLook > mostLook {
		fault("payout_look", "%s is not from %s to %s", p.PayoutLook, leastLook, mostLook)
	}
	if p.Maturity > mostBlocks || p.PayoutConfirmations > mostBlocks || p.FeeBumpAfter > mostBlocks {
		fault("maturity, payout_confirmations, fee_bump_after", "more than %d blocks", mostBlocks)
	}
	if p.PayoutConfirmations < 1 || p.FeeBumpAfter < 0 || p.FeeBlocks < 1 || p.FeeBlocks > 1008 {
		fault("payout_confirmations, fee_bump_after, fee_blocks", "want 1 or more, 0 or more, and 1 to 1008")
	}
	if p.CoinbasePayments && s.Terms.Scheme != payouts.PPLNS {
		fault("coinbase_payments", "coinbases can pay only under pplns, not under %s", s.Terms.Scheme)
	}
	if p.CoinbaseMinimum < 1 || p.CoinbaseOutputs < 1 || p.CoinbaseWeight < leastCoinbase || p.CoinbaseWeight > 2_000_000 {
		fault("coinbase_minimum, coinbase_outputs, coinbase_weight", "want 1 or more, 1 or more, and %d to 2000000", leastCoinbase)
	}
	for _, addr := range p.FormerPayoutAddrs {
		script, err := payoutScript(addr, chain)
		if err != nil {
			fault("former_payout_addresses", "%w", err)
		}
		s.Former = append(s.Former, script)
	}
	return append(faults, p.setWallet(s)...)
}

// setSchedule checks when accounts are paid. Times of the day go before the interval's default.
func (p *Pool) setSchedule(s *PayoutSettings) []error {
	s.Schedule.Every = p.PayoutInterval
	times, err := payouts.ParseTimes(p.PayoutTimes)
	if err != nil {
		return []error{fmt.Errorf("payout_times: %w", err)}
	}
	if len(times) > 0 {
		s.Schedule = payouts.Schedule{Times: times}
	}
	if err := s.Schedule.Check(); err != nil {
		return []error{fmt.Errorf("payout_interval: %w", err)}
	}
	return nil
}

// setWallet checks what signs settlements.
func (p *Pool) setWallet(s *PayoutSettings) []error {
	var faults []error
	switch p.Wallet {
	case "node":
		u, err := url.Parse(p.WalletURL)
		switch {
		case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
			faults = append(faults, fmt.Errorf("wallet_url: %q: want http://HOST:PORT/wallet/NAME", p.WalletURL))
		case u.User != nil:
			faults = append(faults, errors.New("wallet_url: leave the user and password out and use wallet_user and wallet_password_file, or wallet_cookie_file"))
		}
		if (p.WalletCookieFile == "") == (p.WalletUser == "") {
			faults = append(faults, errors.New("wallet_user, wallet_cookie_file: name one of them"))
		}
	case "key":
		if p.WalletKeyFile == "" {
			faults = append(faults, errors.New("wallet_key_file: name the file with the key; `gbtpool payouts key FILE` makes one"))
		}
	}
	var err error
	if s.WalletPassword, err = Password(p.WalletPasswordFile); err != nil {
		faults = append(faults, fmt.Errorf("wallet_password_file: %w", err))
	}
	return faults
}
