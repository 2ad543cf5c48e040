package node

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// maxBranch is how many blocks of a side branch btcd is asked for to find where it leaves the
// best chain.
const maxBranch = 288

// blockchainInfo is a getblockchaininfo result. InitialBlockDownload and VerificationProgress are
// nil from btcd.
type blockchainInfo struct {
	Chain                string   `json:"chain"`
	Blocks               int32    `json:"blocks"`
	Headers              int32    `json:"headers"`
	BestBlockHash        string   `json:"bestblockhash"`
	InitialBlockDownload *bool    `json:"initialblockdownload"`
	VerificationProgress *float64 `json:"verificationprogress"`
}

// Info implements Chain.
func (r *RPC) Info(ctx context.Context) (Info, error) {
	var chain blockchainInfo
	if err := r.call(ctx, &chain, "getblockchaininfo"); err != nil {
		return Info{}, err
	}
	best, err := parseHash(chain.BestBlockHash)
	if err != nil {
		return Info{}, r.fail("getblockchaininfo", err)
	}
	info := Info{
		Chain: coreChain(chain.Chain), Height: chain.Blocks, Headers: chain.Headers, Best: best,
	}
	if err := r.identify(ctx, &info); err != nil {
		return Info{}, err
	}
	if err := r.addSync(ctx, &info, &chain); err != nil {
		return Info{}, err
	}
	var mining struct {
		NetworkHashPS float64 `json:"networkhashps"`
	}
	var refused *RPCError
	if err := r.call(ctx, &mining, "getmininginfo"); err != nil && !errors.As(err, &refused) {
		return Info{}, err
	}
	info.NetworkHashPS = mining.NetworkHashPS
	return info, nil
}

// coreChain returns Core's name of a chain that btcd names by its parameters.
func coreChain(name string) string {
	switch name {
	case "mainnet":
		return "main"
	case "testnet3":
		return "test"
	default:
		return name
	}
}

// identify fills in the node's kind, version and number of peers. btcd is known by its lack of
// getnetworkinfo and by the interface that its version method names.
func (r *RPC) identify(ctx context.Context, info *Info) error {
	var network struct {
		Subversion  string `json:"subversion"`
		Connections int    `json:"connections"`
	}
	err := r.call(ctx, &network, "getnetworkinfo")
	if err == nil {
		info.Kind, info.Version, info.Peers = kindOf(network.Subversion), network.Subversion, network.Connections
		return nil
	}
	if !errors.Is(err, ErrUnsupported) {
		return err
	}
	var version struct {
		Btcd *struct{} `json:"btcdjsonrpcapi"`
	}
	var general struct {
		Version     int `json:"version"`
		Connections int `json:"connections"`
	}
	if err := r.call(ctx, &version, "version"); err != nil && !errors.Is(err, ErrUnsupported) {
		return err
	}
	if err := r.call(ctx, &general, "getinfo"); err != nil {
		return err
	}
	info.Kind, info.Peers = Other, general.Connections
	info.Version = strconv.Itoa(general.Version)
	if version.Btcd != nil {
		v := general.Version // 1000000·major + 10000·minor + 100·patch
		info.Kind = Btcd
		info.Version = fmt.Sprintf("/btcd:%d.%d.%d/", v/1000000, v/10000%100, v/100%100)
	}
	return nil
}

// kindOf tells the kind of node by its user agent (BIP 14).
func kindOf(subversion string) Kind {
	switch {
	case strings.Contains(subversion, "Knots"):
		return Knots
	case strings.HasPrefix(subversion, "/Satoshi:"):
		return Core
	default:
		return Other
	}
}

// addSync fills in whether the node has caught up. btcd shows it only by refusing templates, so
// it is asked for one until it has given one.
func (r *RPC) addSync(ctx context.Context, info *Info, chain *blockchainInfo) error {
	if chain.InitialBlockDownload != nil {
		info.InitialDownload = *chain.InitialBlockDownload
	} else if !r.current.Load() {
		_, err := r.Template(ctx, "")
		info.InitialDownload = errors.Is(err, ErrInitialDownload)
		var refused *RPCError
		if err != nil && !errors.As(err, &refused) {
			return err
		}
	}
	switch {
	case chain.VerificationProgress != nil:
		info.Progress = min(1, max(0, *chain.VerificationProgress))
	case !info.InitialDownload:
		info.Progress = 1
	}
	return nil
}

// blockHeader is a getblockheader result.
type blockHeader struct {
	Confirmations int64  `json:"confirmations"`
	Height        int32  `json:"height"`
	Time          int64  `json:"time"`
	MedianTime    int64  `json:"mediantime"` // absent from btcd
	Bits          string `json:"bits"`
	Previous      string `json:"previousblockhash"` // absent for the genesis block, zeros from btcd
}

// Header implements Chain.
func (r *RPC) Header(ctx context.Context, hash chainhash.Hash) (Header, error) {
	const method = "getblockheader"
	var in blockHeader
	err := r.call(ctx, &in, method, hash.String())
	var refused *RPCError
	switch {
	case errors.As(err, &refused) && refused.Code == codeInvalidKey:
		return Header{}, fmt.Errorf("%w: %w", ErrUnknownBlock, err)
	case errors.As(err, &refused) && refused.Code == codeInternal:
		// btcd's answer for a block that it has on a side branch.
		return r.branchHeader(ctx, hash, err)
	case err != nil:
		return Header{}, err
	}
	out := Header{Hash: hash, Height: in.Height, Time: time.Unix(in.Time, 0), Confirmations: in.Confirmations}
	bits, err := strconv.ParseUint(in.Bits, 16, 32)
	if err != nil {
		return Header{}, r.fail(method, fmt.Errorf("%w: bits: %w", ErrMalformed, err))
	}
	out.Bits = uint32(bits)
	if in.MedianTime > 0 {
		out.MedianTime = time.Unix(in.MedianTime, 0)
	}
	if in.Previous != "" {
		if out.Previous, err = parseHash(in.Previous); err != nil {
			return Header{}, r.fail(method, err)
		}
	}
	return out, nil
}

// branchHeader returns the header of a block that is not on btcd's best chain. btcd gives only
// its bytes, so the height is counted from where the branch leaves the best chain. When that
// leads nowhere it returns the error that came before.
func (r *RPC) branchHeader(ctx context.Context, hash chainhash.Hash, before error) (Header, error) {
	first, err := r.rawHeader(ctx, hash)
	if err != nil {
		return Header{}, errors.Join(before, err)
	}
	parent := first.PrevBlock
	for above := int32(1); above <= maxBranch; above++ {
		var in blockHeader
		err := r.call(ctx, &in, "getblockheader", parent.String())
		if err == nil {
			return Header{
				Hash: hash, Previous: first.PrevBlock, Height: in.Height + above, Bits: first.Bits,
				Time: first.Timestamp, Confirmations: -1,
			}, nil
		}
		raw, err := r.rawHeader(ctx, parent)
		if err != nil {
			return Header{}, errors.Join(before, err)
		}
		parent = raw.PrevBlock
	}
	return Header{}, before
}

// rawHeader returns a header that the node knows, from its bytes.
func (r *RPC) rawHeader(ctx context.Context, hash chainhash.Hash) (wire.BlockHeader, error) {
	const method = "getblockheader"
	var text string
	if err := r.call(ctx, &text, method, hash.String(), false); err != nil {
		return wire.BlockHeader{}, err
	}
	raw, err := hex.DecodeString(text)
	if err != nil {
		return wire.BlockHeader{}, r.fail(method, fmt.Errorf("%w: %w", ErrMalformed, err))
	}
	var h wire.BlockHeader
	if err := h.Deserialize(bytes.NewReader(raw)); err != nil {
		return wire.BlockHeader{}, r.fail(method, fmt.Errorf("%w: %w", ErrMalformed, err))
	}
	if h.BlockHash() != hash {
		return wire.BlockHeader{}, r.fail(method, fmt.Errorf("%w: it is the header of another block", ErrMalformed))
	}
	return h, nil
}
