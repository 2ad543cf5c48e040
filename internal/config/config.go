package config

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/txscript/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/shares"
)

// Pool is the configuration of a gateway. Its tags are read by kong.
type Pool struct {
	Chain         string `default:"main" enum:"main,test,testnet4,signet,regtest,simnet" help:"Chain in use, in Bitcoin Core's words: ${enum}."`
	Nodes         []Node `sep:";" placeholder:"NODE" help:"Full nodes in order of preference. Each is a URL, or url=URL with any of name=, user=, password_file=, cookie_file=, ca_file=, zmq= after commas."`
	PayoutAddress string `placeholder:"ADDRESS" help:"Address that found blocks pay."`
	CoinbaseTag   string `default:"/gbtpool/" help:"Text in the coinbase of each block."`
	DataDir       string `default:"~/.gbtpool" type:"path" help:"Folder for what outlives a restart: the key that issued work is authenticated with."`
	WorkKeyFile   string `placeholder:"FILE" type:"path" help:"File with that key, the same on all gateways of a pool (default work.key in the data folder, made when missing)."`

	Redis             string        `placeholder:"URL" help:"Redis that holds the share ledger: redis://HOST:PORT/DB, redis+sentinel://HOST:PORT,HOST:PORT/NAME/DB or redis+cluster://HOST:PORT,HOST:PORT; rediss for TLS."`
	RedisPasswordFile string        `placeholder:"FILE" type:"path" help:"File with its password."`
	RedisPrefix       string        `default:"gbtpool" help:"What the names of all keys begin with: one for each pool on a Redis."`
	RedisSlow         time.Duration `default:"2s" help:"How long a write may take before shares go to the spool."`
	Ephemeral         bool          `help:"Try out: take a Redis that may lose shares, or keep them in memory if none is named."`
	GatewayName       string        `placeholder:"NAME" help:"Name of this gateway, unlike that of any other of the pool (default the host name)."`
	WindowMultiple    int64         `default:"8" help:"How many network difficulties of shares a found block pays."`
	SpoolDir          string        `placeholder:"DIR" type:"path" help:"Folder for shares that wait for Redis (default spool in the data folder)."`
	SpoolBytes        int64         `default:"1073741824" help:"How many bytes of shares may wait there; found blocks may take a mebibyte more."`

	Payouts `embed:""`
	Door    `embed:""`
	Tokens  `embed:""`

	Listen       string        `default:"127.0.0.1:9332" help:"Address and port to serve miners on."`
	KeepAlive    time.Duration `default:"30s" help:"Interval of the bytes that keep idle proxies from cutting long polls; 0 for none."`
	Compress     bool          `default:"true" negatable:"" help:"Send templates compressed, by gzip or zstd, to miners that accept it."`
	MaxConns     int           `default:"20000" help:"Most connections at a time."`
	MaxConnsAddr int           `default:"200" help:"Most connections at a time from one client address."`

	ShareDifficulty    float64       `default:"1" help:"Share difficulty for miners who ask for none."`
	MinShareDifficulty float64       `default:"0.001" help:"Lowest share difficulty that a miner may ask for."`
	MaxShareDifficulty float64       `default:"1000000000000" help:"Highest share difficulty that a miner may ask for."`
	SharesPerMinute    float64       `default:"6" help:"How many shares a minute each worker is aimed at sending, by a share difficulty of its own; 0 gives all who ask for none share_difficulty."`
	WorkExpires        time.Duration `default:"10m" help:"How long work may be submitted after it was issued."`
	StaleGrace         time.Duration `default:"3s" help:"How long after a new block work on the one before still counts."`
	EarlyTemplate      bool          `default:"true" negatable:"" help:"Give out a first, empty template as soon as there is a new block, until a node has made its own; never where its target, version or time could be in doubt, and only on main and regtest."`

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
	// Payouts is how blocks are divided and accounts are paid.
	Payouts PayoutSettings
	// Tokens is which tokens let people in.
	Tokens TokenSettings
	// RedisPassword is what redis_password_file holds.
	RedisPassword string
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
	faults = append(faults, p.setLedger(&s)...)
	faults = append(faults, p.setChoice(&s.Choice)...)
	faults = append(faults, p.setPayouts(&s.Payouts, s.Chain)...)
	faults = append(faults, p.setDoor()...)
	if s.Tokens, err = p.Settings(p.DataDir); err != nil {
		faults = append(faults, err)
	}
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
	if !(p.SharesPerMinute >= 0 && p.SharesPerMinute <= maxPace) {
		fault("shares_per_minute", "%g is not from 0 to %d", p.SharesPerMinute, maxPace)
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

// maxPace is the most shares a minute that workers are aimed at.
const maxPace = 6000

// minSpool is the least room that a spool works with, in bytes.
const minSpool = 16 << 20

// setLedger checks where shares are recorded.
func (p *Pool) setLedger(s *Settings) []error {
	var faults []error
	if p.Redis == "" && !p.Ephemeral {
		faults = append(faults, errors.New("redis: name the Redis that holds the share ledger, or set ephemeral to try out with shares in memory"))
	}
	var err error
	if s.RedisPassword, err = Password(p.RedisPasswordFile); err != nil {
		faults = append(faults, fmt.Errorf("redis_password_file: %w", err))
	}
	if p.RedisSlow < time.Millisecond {
		faults = append(faults, fmt.Errorf("redis_slow: %s is too short", p.RedisSlow))
	}
	if p.RedisPrefix == "" || strings.ContainsAny(p.RedisPrefix, "{}") {
		faults = append(faults, fmt.Errorf("redis_prefix: %q must be text without braces", p.RedisPrefix))
	}
	if p.SpoolBytes < minSpool {
		faults = append(faults, fmt.Errorf("spool_bytes: %d is less than %d", p.SpoolBytes, minSpool))
	}
	// A share has to weigh something.
	if easiest := shares.UnitOf(s.Chain).Easiest(); s.Easiest.Cmp(easiest) > 0 {
		s.Easiest = easiest
	}
	return faults
}

// Password reads a password file, all but the end of its line. No name stands for no password.
func Password(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	text, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	return strings.TrimRight(string(text), "\r\n"), err
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
