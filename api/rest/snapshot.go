package rest

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
)

const (
	// fresh is for how long what was read is told again without a look.
	fresh = 2 * time.Second
	// tolerable is how old what was read may be to be told while it is read anew.
	tolerable = 10 * time.Second
	// readWait is how long a reading may take.
	readWait = 10 * time.Second
)

// snapshot is a value that is read at most every so often, however many ask, and by one of them alone.
type snapshot[T any] struct {
	load func(ctx context.Context) (T, error)
	now  func() time.Time
	// fresh and tolerable are those above, or what suits the value.
	fresh, tolerable time.Duration
	last             atomic.Pointer[reading[T]]
	// reading is what one reads for all.
	group singleflight.Group
}

// reading is a value with when it was read.
type reading[T any] struct {
	value T
	at    time.Time
}

func newSnapshot[T any](now func() time.Time, load func(ctx context.Context) (T, error)) *snapshot[T] {
	return &snapshot[T]{load: load, now: now, fresh: fresh, tolerable: tolerable}
}

// get returns the value, which may be some seconds old.
func (s *snapshot[T]) get(ctx context.Context) (T, error) {
	last, age := s.look()
	if last != nil && age < s.fresh {
		return last.value, nil
	}
	asked := s.now()
	answer := s.read(ctx)
	if last != nil && age < s.tolerable {
		return last.value, nil
	}
	var none T
	for {
		select {
		case r := <-answer:
			read, ok := r.Val.(*reading[T])
			switch {
			case r.Err != nil || !ok:
				return none, r.Err
			case asked.Sub(read.at) < s.tolerable:
				return read.value, nil
			}
			answer = s.read(ctx) // that was one for others, begun long before
		case <-ctx.Done():
			return none, ctx.Err()
		}
	}
}

// look returns what was read last and its age; nil if there is none, or it is of a time to come.
func (s *snapshot[T]) look() (*reading[T], time.Duration) {
	last := s.last.Load()
	if last == nil {
		return nil, 0
	}
	age := s.now().Sub(last.at)
	if age < 0 {
		return nil, 0
	}
	return last, age
}

// ahead begins to read the value if get would, for who needs several and waits for all of them at once.
func (s *snapshot[T]) ahead(ctx context.Context) {
	if last, age := s.look(); last == nil || age >= s.fresh {
		s.read(ctx)
	}
}

// read has one read the value for all who ask.
func (s *snapshot[T]) read(ctx context.Context) <-chan singleflight.Result {
	return s.group.DoChan("", func() (any, error) {
		// Who asked first may go away; the others want the answer all the same.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readWait)
		defer cancel()
		r := &reading[T]{at: s.now()}
		var err error
		if r.value, err = s.load(ctx); err != nil {
			return nil, err
		}
		s.last.Store(r)
		return r, nil
	})
}

// known returns the value, or the last one that was known with the error that keeps it from being read anew.
func (s *snapshot[T]) known(ctx context.Context) (T, error) {
	value, err := s.get(ctx)
	if last := s.last.Load(); err != nil && last != nil {
		return last.value, err
	}
	return value, err
}
