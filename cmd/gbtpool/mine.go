package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/txscript/v2"

	"github.com/gbtpool/gbtpool/gbt/client"
)

// mineAgent is what the miner calls itself.
const mineAgent = "gbtpool-mine"

// mineCmd mines on the processor.
type mineCmd struct {
	URL         string  `arg:"" help:"The server: http://HOST:PORT."`
	User        string  `short:"u" help:"User name; a pool takes ADDRESS or ADDRESS.worker."`
	Password    string  `short:"p" default:"x" help:"Password; d=N asks gbtpool for a share difficulty."`
	Threads     int     `short:"t" help:"Number of threads; default one for each processor."`
	HashRate    float64 `help:"Most hashes per second to make; 0 for no limit."`
	CoinbaseSig string  `help:"Text to append to the coinbase where the server allows it."`
	Shares      int     `help:"Stop after this many accepted shares; 0 for no end."`

	Select        string `placeholder:"POLICY|PROGRAM" help:"Who chooses the transactions: pool (as given), empty, no-op-return, max-fee (from --node), or a program that gets a template's JSON and prints txids in block order. Default pool, or max-fee with --node."`
	Node          string `placeholder:"URL" help:"Your own full node, to choose transactions from: http://USER:PASSWORD@HOST:PORT."`
	NodeCookie    string `placeholder:"FILE" type:"path" help:"The node's .cookie file, instead of a user and password in its URL."`
	PayoutScript  string `placeholder:"HEX" help:"Script that your own coinbase pays, where the server leaves the coinbase to you, as full nodes do."`
	PayoutAddress string `placeholder:"ADDRESS" help:"Address that it pays, instead of a script."`
	SizeLimit     int64  `placeholder:"BYTES" help:"Most bytes that a block should take."`
}

// Run implements the command. Ctrl-C is its normal end.
func (c *mineCmd) Run(ctx context.Context, out *screen) error {
	server, err := client.New(client.Config{URL: c.URL, User: c.User, Password: c.Password, UserAgent: mineAgent})
	if err != nil {
		return err
	}
	defer server.Close()
	cfg, err := c.miner()
	if err != nil {
		return err
	}
	if cfg.Node != nil {
		defer cfg.Node.Close()
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	l := &ledger{screen: out, stop: stop, until: c.Shares, start: time.Now()}
	cfg.Client, cfg.Events = server, l.event
	if l.miner, err = client.NewMiner(cfg); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- l.miner.Run(ctx) }()
	err = l.watch(done)
	l.line(l.summary())
	return err
}

// miner returns the settings of the miner, all but the server.
func (c *mineCmd) miner() (client.MinerConfig, error) {
	payTo, err := payoutTo(c.PayoutScript, c.PayoutAddress)
	if err != nil {
		return client.MinerConfig{}, err
	}
	cfg := client.MinerConfig{
		Options: client.Options{Append: []byte(c.CoinbaseSig), PayTo: payTo},
		Threads: c.Threads, HashRate: c.HashRate, SizeLimit: c.SizeLimit,
	}
	if cfg.Policy, err = selectPolicy(c.Select, c.Node != ""); err != nil {
		return client.MinerConfig{}, err
	}
	if c.Node == "" {
		if c.NodeCookie != "" {
			return client.MinerConfig{}, errors.New("--node-cookie is of no use without --node URL")
		}
		return cfg, nil
	}
	cfg.Node, err = client.New(client.Config{URL: c.Node, CookieFile: c.NodeCookie, UserAgent: mineAgent})
	if err != nil {
		return client.MinerConfig{}, fmt.Errorf("--node: %w", err)
	}
	return cfg, nil
}

// payoutTo returns the script that is named by itself or by its address; nil if neither is.
func payoutTo(script, addr string) ([]byte, error) {
	switch {
	case script != "" && addr != "":
		return nil, errors.New("name either --payout-script or --payout-address")
	case script != "":
		raw, err := hex.DecodeString(script)
		if err != nil {
			return nil, fmt.Errorf("--payout-script is a script in hexadecimal: %w", err)
		}
		return raw, nil
	case addr == "":
		return nil, nil
	}
	// An address does not say which test network it is on, and scripts are the same on all.
	for _, chain := range []*chaincfg.Params{
		&chaincfg.MainNetParams, &chaincfg.TestNet3Params, &chaincfg.RegressionNetParams, &chaincfg.SimNetParams,
	} {
		if decoded, err := address.DecodeAddress(addr, chain); err == nil && decoded.IsForNet(chain) {
			return txscript.PayToAddrScript(decoded)
		}
	}
	return nil, fmt.Errorf("--payout-address: %q is no address", addr)
}
