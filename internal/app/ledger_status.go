package app

import (
	"fmt"

	"github.com/gbtpool/gbtpool/api"
)

// checks says for /readyz how recording goes. While the spool takes shares the gateway serves, so a
// ledger that is away is a note.
func (b *books) checks() []api.Check {
	status := b.keeper.Status()
	ledger := api.Check{Name: "ledger"}
	switch {
	case status.Away != nil && b.spool.Healthy() != nil:
		ledger.Err = fmt.Errorf("%w, and the spool does not take shares: %w", status.Away, b.spool.Healthy())
	case status.Away != nil:
		ledger.Note = fmt.Sprintf("%s; %d shares wait in the spool", status.Away, status.Waiting)
	case status.Lost != nil:
		ledger.Note = status.Lost.Error() + "; payouts stop"
	case status.SetAside > 0:
		ledger.Note = fmt.Sprintf("%d shares of the spool were too old to be recorded: the log names them", status.SetAside)
	}
	return append([]api.Check{ledger}, b.spoolCheck())
}

func (b *books) spoolCheck() api.Check {
	c := api.Check{Name: "spool"}
	if err := b.spool.Healthy(); err != nil {
		c.Note = err.Error()
	}
	return c
}

// item says on the checklist where shares are recorded.
func (b *books) item() Item {
	item := Item{Name: "ledger"}
	status, setup := b.keeper.Status(), b.setup.Load()
	switch {
	case b.embedded != nil:
		item.Mark, item.Text = Notice, "in memory, for trying out: shares are lost when the program stops"
		item.Change = "name a Redis in redis and make a ledger with gbtpool ledger init"
	case status.Away != nil:
		item.Mark, item.Text = Bad, fmt.Sprintf("%s; shares go to the spool", status.Away)
		item.Change = "see to Redis: what waits in the spool is recorded as soon as the ledger is back"
	case status.Lost != nil:
		item.Mark, item.Text = Bad, status.Lost.Error()
		item.Change = "find out what Redis lost before money is paid: payouts have stopped, the spool's shares are recorded again"
	case setup.Check() != nil:
		item.Mark, item.Text = Notice, setup.Check().Error()
	case setup.Notice() != "":
		item.Mark, item.Text = Notice, setup.Notice()
	default:
		item.Text = fmt.Sprintf("ledger %s on Redis %s, synced always", b.ledger.ID(), setup.Version)
	}
	return item
}
