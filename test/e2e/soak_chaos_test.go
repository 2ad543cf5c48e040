package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/test/btcdnode"
)

const (
	// soakPatience is how long nodes may take to agree: if they take longer, something else is done.
	soakPatience = 20 * time.Second
	// soakRest is how long the pool may take to come to rest: leases have to end first.
	soakRest = 8 * time.Minute
)

// urls are where the gateways are.
func (s *soak) urls() []string {
	out := make([]string, len(s.gateways))
	for i, g := range s.gateways {
		out[i] = g.url
	}
	return out
}

// trouble does one of the things that may happen, or none.
func (s *soak) trouble() {
	switch s.dice.IntN(20) {
	case 0:
		s.killGateway(s.dice.IntN(len(s.gateways)))
	case 1:
		s.killRedis()
	case 2, 3:
		s.killNode(s.dice.IntN(len(s.nodes)))
	case 4, 5, 6:
		s.reorganize(s.depth(), s.replaceAll)
	case 7, 8:
		s.reorganize(s.depth(), s.outrun)
	case 9: // everything but the nodes, which would forget the chain
		if s.dice.IntN(3) == 0 {
			s.killRedis()
			for i := range s.gateways {
				s.killGateway(i)
			}
		}
	}
}

// depth draws how many blocks are replaced; now and then payments are undone that were final.
func (s *soak) depth() int {
	if s.dice.IntN(6) == 0 {
		return soakFinal + 1 + s.dice.IntN(soakFinal)
	}
	return 1 + s.dice.IntN(8)
}

func (s *soak) soon(most time.Duration) time.Time {
	return time.Now().Add(time.Duration(s.dice.Int64N(int64(most))))
}

func (s *soak) dead(name string) bool {
	_, ok := s.back[name]
	return ok
}

func gatewayName(i int) string { return fmt.Sprintf("gateway %d", i) }

func nodeName(i int) string { return fmt.Sprintf("node %d", i) }

func (s *soak) killGateway(i int) {
	s.t.Helper()
	name := gatewayName(i)
	if s.dead(name) {
		return
	}
	s.kills["gateway"]++
	select {
	case err := <-s.gateways[i].done: // one that has never reached Redis ends by itself while that is gone
		s.gateways[i].done <- err
	default:
		s.gateways[i].signal(syscall.SIGKILL)
	}
	s.back[name] = s.soon(3 * time.Second)
}

func (s *soak) killRedis() {
	s.t.Helper()
	if s.dead("redis") {
		return
	}
	s.kills["redis"]++
	s.store.Kill()
	s.back["redis"] = s.soon(2 * time.Second)
}

// killNode kills a node, if the others have what it forgets by that.
func (s *soak) killNode(i int) {
	s.t.Helper()
	if s.agreed(2*time.Second) == nil {
		return
	}
	s.kills["node"]++
	s.nodes[i].Kill()
	s.back[nodeName(i)] = s.soon(4 * time.Second)
}

// revive starts again what has been dead for long enough, or all of it.
func (s *soak) revive(all bool) {
	s.t.Helper()
	due := func(name string) bool {
		at, ok := s.back[name]
		if !ok || !all && time.Now().Before(at) {
			return false
		}
		delete(s.back, name)
		return true
	}
	if due("redis") {
		s.store.Start()
	}
	for i, n := range s.nodes {
		if due(nodeName(i)) {
			s.startNode(n)
		}
	}
	for i := range s.gateways {
		if due(gatewayName(i)) {
			s.gateways[i].process = run(s.t, "serve", "--log-level", "warn", "--config", s.paths[i])
		}
	}
}

// startNode starts a node, which gets the chain from those that are alive.
func (s *soak) startNode(n *btcdnode.Node) {
	s.t.Helper()
	n.Start()
	if n == s.rival {
		s.link("add")
		return
	}
	for _, other := range s.alive() {
		if other != n {
			n.Connect(other)
		}
	}
	// It is the rival that connects, so that it can be cut off; by itself it tries more and more rarely.
	s.peer(n, "remove")
	s.peer(n, "add")
}

// heal restarts the nodes that have not come to the longest chain for long, as an operator would: blocks
// that were taken for invalid while others were found confuse btcd at times.
func (s *soak) heal(patience time.Duration) {
	s.t.Helper()
	if s.agreed(0) != nil {
		s.united = time.Now()
	}
	if time.Since(s.united) < patience || len(s.alive()) < len(s.nodes) {
		return
	}
	all := append(slices.Clone(s.nodes), s.rival)
	longest := all[0]
	for _, n := range s.nodes[1:] {
		if s.height(n) > s.height(longest) {
			longest = n
		}
	}
	for _, n := range all {
		if n.BestBlock() != longest.BestBlock() {
			n.Kill()
			s.startNode(n)
			s.healed++
		}
	}
	s.network(1)
	s.agreed(soakPatience)
	s.united = time.Now()
}

// alive returns the nodes that are running.
func (s *soak) alive() []*btcdnode.Node {
	var out []*btcdnode.Node
	for i, n := range s.nodes {
		if !s.dead(nodeName(i)) {
			out = append(out, n)
		}
	}
	return out
}

// network has the rest of the network find blocks, on the longest chain that a node has: its peers follow.
func (s *soak) network(count int) {
	s.t.Helper()
	nodes, most := s.alive(), s.highest()
	nodes = slices.DeleteFunc(nodes, func(n *btcdnode.Node) bool { return s.height(n) < most })
	if len(nodes) > 0 {
		s.generate(nodes[s.dice.IntN(len(nodes))], count)
	}
}

// generate has a node find blocks.
func (s *soak) generate(n *btcdnode.Node, count int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	if err := n.Call(ctx, nil, "generate", count); err != nil {
		s.t.Logf("generate: %v", err)
	}
}

func (s *soak) height(n *btcdnode.Node) int {
	s.t.Helper()
	var height int
	if err := n.Call(s.t.Context(), &height, "getblockcount"); err != nil {
		s.t.Fatal(err)
	}
	return height
}

// highest returns the height of the longest chain that a node has.
func (s *soak) highest() int {
	s.t.Helper()
	most := 0
	for _, n := range s.alive() {
		most = max(most, s.height(n))
	}
	return most
}

// agreed returns the best block of all nodes, once they agree; nil if they do not in time, or if one is dead.
func (s *soak) agreed(patience time.Duration) *chainhash.Hash {
	s.t.Helper()
	if len(s.alive()) < len(s.nodes) {
		return nil
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		best, same := s.nodes[0].BestBlock(), true
		for _, n := range append(slices.Clone(s.nodes[1:]), s.rival) {
			same = same && n.BestBlock() == best
		}
		if same {
			return &best
		}
		if time.Now().After(deadline) {
			return nil
		}
	}
}

// reorganize replaces the newest blocks, if the nodes agree on them.
func (s *soak) reorganize(depth int, how func(depth int) bool) {
	s.t.Helper()
	if s.agreed(soakPatience/4) == nil || s.height(s.node) <= depth {
		return
	}
	at := s.height(s.node) - depth + 1
	old := blockAt(s, at)
	if !how(depth) {
		s.t.Logf("a reorganisation of %d blocks came to nothing", depth)
		return
	}
	if blockAt(s, at) != old {
		s.reorgs++
		s.deepest = max(s.deepest, depth)
	}
}

func blockAt(s *soak, height int) chainhash.Hash {
	s.t.Helper()
	var text string
	if err := s.node.Call(s.t.Context(), &text, "getblockhash", height); err != nil {
		s.t.Fatal(err)
	}
	hash, err := chainhash.NewHashFromStr(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return *hash
}

// replaceAll has all nodes take the newest blocks for invalid, and one find more others.
func (s *soak) replaceAll(depth int) bool {
	s.t.Helper()
	first := blockAt(s, s.height(s.node)-depth+1)
	for _, n := range append(slices.Clone(s.nodes), s.rival) {
		if err := n.Call(s.t.Context(), nil, "invalidateblock", first.String()); err != nil {
			s.t.Logf("invalidateblock: %v", err)
		}
	}
	s.generate(s.nodes[s.dice.IntN(len(s.nodes))], depth+1+s.dice.IntN(2))
	return s.unite(func() { s.network(1) })
}

// unite has blocks found until all nodes have one best block: two branches of one height stay as they are, and
// peers hear of a longer one by its next block. It reports whether that came about in time.
func (s *soak) unite(find func()) bool {
	s.t.Helper()
	for deadline := time.Now().Add(soakPatience); time.Now().Before(deadline); find() {
		if s.agreed(2*time.Second) != nil {
			return true
		}
	}
	return false
}

// outrun has the rival find more blocks than all others while it is cut off from them.
func (s *soak) outrun(depth int) bool {
	s.t.Helper()
	s.link("remove")
	for deadline := time.Now().Add(soakPatience); ; time.Sleep(20 * time.Millisecond) {
		var count int
		if err := s.rival.Call(s.t.Context(), &count, "getconnectioncount"); err == nil && count == 0 {
			break
		}
		if time.Now().After(deadline) {
			s.link("add")
			return false
		}
	}
	s.network(depth)
	s.generate(s.rival, s.highest()-s.height(s.rival)+1+s.dice.IntN(3))
	s.link("add")
	return s.unite(func() { s.generate(s.rival, 1) })
}

// link makes the rival a peer of the nodes, or not any more.
func (s *soak) link(how string) {
	s.t.Helper()
	for _, n := range s.nodes {
		s.peer(n, how)
	}
}

// peer makes the rival a peer of a node, or not any more. That it is, or is not, already is no trouble.
func (s *soak) peer(n *btcdnode.Node, how string) {
	s.t.Helper()
	if err := s.rival.Call(s.t.Context(), nil, "addnode", n.Peer, how); err != nil && s.t.Context().Err() != nil {
		s.t.Fatal(err)
	}
}

// tell says how far things are, every now and then.
func (s *soak) tell(now bool) {
	s.t.Helper()
	if !now && time.Since(s.report) < soakReport {
		return
	}
	s.report = time.Now()
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Second)
	defer cancel()
	blocks, err := payouts.Blocks(ctx, s.journal)
	settlements, err2 := payouts.Settlements(ctx, s.journal)
	if err != nil || err2 != nil || s.dead("redis") {
		s.t.Logf("Redis does not answer: %v, %v", err, err2)
		return
	}
	stages, states := make(map[payouts.BlockStage]int), make(map[payouts.State]int)
	for _, b := range blocks {
		stages[b.State.Stage]++
	}
	for _, st := range settlements {
		states[st.Status.State]++
	}
	s.t.Logf("height %d, told of %d blocks; journal: blocks %v, settlements %v; killed %v, healed %d nodes, %d reorganisations up to %d deep",
		s.highest(), s.found.Load(), stages, states, s.kills, s.healed, s.reorgs, s.deepest)
}

// trouble that the worker has, for who waits for it.
func (s *soak) notes() string {
	s.t.Helper()
	var out []string
	for _, table := range []string{payouts.NotesWorker, payouts.NotesSettlements, payouts.NotesBlocks} {
		notes, err := s.journal.Notes(s.t.Context(), table)
		if err != nil {
			return err.Error()
		}
		for name, text := range notes {
			out = append(out, fmt.Sprintf("%s %s: %s", table, name, text))
		}
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}
