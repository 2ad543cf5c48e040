package payouts

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Schedule says when accounts are paid: every so often, or at times of the day (UTC). The zero Schedule
// pays only when an operator asks.
type Schedule struct {
	Every time.Duration
	// Times are times of the day, since midnight UTC.
	Times []time.Duration
}

// ParseTimes reads times of the day such as "06:00".
func ParseTimes(texts []string) ([]time.Duration, error) {
	out := make([]time.Duration, 0, len(texts))
	for _, text := range texts {
		t, err := time.Parse("15:04", text)
		if err != nil {
			return nil, fmt.Errorf("%q is no time of the day: write it as 06:00", text)
		}
		out = append(out, time.Duration(t.Hour())*time.Hour+time.Duration(t.Minute())*time.Minute)
	}
	return out, nil
}

// Check says what is wrong with a schedule.
func (s Schedule) Check() error {
	switch {
	case s.Every < 0:
		return errors.New("payouts: the interval is negative")
	case s.Every > 0 && len(s.Times) > 0:
		return errors.New("payouts: choose an interval or times of the day, not both")
	}
	for _, t := range s.Times {
		if t < 0 || t >= 24*time.Hour {
			return fmt.Errorf("payouts: %s is no time of the day", t)
		}
	}
	return nil
}

// Next returns when accounts are paid next, if they were last at a time; the zero time if never. Who never
// paid is due at once with an interval, and at the next of the times otherwise.
func (s Schedule) Next(last, now time.Time) time.Time {
	switch {
	case s.Every > 0 && last.IsZero():
		return now
	case s.Every > 0:
		return last.Add(s.Every)
	case len(s.Times) == 0:
		return time.Time{}
	}
	from := last.UTC()
	if last.IsZero() {
		from = now.UTC()
	}
	midnight := time.Date(from.Year(), from.Month(), from.Day(), 0, 0, 0, 0, time.UTC)
	times := slices.Sorted(slices.Values(s.Times))
	for _, t := range times {
		if at := midnight.Add(t); at.After(from) {
			return at
		}
	}
	return midnight.AddDate(0, 0, 1).Add(times[0])
}
