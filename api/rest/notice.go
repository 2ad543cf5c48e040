package rest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/gbtpool/gbtpool/api/oas"
	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/shares"
)

// Level is how much a notice matters.
type Level string

// The levels of notices.
const (
	Info    Level = "info"
	Warning Level = "warning"
	Alarm   Level = "alarm"
)

// Notice is something that people should know before they believe the figures.
type Notice struct {
	Level Level
	Text  string
}

// noticesOf joins what others say with what is found here. trouble is what kept figures from being read anew.
func (v *Views) noticesOf(ctx context.Context, trouble error) []oas.Notice {
	said, err := v.said.known(ctx)
	trouble = errors.Join(trouble, err)
	all := slices.Clone(said)
	switch {
	case errors.Is(trouble, shares.ErrForeign):
		all = append(all, Notice{Alarm, "The ledger that answers is not the pool's: figures are as old as the pool's own last answered."})
	case trouble != nil && !errors.Is(trouble, shares.ErrAway):
		v.cfg.Log.LogAttrs(ctx, slog.LevelError, "figures cannot be read", slog.Any("error", trouble))
		all = append(all, Notice{Alarm, "Some figures cannot be read and are as old as they last could: the pool's log says why."})
	case trouble != nil:
		all = append(all, Notice{Alarm, "The ledger cannot be reached: figures are as old as it last answered. Shares are kept meanwhile, and count."})
	}
	all = append(all, v.nodeNotices()...)
	all = append(all, v.templateNotices()...)
	if f := v.cfg.Forecasts.Current(); f != nil && trouble == nil {
		if age := v.cfg.Now().Sub(f.At); age > forecastStale {
			all = append(all, Notice{Warning, fmt.Sprintf("What accounts may expect is %s old.", age.Round(time.Minute))})
		}
	}
	out := make([]oas.Notice, 0, len(all))
	seen := make(map[Notice]bool, len(all))
	for _, n := range all {
		if !seen[n] {
			seen[n] = true
			out = append(out, oas.Notice{Level: oas.NoticeLevel(n.Level), Text: n.Text})
		}
	}
	return out
}

// forecastStale is from what age on people are told that a forecast is old.
const forecastStale = 3 * time.Minute

// nodeNotices says what is wrong with the nodes.
func (v *Views) nodeNotices() []Notice {
	nodes := v.cfg.Nodes()
	for i := range nodes {
		if nodes[i].Leading && nodes[i].State == "ok" {
			return nil
		}
	}
	for i := range nodes {
		if n := &nodes[i]; n.State == "syncing" {
			text := fmt.Sprintf("Node %s is still loading the chain; mining begins once it is done.", n.Name)
			if n.Progress != nil {
				text = fmt.Sprintf("Node %s is still loading the chain, %.2f %% of it are there; mining begins once it is done.", n.Name, *n.Progress*100)
			}
			return []Notice{{Alarm, text}}
		}
	}
	for i := range nodes {
		if n := &nodes[i]; n.Leading {
			return []Notice{{Warning, fmt.Sprintf("Node %s, whose templates are in force, is %s: %s.", n.Name, n.State, n.Reason)}}
		}
	}
	return []Notice{{Alarm, "No node gives templates: there is nothing to mine. The page of nodes says why."}}
}

// templateNotices says whether the template is old.
func (v *Views) templateNotices() []Notice {
	t, err := v.cfg.Template()
	if err != nil {
		if errors.Is(err, gbt.ErrUnavailable) {
			return []Notice{{Alarm, "There is no template in force: miners get work as soon as there is one."}}
		}
		return []Notice{{Alarm, "There is no template in force: the pool's log says why."}}
	}
	if age := v.cfg.Now().Sub(t.Received); age > v.cfg.StaleAfter {
		return []Notice{{Warning, fmt.Sprintf("The template in force is %s old: the nodes have sent no newer one.", age.Round(time.Minute))}}
	}
	return nil
}
