package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
)

// Contact says that nothing waits in this gateway's spool while work is on a height, and returns the
// lowest height that any gateway has said last: what a gateway has in its spool that was cut off since
// then is of that height or above.
func (l *Ledger) Contact(ctx context.Context, height int32) (lowest int32, err error) {
	o, err := l.opened()
	if err != nil {
		return 0, err
	}
	v, err := l.call(ctx, l.scripts.contact, []string{l.keys.pool("genesis"), l.keys.pool("contacts")}, o.Ledger, l.cfg.Gateway, height)
	if err != nil {
		return 0, fmt.Errorf("contact: %w", err)
	}
	list, ok := v.([]any)
	if !ok {
		return 0, fmt.Errorf("contact: %v: %w", v, errReply)
	}
	lowest = height
	for _, one := range list {
		text, ok := one.(string)
		h, err := strconv.ParseInt(text, 10, 32)
		if !ok || err != nil {
			return 0, fmt.Errorf("contact: %v: %w", v, errors.Join(errReply, err))
		}
		lowest = min(lowest, int32(h))
	}
	return lowest, nil
}
