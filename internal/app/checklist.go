package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/internal/node"
)

// Mark is how a checklist item turned out.
type Mark int

// The marks, from best to worst.
const (
	Good Mark = iota
	// Notice is for what works but may not be what the operator wants.
	Notice
	Bad
)

// Item is one line of the checklist that serve and check print.
type Item struct {
	// Name is what was looked at, in a word.
	Name string
	Mark Mark
	// Text says what was found.
	Text string
	// Change says what to change, for an item that is not Good.
	Change string
}

// Checklist is the items in the order in which they depend on one another.
type Checklist []Item

// Worst returns the worst mark on the list.
func (c Checklist) Worst() Mark {
	worst := Good
	for _, item := range c {
		worst = max(worst, item.Mark)
	}
	return worst
}

// Settled waits until every node has been asked and there is a template, or until ctx ends.
func (a *App) Settled(ctx context.Context) {
	const look = 100 * time.Millisecond
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for {
		settled := a.nodes.Healthy() == nil && a.books.keeper.Status().Away == nil
		for _, st := range a.nodes.Status() {
			settled = settled && st.State != node.Starting
		}
		if _, err := a.feed.Current(); err == nil && settled {
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// Checklist says how everything that serving miners depends on does right now. It asks the leading
// node whether a block on its template would be valid.
func (a *App) Checklist(ctx context.Context) Checklist {
	var list Checklist
	for _, st := range a.nodes.Status() {
		list = append(list, a.nodeItem(st))
	}
	return append(list, a.notifyItem(), a.templateItem(ctx), a.books.item(), a.payoutsItem(ctx))
}

func (a *App) nodeItem(st node.Status) Item {
	item := Item{Name: "node", Text: fmt.Sprintf("%s  %s", st.Name, st.State)}
	if st.Info.Version != "" {
		item.Text = fmt.Sprintf("%s  %s, %s, height %d, %d peers, %s",
			st.Name, strings.Trim(st.Info.Version, "/"), st.Info.Chain, st.Height, st.Info.Peers, st.State)
	}
	if st.Leading {
		item.Text += ", leads"
	}
	if st.State == node.OK {
		return item
	}
	item.Mark = Bad
	item.Text += ": " + st.Reason
	item.Change = a.nodeChange(st)
	return item
}

// nodeChange says what to change so that a node becomes usable.
func (a *App) nodeChange(st node.Status) string {
	switch st.State {
	case node.OK:
		return ""
	case node.WrongChain:
		return fmt.Sprintf("set chain: %s, or name a node on %s in nodes", st.Info.Chain, a.cfg.Watch.Chain)
	case node.Syncing:
		return fmt.Sprintf("wait until it has caught up (%.1f %% verified); other nodes are used meanwhile", 100*st.Info.Progress)
	case node.Alone:
		return "connect the node to the network: a block found now could not be relayed"
	case node.Lagging:
		return "wait until it has caught up, or see to its connections; other nodes are used meanwhile"
	case node.Starting:
		return "wait; if it stays like this, see nodes: url and the node's rpcbind and rpcallowip"
	case node.Down, node.NoTemplate:
		if errors.Is(st.LastError, node.ErrAuth) {
			return "set nodes: user and password_file, or cookie_file, to what the node expects"
		}
		if errors.Is(st.LastError, fs.ErrNotExist) {
			return "start the node, or set nodes: cookie_file to the .cookie in its data directory (on test chains in a folder below)"
		}
		return "start the node, or set nodes: url to where its RPC listens (rpcbind, rpcport, rpcallowip)"
	default:
		return "see the node's own log"
	}
}

// notifyItem says how new blocks are noticed.
func (a *App) notifyItem() Item {
	sources := []string{"long polls", fmt.Sprintf("best block asked for every %s", a.cfg.Watch.WatchEvery)}
	if n := len(a.cfg.Watch.Hints); n > 0 {
		sources = append(sources, fmt.Sprintf("ZMQ hashblock of %d nodes", n))
	}
	return Item{Name: "notify", Text: strings.Join(sources, ", ")}
}

func (a *App) templateItem(ctx context.Context) Item {
	t, err := a.feed.Current()
	if err != nil {
		return Item{
			Name: "template", Mark: Bad, Text: err.Error(),
			Change: "see the nodes above; miners get 503 and keep asking until there is a template",
		}
	}
	item := Item{Name: "template", Text: fmt.Sprintf("height %d, %d transactions, fees %d sat, from %s",
		t.Height, len(t.Transactions), t.Fees, t.Node)}
	if t.Crowded > 0 {
		item.Mark = Notice
		item.Text += fmt.Sprintf(", %d transactions left out because the coinbase takes %d weight units and the node leaves less", t.Crowded, t.Reserve())
		item.Change = fmt.Sprintf("let the node leave as much as coinbase_weight: blockreservedweight=%d in bitcoin.conf, a lower blockmaxweight in btcd.conf; or lower coinbase_weight", t.Reserve())
	}
	switch reason, err := a.propose(ctx); {
	case errors.Is(err, gbt.ErrUnavailable), strings.HasPrefix(string(reason), "inconclusive"):
		item.Text += ", replaced by another just now"
	case err != nil:
		item.Mark, item.Text = Notice, item.Text+", not proposed: "+err.Error()
		item.Change = "see the node's own log: it should answer getblocktemplate with mode proposal"
	case reason != "":
		item.Mark, item.Text = Bad, fmt.Sprintf("%s, refused as a proposal: %s", item.Text, reason)
		item.Change = "blocks made of this template would be lost: check payout_address, coinbase_tag and the node's version"
	default:
		item.Text += ", valid as a proposal"
	}
	return item
}

// propose asks the leading node whether work that would be issued now is a valid block but for its
// proof of work.
func (a *App) propose(ctx context.Context) (gbt.Reason, error) {
	work, err := a.issuer.Issue(gbt.Account{}, gbt.TemplateRequest{Rules: []string{"segwit"}})
	if err != nil {
		return "", err
	}
	block, err := work.Block()
	if err != nil {
		return "", err
	}
	return a.nodes.Propose(ctx, block)
}
