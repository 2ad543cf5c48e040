package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/gbtpool/gbtpool/shares"
)

// Profiles keeps what owners have set about their accounts.
type Profiles interface {
	Profile(ctx context.Context, account string) (shares.Profile, error)
	Profiles(ctx context.Context, accounts []string) (map[string]shares.Profile, error)
	SetProfile(ctx context.Context, account string, profile shares.Profile) error
}

// ProfilesContract checks that the last profile that any gateway was told stands.
func ProfilesContract(t *testing.T, open func(testing.TB) (one, other Profiles)) {
	t.Helper()
	one, other := open(t)
	set := func(p Profiles, account string, profile shares.Profile) {
		t.Helper()
		if err := p.SetProfile(t.Context(), account, profile); err != nil {
			t.Fatal(err)
		}
	}
	is := func(account string, want shares.Profile) {
		t.Helper()
		for _, p := range []Profiles{one, other} {
			got, err := p.Profile(t.Context(), account)
			if err != nil {
				t.Fatal(err)
			}
			same(t, "profile of "+account, got, want)
		}
	}
	at := time.UnixMilli(1_700_000_000_123).UTC()
	is("alice", shares.Profile{})
	first := shares.Profile{DisplayName: "Grüße aus 東京-1", Hidden: true, Updated: at}
	set(one, "alice", first)
	is("alice", first)
	second := shares.Profile{DisplayName: "A.", Updated: at.Add(-time.Hour)}
	set(other, "alice", second)
	is("alice", second)
	set(other, "bob", shares.Profile{Hidden: true, Updated: at})
	set(one, "carol", shares.Profile{Updated: at})
	got, err := one.Profiles(t.Context(), []string{"alice", "nobody", "carol", "bob"})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "profiles", got, map[string]shares.Profile{
		"alice": second, "bob": {Hidden: true, Updated: at}, "carol": {Updated: at},
	})
	if got, err = one.Profiles(t.Context(), nil); err != nil || len(got) != 0 {
		t.Errorf("profiles of nobody: %v, %v", got, err)
	}
	set(one, "dave", shares.Profile{DisplayName: "Dave"})
	if dave, err := other.Profile(t.Context(), "dave"); err != nil || time.Since(dave.Updated).Abs() > time.Minute {
		t.Errorf("a profile that was set now: %+v, %v", dave, err)
	}
	for account, bad := range map[string]shares.Profile{
		"alice": {DisplayName: "bc1qmine"}, "": {DisplayName: "fine"}, "a b": {DisplayName: "fine"},
	} {
		want(t, "a profile that is not sound", one.SetProfile(t.Context(), account, bad), shares.ErrMalformed)
	}
	is("alice", second)
}
