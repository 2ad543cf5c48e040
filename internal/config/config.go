package config

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/txscript/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

// Pool is the configuration of a gateway. Its tags are read by kong.
type Pool struct {
	Chain         string `default:"main" enum:"main,test,testnet4,signet,regtest,simnet" help:"Chain in use, in Bitcoin Core's words: ${enum}."`
	Nodes         []Node `sep:";" placeholder:"NODE" help:"Full nodes in order of preference. Each is a URL, or url=URL with any of name=, user=, password_file=, cookie_file=, ca_file=, zmq= after commas."`
	PayoutAddress string `placeholder:"ADDRESS" help:"Address that found blocks pay."`
	CoinbaseTag   string `default:"/gbtpool/" help:"Text in the coinbase of each block."`
	DataDir       string `default:"~/.gbtpool" type:"path" help:"Folder for what outlives a restart: the key that issued work is authenticated with."`
	WorkKeyFile   string `placeholder:"FILE" type:"path" help:"File with that key, the same on all gateways of a pool (default work.key in the data folder, made when missing)."`

	Listen       string        `default:"127.0.0.1:9332" help:"Address and port to serve miners on."`
	KeepAlive    time.Duration `default:"30s" help:"Interval of the bytes that keep idle proxies from cutting long polls; 0 for none."`
	MaxConns     int           `default:"20000" help:"Most connections at a time."`
	MaxConnsAddr int           `default:"200" help:"Most connections at a time from one client address."`

	ShareDifficulty    float64       `default:"1" help:"Share difficulty for miners who ask for none."`
	MinShareDifficulty float64       `default:"0.001" help:"Lowest share difficulty that a miner may ask for."`
	MaxShareDifficulty float64       `default:"1000000000000" help:"Highest share difficulty that a miner may ask for."`
	WorkExpires        time.Duration `default:"10m" help:"How long work may be submitted after it was issued."`
	StaleGrace         time.Duration `default:"3s" help:"How long after a new block work on the one before still counts."`

	MinerTransactions       bool     `default:"true" negatable:"" help:"Let miners choose the transactions of their blocks."`
	AllowGeneration         bool     `help:"Let miners add outputs to the coinbase, from what their own choice of transactions earns more than the pool's."`
	PayFloor                float64  `default:"0.9" help:"Least part of what the pool's own block would pay that a block of a miner's own has to pay, from 0 to 1."`
	ChecksPerMinute         int      `default:"30" help:"How many blocks of its own each account may have checked by a node in a minute."`
	CheckBytesPerMinute     int64    `default:"67108864" help:"How many bytes of such blocks each account may send in a minute."`
	NewcomerChecksPerMinute int      `default:"120" help:"How many checks a minute all accounts without an accepted share have together."`
	ParallelChecks          int      `default:"2" help:"How many blocks the nodes check at a time."`
	DeclaredMemory          int64    `default:"268435456" help:"How many bytes of transactions are kept for declared work until the next block, in memory and in the data folder."`
	RequiredTransactions    []string `placeholder:"TXID" help:"Transactions that stay in every block once a node proposes them."`
	ExcludedTransactions    []string `placeholder:"TXID" help:"Transactions that no block may have, nor what depends on them."`
	MinFeeRate              float64  `default:"0" help:"Lowest fee rate of transactions in blocks, in satoshis per virtual byte."`
	ForbiddenCoinbaseFlags  []string `placeholder:"TEXT" help:"Texts that miners must not put into the coinbase."`
	Clients                 []Client `sep:";" placeholder:"CLIENT" help:"How to serve mining programs, before the built-in table: name=,agent=,form=whole|stripped|witness-free,commitment=included|omitted,withhold=MUTATION+MUTATION,sigops_below=N."`
	Servers                 []Server `sep:";" placeholder:"SERVER" help:"Servers of the same pool for clients that ask for a serverlist: uri=,priority=,weight=,sticky=,avoid=,update=."`
	LongPollURL             string   `name:"long-poll-url" placeholder:"URL" help:"Where clients are told to send long polls to; by default where the rest goes."`
	WorkerMetrics           int      `default:"0" help:"How many workers have metrics of their own."`

	NodeTimeout time.Duration `default:"30s" help:"Longest wait for an answer of a node, long polls apart."`
	NodePoll    time.Duration `default:"2s" help:"How often each node is asked for its best block, beside long polls and ZMQ."`
	NodeLost    time.Duration `default:"30s" help:"How long the last template is good for while no node answers."`
}

// Settings is what a Pool configures, checked and converted.
type Settings struct {
	Chain *chaincfg.Params
	// PayoutScript is the scriptPubKey of the payout address.
	PayoutScript []byte
	// Share, Easiest and Hardest are the share targets for the three difficulties.
	Share, Easiest, Hardest gbt.Target
	// WorkKey authenticates issued work.
	WorkKey []byte
	// Choice is what miners may choose.
	Choice Choice
}

// Validate checks the configuration and converts it, all but the key, which Key reads. The error
// joins all faults; each names the setting to change.
func (p *Pool) Validate() (Settings, error) {
	var s Settings
	var faults []error
	fault := func(setting, format string, args ...any) {
		faults = append(faults, fmt.Errorf("%s: %w", setting, fmt.Errorf(format, args...)))
	}
	var err error
	if s.Chain, err = ChainParams(p.Chain); err != nil {
		return s, fmt.Errorf("chain: %w", err)
	}
	if s.PayoutScript, err = payoutScript(p.PayoutAddress, s.Chain); err != nil {
		fault("payout_address", "%w", err)
	}
	if len(p.Nodes) == 0 {
		fault("nodes", "name at least one full node, such as http://127.0.0.1:8332")
	}
	for i := range p.Nodes {
		if err := p.Nodes[i].Validate(); err != nil {
			fault("nodes", "%w", err)
		}
	}
	if len(p.CoinbaseTag) > gbt.MaxTag {
		fault("coinbase_tag", "%q has %d bytes, at most %d fit", p.CoinbaseTag, len(p.CoinbaseTag), gbt.MaxTag)
	}
	if _, err := netip.ParseAddrPort(p.Listen); err != nil {
		fault("listen", "%w; want an address and port such as 0.0.0.0:9332", err)
	}
	faults = append(faults, p.setTargets(&s)...)
	faults = append(faults, p.setChoice(&s.Choice)...)
	for setting, d := range map[string]time.Duration{
		"work_expires": p.WorkExpires, "node_timeout": p.NodeTimeout, "node_poll": p.NodePoll, "node_lost": p.NodeLost,
	} {
		if d < time.Millisecond {
			fault(setting, "%s is too short", d)
		}
	}
	if p.WorkExpires > gbt.MaxExpires {
		fault("work_expires", "%s is longer than clients can tell: at most %s", p.WorkExpires, gbt.MaxExpires)
	}
	if p.KeepAlive < 0 || p.StaleGrace < 0 {
		fault("keep_alive, stale_grace", "must not be negative")
	}
	if p.MaxConns < 1 || p.MaxConnsAddr < 1 {
		fault("max_conns, max_conns_addr", "must be at least 1")
	}
	return s, errors.Join(faults...)
}

// setTargets converts the difficulties.
func (p *Pool) setTargets(s *Settings) []error {
	var faults []error
	for _, d := range []struct {
		setting    string
		difficulty float64
		target     *gbt.Target
	}{
		{"share_difficulty", p.ShareDifficulty, &s.Share},
		{"min_share_difficulty", p.MinShareDifficulty, &s.Easiest},
		{"max_share_difficulty", p.MaxShareDifficulty, &s.Hardest},
	} {
		target, err := gbt.TargetFromDifficulty(d.difficulty)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", d.setting, err))
		}
		*d.target = target
	}
	if p.MinShareDifficulty > p.ShareDifficulty || p.ShareDifficulty > p.MaxShareDifficulty {
		faults = append(faults, fmt.Errorf("share_difficulty: %g does not lie between min_share_difficulty, %g, and max_share_difficulty, %g",
			p.ShareDifficulty, p.MinShareDifficulty, p.MaxShareDifficulty))
	}
	return faults
}

// ChainParams returns the parameters of a chain by Bitcoin Core's name for it, or simnet.
func ChainParams(name string) (*chaincfg.Params, error) {
	switch name {
	case "main":
		return &chaincfg.MainNetParams, nil
	case "test":
		return &chaincfg.TestNet3Params, nil
	case "testnet4":
		return &chaincfg.TestNet4Params, nil
	case "signet":
		return &chaincfg.SigNetParams, nil
	case "regtest":
		return &chaincfg.RegressionNetParams, nil
	case "simnet":
		return &chaincfg.SimNetParams, nil
	default:
		return nil, fmt.Errorf("%q is none of main, test, testnet4, signet, regtest, simnet", name)
	}
}

// payoutScript returns the script of the address that blocks pay.
func payoutScript(addr string, chain *chaincfg.Params) ([]byte, error) {
	if addr == "" {
		return nil, errors.New("name the address that found blocks pay; there is no default")
	}
	decoded, err := address.DecodeAddress(addr, chain)
	if err != nil || !decoded.IsForNet(chain) {
		return nil, fmt.Errorf("%q is not an address on %s", addr, chain.Name)
	}
	script, err := txscript.PayToAddrScript(decoded)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", addr, err)
	}
	return script, nil
}
