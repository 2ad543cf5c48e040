package rest

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/api/oas"
	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
)

const (
	// allBlocks is how many found blocks are read at most.
	allBlocks = 1 << 20
	// luckBlocks is over how many blocks luck is told at most.
	luckBlocks = 100
)

// foundBlock is a found block as ledger and journal have it.
type foundBlock struct {
	shares.Block
	state payouts.BlockState
	note  string
	// before is the found block before it; nil if it is the first.
	before *foundBlock
	// network is the work that a block takes on average at its difficulty.
	network    shares.Weight
	difficulty float64
}

// foundBlocks are all found blocks. They are immutable.
type foundBlocks struct {
	list   []*foundBlock // newest first
	byHash map[chainhash.Hash]*foundBlock
	luck   *oas.Luck
}

func (v *Views) readBlocks(ctx context.Context) (*foundBlocks, error) {
	found, err := v.cfg.Books.Blocks(ctx, allBlocks)
	if err != nil {
		return nil, err
	}
	states, err := payouts.Blocks(ctx, v.cfg.Journal)
	if err != nil {
		return nil, err
	}
	known := make(map[string]*payouts.BlockSummary, len(states))
	for i := range states {
		known[states[i].Hash] = &states[i]
	}
	out := &foundBlocks{list: make([]*foundBlock, 0, len(found)), byHash: make(map[chainhash.Hash]*foundBlock, len(found))}
	var after *foundBlock
	for i := range found {
		if found[i].Found == nil {
			continue
		}
		b := &foundBlock{Block: found[i]}
		if s := known[b.Hash.String()]; s != nil {
			b.state, b.note = s.State, s.Note
		}
		target, err := gbt.TargetFromBits(b.Found.Bits)
		if err != nil {
			return nil, fmt.Errorf("block %s: %w", b.Hash, err)
		}
		b.difficulty = target.Difficulty()
		if b.network, err = v.cfg.Unit.Network(target); err != nil {
			return nil, fmt.Errorf("block %s: %w", b.Hash, err)
		}
		if after != nil {
			after.before = b
		}
		after = b
		out.list = append(out.list, b)
		out.byHash[b.Hash] = b
	}
	out.luck = luckOf(out.list)
	return out, nil
}

// luckOf tells the luck of the newest blocks whose rounds are known whole.
func luckOf(list []*foundBlock) *oas.Luck {
	var luck oas.Luck
	done := 0.0
	for _, b := range list {
		if !b.Frozen || b.Round <= 0 || luck.BlocksCount == luckBlocks {
			continue
		}
		luck.BlocksCount++
		done += ratio(b.Round, b.network)
	}
	if luck.BlocksCount == 0 {
		return nil
	}
	luck.Ratio = float64(luck.BlocksCount) / done
	return &luck
}

// stateOf says where a block is in its life. The worker's notes say where the chain has it.
func (b *foundBlock) stateOf() oas.BlockState {
	switch b.state.Stage {
	case payouts.BlockCrediting:
		return oas.Crediting
	case payouts.BlockCredited:
		return oas.Credited
	case payouts.BlockVoid:
		return oas.Void
	case payouts.BlockLost:
		return oas.Lost
	case payouts.BlockFound:
	}
	switch {
	case strings.HasPrefix(b.note, "orphaned"):
		return oas.Orphaned
	case strings.HasPrefix(b.note, "immature"):
		return oas.Immature
	default:
		return oas.Candidate
	}
}

// onChain reports whether a block in a state is on the best chain.
func onChain(s oas.BlockState) bool {
	return s == oas.Immature || s == oas.Crediting || s == oas.Credited
}

// tip returns the height of the best chain; 0 if no node says.
func (v *Views) tip(ctx context.Context) int32 {
	info, err := v.cfg.Chain.Info(ctx)
	if err != nil {
		return 0
	}
	return info.Height
}

// blockOf describes a block. names says how accounts are named.
func (v *Views) blockOf(b *foundBlock, tip int32, names *names) oas.Block {
	state := b.stateOf()
	out := oas.Block{
		Hash: b.Hash.String(), Height: b.Height, State: state, Note: textOf(b.note), FoundAt: b.Time.UTC(),
		ValueSat: b.Found.Value, Difficulty: b.difficulty, MaturityBlocks: v.cfg.Maturity,
	}
	previous := b.PreviousBlock.String()
	out.PreviousBlock = &previous
	if names.shows(b.Account) {
		out.Finder, out.FinderWorker = b.Account, textOf(b.Worker)
	}
	if b.Frozen {
		effort := ratio(b.Round, b.network)
		out.EffortRatio = &effort
	}
	if b.before != nil {
		seconds := max(0, b.Time.Sub(b.before.Time).Seconds())
		out.RoundSeconds = &seconds
	}
	if onChain(state) && tip >= b.Height {
		out.Confirmations = tip - b.Height + 1
	}
	if root := b.state.Tree; root != nil {
		out.Root = &oas.SumRoot{Hash: root.Hash.String(), Weight: strconv.FormatInt(int64(root.Weight), 10), CreditSat: root.Credit, Count: root.Count}
		out.AccountsCount = &root.Count
	}
	if st := &b.state; st.Terms != nil {
		terms := termsOf(*st.Terms)
		out.Terms = &terms
		if st.Reward > 0 {
			out.RewardSat, out.DirectSat = &st.Reward, &st.Direct
			if d, err := st.Terms.Divide(st.Reward, nil, b.Account); err == nil {
				out.FeeSat = &d.Fee
			}
		}
	}
	return out
}

// ListBlocks implements oas.StrictServerInterface.
func (v *Views) ListBlocks(ctx context.Context, request oas.ListBlocksRequestObject) (oas.ListBlocksResponseObject, error) {
	page, next, err := v.pageOfBlocks(ctx, request.Params.Cursor, request.Params.Limit)
	if err != nil {
		return nil, err
	}
	accounts := make([]string, len(page))
	for i, b := range page {
		accounts[i] = b.Account
	}
	names, err := v.names(ctx, accounts...)
	if err != nil {
		return nil, err
	}
	out := oas.ListBlocks200JSONResponse{Blocks: make([]oas.Block, 0, len(page)), NextCursor: next}
	tip := v.tip(ctx)
	for _, b := range page {
		out.Blocks = append(out.Blocks, v.blockOf(b, tip, names))
	}
	return out, nil
}

// pageOfBlocks returns the blocks of a page, and the cursor of the next one.
func (v *Views) pageOfBlocks(ctx context.Context, at *string, most *int) ([]*foundBlock, *string, error) {
	limit, err := limitOf(most)
	if err != nil {
		return nil, nil, err
	}
	place, given, err := placeOf("b", at)
	if err != nil {
		return nil, nil, err
	}
	found, err := v.blocks.get(ctx)
	if err != nil {
		return nil, nil, err
	}
	list := found.list
	if given {
		after, err := parsePosition(place)
		if err != nil {
			return nil, nil, err
		}
		i, _ := slices.BinarySearchFunc(list, after, func(b *foundBlock, p shares.Position) int { return -b.Compare(p) })
		for i < len(list) && list[i].Compare(after) >= 0 {
			i++
		}
		list = list[i:]
	}
	if len(list) <= limit {
		return list, nil, nil
	}
	list = list[:limit]
	return list, cursor("b", positionText(list[limit-1].Position)), nil
}

// GetBlock implements oas.StrictServerInterface.
func (v *Views) GetBlock(ctx context.Context, request oas.GetBlockRequestObject) (oas.GetBlockResponseObject, error) {
	b, err := v.block(ctx, request.Hash)
	if err != nil {
		return nil, err
	}
	names, err := v.names(ctx, b.Account)
	if err != nil {
		return nil, err
	}
	out := v.blockOf(b, v.tip(ctx), names)
	return oas.GetBlock200JSONResponse(out), nil
}

// block returns a found block. The error is a *Problem if there is none.
func (v *Views) block(ctx context.Context, text string) (*foundBlock, error) {
	hash, err := chainhash.NewHashFromStr(text)
	if err != nil {
		return nil, problem(http.StatusBadRequest, "a block's hash has 64 hexadecimal digits")
	}
	found, err := v.blocks.get(ctx)
	if err != nil {
		return nil, err
	}
	b := found.byHash[*hash]
	if b == nil {
		return nil, problem(http.StatusNotFound, "the pool has found no block %s", hash)
	}
	return b, nil
}

// ListRounds implements oas.StrictServerInterface.
func (v *Views) ListRounds(ctx context.Context, request oas.ListRoundsRequestObject) (oas.ListRoundsResponseObject, error) {
	page, next, err := v.pageOfBlocks(ctx, request.Params.Cursor, request.Params.Limit)
	if err != nil {
		return nil, err
	}
	out := oas.ListRounds200JSONResponse{Rounds: make([]oas.Round, 0, len(page)+1), NextCursor: next}
	if request.Params.Cursor == nil {
		found, err := v.blocks.get(ctx)
		if err != nil {
			return nil, err
		}
		out.Rounds = append(out.Rounds, v.currentRound(found))
	}
	for _, b := range page {
		hash, height := b.Hash.String(), b.Height
		r := oas.Round{Block: &hash, Height: &height, EndedAt: timeOf(b.Time), SharesCount: b.Shares, WorkHashes: hashes(b.Round, v.cfg.Unit)}
		if b.before != nil {
			r.StartedAt = timeOf(b.before.Time)
		}
		if b.Frozen {
			effort := ratio(b.Round, b.network)
			r.EffortRatio = &effort
		}
		out.Rounds = append(out.Rounds, r)
	}
	return out, nil
}

// currentRound describes the round that goes on, as the forecast has seen it. found may be nil.
func (v *Views) currentRound(found *foundBlocks) oas.Round {
	out := oas.Round{WorkHashes: "0"}
	if found != nil && len(found.list) > 0 {
		out.StartedAt = timeOf(found.list[0].Time)
	}
	if f := v.cfg.Forecasts.Current(); f != nil {
		out.SharesCount, out.WorkHashes = f.Round.Shares, hashes(f.Round.Total, f.Unit)
		effort := ratio(f.Round.Total, f.Network)
		out.EffortRatio = &effort
	}
	return out
}
