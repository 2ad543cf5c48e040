package rest

import (
	"context"
	"fmt"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/api/oas"
	"github.com/gbtpool/gbtpool/gbt"
)

// NodeStatus is a snapshot of a full node.
type NodeStatus struct {
	Name string
	// State is what it is good for, as openapi.yaml names it, and Reason why it is no better.
	State, Reason string
	// Version is what the node says it is.
	Version string
	// Leading is whether the templates in force are its.
	Leading bool
	Height  int32
	Best    chainhash.Hash
	TipSeen TipSeen
	// TemplateAt is when its last template arrived, and Ready whether that builds on Best.
	TemplateAt time.Time
	Ready      bool
	LastSeen   time.Time
	// Progress is how much of the chain it has, from 0 to 1; nil if it does not say.
	Progress *float64
	// Accepted, Refused, Undelivered and Pending count the blocks that were offered to it.
	Accepted, Refused, Undelivered, Pending int64
}

// TipSeen says when each source first told of a node's best block; zero: not yet.
type TipSeen struct{ LongPoll, ZMQ, Watchdog time.Time }

// first returns when the first source told; zero if none has.
func (t TipSeen) first() time.Time {
	var first time.Time
	for _, at := range []time.Time{t.LongPoll, t.ZMQ, t.Watchdog} {
		if !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

// ListNodes implements oas.StrictServerInterface.
func (v *Views) ListNodes(context.Context, oas.ListNodesRequestObject) (oas.ListNodesResponseObject, error) {
	nodes := v.cfg.Nodes()
	// When the first node had each best block.
	first := make(map[chainhash.Hash]time.Time)
	for i := range nodes {
		at := nodes[i].TipSeen.first()
		if known, ok := first[nodes[i].Best]; !at.IsZero() && (!ok || at.Before(known)) {
			first[nodes[i].Best] = at
		}
	}
	out := oas.ListNodes200JSONResponse{Nodes: make([]oas.Node, 0, len(nodes))}
	for i := range nodes {
		out.Nodes = append(out.Nodes, nodeOf(&nodes[i], first[nodes[i].Best]))
	}
	return out, nil
}

func nodeOf(n *NodeStatus, first time.Time) oas.Node {
	out := oas.Node{
		Name: n.Name, State: oas.NodeState(n.State), Reason: textOf(n.Reason), Version: textOf(n.Version), Leading: n.Leading,
		Height: n.Height, TemplateAt: timeOf(n.TemplateAt), TemplateReady: n.Ready, LastSeenAt: timeOf(n.LastSeen), ProgressRatio: n.Progress,
	}
	out.Blocks.AcceptedCount, out.Blocks.RefusedCount = n.Accepted, n.Refused
	out.Blocks.UndeliveredCount, out.Blocks.PendingCount = n.Undelivered, n.Pending
	if n.Best == (chainhash.Hash{}) {
		return out
	}
	out.BestBlock = n.Best.String()
	if at := n.TipSeen.first(); !at.IsZero() {
		lag := at.Sub(first).Seconds()
		out.TipLagSeconds = &lag
		out.TipSeen = &struct {
			LongPollAt *time.Time `json:"long_poll_at,omitempty"`
			WatchdogAt *time.Time `json:"watchdog_at,omitempty"`
			ZmqAt      *time.Time `json:"zmq_at,omitempty"`
		}{timeOf(n.TipSeen.LongPoll), timeOf(n.TipSeen.Watchdog), timeOf(n.TipSeen.ZMQ)}
	}
	return out
}

// retargetInterval is after how many blocks the network's difficulty changes.
const retargetInterval = 2016

// GetNetwork implements oas.StrictServerInterface.
func (v *Views) GetNetwork(ctx context.Context, _ oas.GetNetworkRequestObject) (oas.GetNetworkResponseObject, error) {
	info, err := v.cfg.Chain.Info(ctx)
	if err != nil {
		return nil, err
	}
	target, err := gbt.TargetFromBits(info.Bits)
	if err != nil {
		return nil, err
	}
	out := oas.GetNetwork200JSONResponse{
		Chain: v.cfg.About.Chain, Height: info.Height, BestBlock: info.Best.String(), Bits: fmt.Sprintf("%08x", info.Bits),
		Target: target.String(), Difficulty: target.Difficulty(), HashRateHs: info.HashRate, MempoolCount: info.Mempool,
	}
	out.Retarget.Height = (info.Height/retargetInterval + 1) * retargetInterval
	out.Retarget.BlocksLeftCount = out.Retarget.Height - info.Height
	return out, nil
}
